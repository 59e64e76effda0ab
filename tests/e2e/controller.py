"""`autoscale run` as a process of its own, and the policies that it is given."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from tests.e2e.cluster import Cluster
from tests.e2e.scripted import vllm
from tests.servers.api import JSON
from tests.servers.process import Server, free_port

GROUP = "vllm-autoscaler.io/v1alpha1"
PATIENCE = 30.0
"""Seconds within which whatever a test waits for has happened, on a busy machine too."""


class RunningController(Server):
    """One controller; ``folder`` keeps its output and its decisions.jsonl."""

    def __init__(
        self,
        folder: Path,
        kubeconfig: Path,
        prometheus_url: str,
        *options: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.decisions = folder / "decisions.jsonl"
        command: list[str | Path] = [
            *(sys.executable, "-m", "autoscaler", "run", "--kubeconfig", kubeconfig),
            *("--prometheus-url", prometheus_url, "--decision-log", self.decisions),
            *("--metrics-address", "127.0.0.1", "--metrics-port", str(self.port)),
            *options,
        ]
        super().__init__(command, folder / "controller.log")

    def ready(self) -> bool:
        """Whether it serves; standing by is being ready too."""
        return requests.get(f"{self.url}/readyz", timeout=2).ok

    def metric(self, line: str) -> float | None:
        """A sample of its /metrics, e.g. ``vllm_autoscaler_leading``; None where there is none."""
        page = requests.get(f"{self.url}/metrics", timeout=5).text
        found = [one for one in page.splitlines() if one.startswith(f"{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else None

    def lines(self) -> list[JSON]:
        """What it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def policy(namespace: str, metrics: Sequence[JSON] | None = None, name: str = "vllm", **spec: Any) -> JSON:
    """A policy of 1 to 5 replicas on waiting requests that decides every second and does not hesitate."""
    calm = {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 5, "periodSeconds": 1}]}
    return {
        "apiVersion": GROUP,
        "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": metrics
            or [
                {
                    "signal": "waiting",
                    "target": {"type": "PodsAverage", "averageValue": 5},
                    "maxAgeSeconds": 10,
                }
            ],
            "behavior": {"scaleDown": calm},
            "syncPeriodSeconds": 1,
            **spec,
        },
    }


def load(waiting: float | str, kv: float | str = 0.1, running: float | str = 1) -> str:
    """What a pod with so much to do says of itself."""
    return vllm(running, waiting, kv)


def replicas(cluster: Cluster, namespace: str) -> int:
    """The replicas that are ordered."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/vllm/scale"
    return int(cluster.api.get(path)["spec"].get("replicas", 0))


def status_of(cluster: Cluster, namespace: str) -> JSON:
    """The policy's status; empty before the first."""
    path = f"/apis/{GROUP}/namespaces/{namespace}/scalingpolicies/vllm"
    return cluster.api.get(path).get("status", {})


def condition_of(cluster: Cluster, namespace: str, kind: str) -> tuple[str, str] | None:
    """A condition's status and reason."""
    conditions = status_of(cluster, namespace).get("conditions", [])
    return next(((one["status"], one["reason"]) for one in conditions if one["type"] == kind), None)
