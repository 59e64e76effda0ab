"""What ``kubectl apply -k`` would send: each kustomization built, as objects."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.cache import CACHE

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
Object = dict[str, Any]


def kustomizations() -> list[str]:
    """Every folder below deploy/ that can be applied, as its path there; components cannot."""
    files = sorted(DEPLOY.rglob("kustomization.yaml"))
    return [
        str(file.parent.relative_to(DEPLOY)) for file in files if "kind: Kustomization" in file.read_text()
    ]


def _built(name: str) -> Path | None:
    found = sorted(CACHE.glob(f"manifests-*/{name}"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _command() -> list[str]:
    if kustomize := _built("kustomize") or shutil.which("kustomize"):
        return [str(kustomize), "build"]
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    pytest.skip("no kustomize here: `make manifests` builds it with Go")


def checker() -> Path:
    """The program that knows the published Go types."""
    return _built("manifests") or pytest.skip("no manifest checker here: `make manifests` builds it with Go")


@cache
def build(folder: str | Path) -> str:
    """The YAML of one kustomization; a relative ``folder`` is one below deploy/."""
    command = [*_command(), str(DEPLOY / folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def objects(folder: str | Path) -> list[Object]:
    """Its objects."""
    return [document for document in yaml.safe_load_all(build(folder)) if document]


def of_kind(folder: str | Path, *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [item for item in objects(folder) if item["kind"] in kinds]


def pod_templates(item: Object) -> list[Object]:
    """The pod templates of a workload; none of anything else."""
    spec = item.get("spec", {})
    match item["kind"]:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
            return [spec["template"]]
        case "CronJob":
            return [spec["jobTemplate"]["spec"]["template"]]
        case "LeaderWorkerSet":
            group = spec["leaderWorkerTemplate"]
            return [group["leaderTemplate"], group["workerTemplate"]]
    return []
