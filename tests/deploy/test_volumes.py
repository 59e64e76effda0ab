"""The jobs that put weights in place: their own scripts, on folders of this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.kustomize import DEPLOY

MODEL = "gemma"
HUB = '#!/bin/sh\nmkdir -p "$4/original" "$4/.cache"; cp -r "$HUB/." "$4"\n'
JOBS = ["bucket", "disk", "filestore"]


def script(job: str, **places: Path) -> str:
    """What the Job's container runs, with its mounts replaced by folders of the test."""
    documents = yaml.safe_load_all((DEPLOY / f"examples/volumes/{job}/job.yaml").read_text())
    (found,) = (one for one in documents if one["kind"] == "Job")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    (text,) = container["args"]
    for name, folder in places.items():
        text = text.replace(f"/{name}/", f"{folder}/")
    return str(text)


@pytest.fixture
def model(tmp_path):
    """A model of two files, one in a folder, where the job reads it."""
    source = tmp_path / "source" / MODEL
    (source / "tokenizer").mkdir(parents=True)
    (source / "model-00001-of-00001.safetensors").write_bytes(os.urandom(300_000))
    (source / "tokenizer" / "with a space.json").write_text("{}")
    return source


def run(job: str, model: Path) -> Path:
    """The folder that it filled, after a run that succeeded."""
    root = model.parent.parent
    target = root / "target"
    (root / "scratch").mkdir(exist_ok=True)
    (root / "hf").write_text(HUB)
    (root / "hf").chmod(0o755)
    places = (
        {"scratch": root / "scratch", "bucket": target}
        if job == "bucket"
        else {"bucket": model.parent, "weights": target}
    )
    path = f"{root}:{os.environ['PATH']}"
    settings = {"MODEL_NAME": MODEL, "MODEL_ID": "google/gemma", "HUB": str(model), "PATH": path}
    command = ["/bin/sh", "-ec", script(job, **places)]
    ended = subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return target / MODEL


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("job", JOBS)
def test_every_file_arrives(job, model):
    assert contents(run(job, model)) == contents(model)


@pytest.mark.parametrize("job", JOBS)
def test_what_a_killed_copy_left_is_made_whole(job, model):
    """It is shorter and newer than its source, so neither its name nor its time tells."""
    (weights,) = model.glob("*.safetensors")
    torn = model.parent.parent / "target" / MODEL / weights.name
    torn.parent.mkdir(parents=True)
    torn.write_bytes(weights.read_bytes()[:1000])
    assert contents(run(job, model)) == contents(model)


@pytest.mark.parametrize("job", JOBS)
def test_what_is_there_is_not_written_again(job, model):
    target = run(job, model)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()}
    run(job, model)
    assert {path: path.stat().st_mtime_ns for path in before} == before
