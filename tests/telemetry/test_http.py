from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from autoscaler.telemetry.http import TelemetryServer
from autoscaler.telemetry.metrics import Metrics
from autoscaler.telemetry.standings import Standing


class Faults:
    """What the probes are told."""

    alive: str | None = None
    ready: str | None = "waiting for the policies"


@pytest.fixture
def served() -> Iterator[tuple[str, Faults, Metrics]]:
    faults, metrics = Faults(), Metrics()
    server = TelemetryServer("127.0.0.1", 0, metrics.registry, lambda: faults.alive, lambda: faults.ready)
    yield f"http://127.0.0.1:{server.port}", faults, metrics
    server.close()


def test_probes_say_what_is_wrong(served: tuple[str, Faults, Metrics]) -> None:
    url, faults, _ = served
    assert requests.get(f"{url}/healthz", timeout=5).text == "ok\n"
    refused = requests.get(f"{url}/readyz", timeout=5)
    assert (refused.status_code, refused.text) == (503, "waiting for the policies\n")
    faults.ready, faults.alive = None, "the loop has stood still for 600 s"
    assert requests.get(f"{url}/readyz", timeout=5).status_code == 200
    assert requests.get(f"{url}/healthz", timeout=5).status_code == 503


def test_metrics_have_a_page(served: tuple[str, Faults, Metrics]) -> None:
    url, _, metrics = served
    standing = Standing(
        current=2,
        desired=4,
        ready=2,
        min_replicas=1,
        max_replicas=10,
        reason="AboveTarget",
        dry_run=True,
        gpus_per_replica=2,
        ages={"waiting": 7.5},
    )
    metrics.standings.decided(("chat", "vllm"), standing)
    page = requests.get(f"{url}/metrics", timeout=5)
    assert page.headers["Content-Type"].startswith("text/plain")
    for line in (
        'vllm_autoscaler_current_replicas{policy="vllm",policy_namespace="chat"} 2.0',
        'vllm_autoscaler_desired_replicas{policy="vllm",policy_namespace="chat"} 4.0',
        'vllm_autoscaler_desired_gpus{policy="vllm",policy_namespace="chat"} 8.0',
        'vllm_autoscaler_dry_run_difference_replicas{policy="vllm",policy_namespace="chat"} 2.0',
        'vllm_autoscaler_metric_age_seconds{metric="waiting",policy="vllm",policy_namespace="chat"} 7.5',
    ):
        assert line in page.text.splitlines()
    metrics.standings.forget(("chat", "vllm"))
    assert "chat" not in requests.get(f"{url}/metrics", timeout=5).text


def test_other_pages_are_not_there(served: tuple[str, Faults, Metrics]) -> None:
    assert requests.get(f"{served[0]}/debug", timeout=5).status_code == 404


def test_policies_are_counted_by_mode() -> None:
    metrics = Metrics()
    metrics.count_policies(["Active", "Active", "Paused"])
    assert metrics.registry.get_sample_value("vllm_autoscaler_policies", {"mode": "Active"}) == 2
    assert metrics.registry.get_sample_value("vllm_autoscaler_policies", {"mode": "DryRun"}) == 0
