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


@pytest.mark.slow
def test_the_recipe_makes_a_command_that_runs_alone(tmp_path):
    source = tmp_path / "src"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    outside = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    for run in instructions("RUN"):
        command = run.replace("/opt/", f"{tmp_path}/opt/")
        ended = subprocess.run(
            ["sh", "-ec", command], cwd=source, env=outside, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    autoscale = tmp_path / "opt/autoscaler/bin/autoscale"
    for words in (
        ["--version"],
        ["policies", "chat"],
        ["simulate", "azure-conv", "--replicas", "8", "--span", "60"],
    ):
        ended = subprocess.run(
            [autoscale, *words], cwd=tmp_path, env=outside, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
