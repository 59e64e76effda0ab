"""The image's recipe, without Docker: its commands run in a folder, and what they make runs alone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of one kind, comments left out, continued lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def test_it_runs_as_a_numbered_user_that_is_not_root():
    """Kubernetes checks runAsNonRoot by number."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions("USER")[-1])


def test_every_package_is_pinned_by_hash():
    installs = re.findall(r"pip install ([^&]*)", " && ".join(instructions("RUN")))
    assert len(installs) == 3
    assert all("--require-hashes" in options or "/opt/dist/" in options for options in installs)


def test_nothing_that_is_not_committed_gets_in():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", ".venv", "**/_compiled"} <= set(ignored)


OUTSIDE = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture
def source(tmp_path):
    """What is committed, as Docker would be sent it."""
    source = tmp_path / "src"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    return source


def follow(instruction, source, **arguments):
    """Runs one of the recipe's commands, with all that it does in /opt done beside the source."""
    command = instruction.replace("/opt/", f"{source.parent}/opt/")
    succeeds(["sh", "-ec", command], cwd=source, env=OUTSIDE | arguments)


def succeeds(command, **where):
    ended = subprocess.run(command, **where, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]


@pytest.mark.slow
def test_the_recipe_makes_a_command_that_runs_alone(tmp_path, source):
    for run in instructions("RUN"):
        follow(run, source)
    autoscale = tmp_path / "opt/autoscaler/bin/autoscale"
    for words in (
        ["--version"],
        ["policies", "chat"],
        ["simulate", "azure-conv", "--replicas", "8", "--span", "60"],
    ):
        succeeds([autoscale, *words], cwd=tmp_path, env=OUTSIDE)


@pytest.mark.slow
def test_an_extra_is_installed_where_it_is_asked_for(tmp_path, source):
    assert "EXTRA=" in instructions("ARG")
    follow(instructions("RUN")[0], source, EXTRA="parquet")
    succeeds([tmp_path / "opt/autoscaler/bin/python", "-c", "import pyarrow.parquet"], env=OUTSIDE)
