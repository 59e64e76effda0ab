"""What is declared follows its sources, and a broken edit changes nothing."""

from __future__ import annotations

import os

import pytest
import yaml

from autoscaler.adapter.registry_provider import ExportFiles, RegistryProvider
from autoscaler.errors import ClusterError
from tests.adapter.world import WAITING, export, policy

PODS_METRIC = {"signal": "running", "target": {"type": "PodsAverage", "averageValue": 100}}


class Store:
    def __init__(self, *stored):
        self.stored, self.broken = stored, False

    def policies(self):
        if self.broken:
            raise ClusterError("not read yet")
        return self.stored


@pytest.fixture
def clock():
    return iter(range(0, 1000, 2)).__next__


def names(declared):
    return sorted(measure.name for measure in declared().measures)


def write(path, *exports):
    documents = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in exports]
    path.write_text(yaml.safe_dump_all(documents))
    os.utime(path, ns=(next(_STAMPS), 0))


_STAMPS = iter(range(1, 1000))


def test_policies_and_files_are_followed(tmp_path, clock):
    file = tmp_path / "a.yaml"
    write(file, export(WAITING))
    store = Store(policy(PODS_METRIC))
    declared = RegistryProvider(store, ExportFiles([tmp_path], "default"), clock=clock)
    first = declared()
    assert names(declared) == ["gcm|waiting|gauge", "num_requests_waiting", "running"]
    assert declared() is first
    os.utime(file, ns=(1, next(_STAMPS)))
    write(file, export({"name": "other", "signal": "waiting"}))
    assert names(declared) == ["other", "running"]
    file.unlink()
    store.stored = ()
    assert names(declared) == []


def test_a_broken_edit_leaves_what_was_there(tmp_path, clock, caplog):
    file = tmp_path / "a.yaml"
    write(file, export(WAITING))
    store = Store(policy(PODS_METRIC))
    declared = RegistryProvider(store, ExportFiles([file], "default"), clock=clock)
    before = declared()
    file.write_text("kind: [")
    store.broken = True
    assert declared() is before
    assert "what was there before stays in force" in caplog.text


def test_an_export_without_a_namespace_is_of_our_own(tmp_path, clock):
    document = export(WAITING).model_dump(mode="json", by_alias=True, exclude_none=True)
    del document["metadata"]["namespace"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(document))
    declared = RegistryProvider(Store(), ExportFiles([tmp_path], "mine"), clock=clock)
    assert {measure.namespace for measure in declared().measures} == {"mine"}


def test_a_look_is_good_for_a_second(tmp_path):
    now = [0.0]
    store = Store()
    declared = RegistryProvider(store, ExportFiles([tmp_path], "default"), clock=lambda: now[0])
    assert names(declared) == []
    store.stored = (policy(PODS_METRIC),)
    now[0] = 0.9
    assert names(declared) == []
    now[0] = 1.0
    assert names(declared) == ["running"]
