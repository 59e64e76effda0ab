from __future__ import annotations

import os
from pathlib import Path

import pytest

from autoscaler.kube.client.references import workload
from autoscaler.kube.policy_files import LOOK_SECONDS, PolicyFiles
from tests.api.build import VALID

BROKEN = VALID.replace("maxReplicas: 10", "maxReplicas: 0")


class Folder:
    """A folder of policies, and a clock that moves on at every look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.files = PolicyFiles(path, "default", clock=lambda: self.now)
        self.writes = 0

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.write_text(text)
        self.writes += 1
        os.utime(path, ns=(self.writes, self.writes))  # two writes within a clock tick differ too
        return path

    def look(self) -> dict[str, tuple[int, str | None]]:
        """The policies in force by name: their maxReplicas and what is wrong with the newest edit."""
        self.now += LOOK_SECONDS
        return {one.name: (one.policy.spec.max_replicas, one.problem) for one in self.files.policies()}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_every_yaml_file_counts_and_nothing_else(folder):
    folder.write("a.yaml", VALID)
    folder.write("b.yml", VALID.replace("name: chat", "name: code"))
    folder.write("README.md", "words")
    folder.write(".hidden.yaml", "words")
    (folder.path / "c.yaml").mkdir()
    assert folder.look() == {"chat": (10, None), "code": (10, None)}


def test_a_policy_without_a_namespace_is_in_the_default_one(folder):
    folder.write("a.yaml", VALID)
    folder.write("b.yaml", VALID.replace("name: chat", "name: chat\n  namespace: other"))
    folder.look()
    assert [one.namespace for one in folder.files.policies()] == ["default", "other"]


def test_changes_are_seen_without_a_restart(folder):
    folder.write("a.yaml", VALID)
    assert folder.look() == {"chat": (10, None)}
    before = folder.files.policies()[0].policy
    folder.look()
    assert folder.files.policies()[0].policy is before, "an unchanged file is not read again"
    folder.write("a.yaml", VALID.replace("10", "20"))
    assert folder.look() == {"chat": (20, None)}
    (folder.path / "a.yaml").unlink()
    assert folder.look() == {}


def test_a_config_map_that_is_swapped_is_seen(folder):
    """The kubelet writes a new folder and turns one link to it."""
    for name, most in (("one", "10"), ("two", "20")):
        (folder.path / f"..{name}").mkdir()
        (folder.path / f"..{name}" / "a.yaml").write_text(VALID.replace("10", most))
        os.utime(folder.path / f"..{name}" / "a.yaml", ns=(1, 1))
    (folder.path / "..data").symlink_to("..one")
    (folder.path / "a.yaml").symlink_to("..data/a.yaml")
    assert folder.look() == {"chat": (10, None)}
    (folder.path / "..tmp").symlink_to("..two")
    (folder.path / "..tmp").rename(folder.path / "..data")
    assert folder.look() == {"chat": (20, None)}


def test_a_broken_edit_keeps_the_last_good_policy_and_says_so(folder):
    path = folder.write("a.yaml", VALID)
    folder.look()
    folder.write("a.yaml", BROKEN)
    problem = f"{path}:7: spec.maxReplicas: must be at least 1, is 0"
    assert folder.look() == {"chat": (10, problem)}
    folder.write("a.yaml", VALID)
    assert folder.look() == {"chat": (10, None)}


def test_a_file_that_was_never_good_is_refused(folder):
    folder.write("a.yaml", BROKEN)
    assert folder.look() == {}
    (refused,) = folder.files.refused()
    assert (refused.namespace, refused.name) == ("default", "a")
    assert "must be at least 1" in refused.problem


def test_of_two_files_with_one_policy_the_first_counts_and_says_so(folder):
    folder.write("a.yaml", VALID)
    folder.write("b.yaml", VALID.replace("10", "20"))
    assert folder.look() == {"chat": (10, "the policy was already defined; b.yaml defines it again")}


def test_of_two_policies_for_one_workload_the_first_owns_it(folder):
    folder.write("a.yaml", VALID.replace("name: chat", "name: onlooker") + "  mode: DryRun\n")
    folder.write("b.yaml", VALID)
    folder.write("c.yaml", VALID.replace("name: chat", "name: rival"))
    folder.look()
    rivals = {
        one.name: folder.files.older(one, workload(one.namespace, one.policy.spec.scale_target_ref))
        for one in folder.files.policies()
    }
    assert rivals == {"onlooker": ["chat"], "chat": [], "rival": ["chat"]}


def test_a_folder_that_goes_away_changes_nothing(folder, caplog):
    path = folder.write("a.yaml", VALID)
    folder.look()
    path.rename(folder.path.parent / "saved.yaml")
    folder.path.rmdir()
    assert folder.look() == folder.look() == {"chat": (10, None)}
    assert caplog.text.count("cannot be read: no such file or directory") == 1
    folder.path.mkdir()
    assert folder.look() == {}


def test_a_status_is_kept_in_memory(folder):
    folder.write("a.yaml", VALID)
    folder.look()
    folder.files.write_status(folder.files.policies()[0], {"mode": "Active"})
    assert folder.files.policies()[0].status == {"mode": "Active"}


def test_looks_that_follow_each_other_closely_cost_nothing(folder):
    folder.write("a.yaml", VALID)
    folder.look()
    folder.write("a.yaml", VALID.replace("10", "20"))
    assert [one.policy.spec.max_replicas for one in folder.files.policies()] == [10]
