from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
import requests
from prometheus_client import CollectorRegistry, Gauge

from autoscaler.telemetry.controller_metrics import ControllerMetrics
from autoscaler.telemetry.http import TelemetryServer
from autoscaler.telemetry.policy_metrics import PolicySnapshot
from tests.servers.eventually import eventually


class Faults:
    """What the probes are told."""

    alive: str | None = None
    ready: str | None = "waiting for the policies"


@pytest.fixture
def served() -> Iterator[tuple[str, Faults, ControllerMetrics]]:
    faults, metrics = Faults(), ControllerMetrics()
    server = TelemetryServer("127.0.0.1", 0, metrics.registry, lambda: faults.alive, lambda: faults.ready)
    yield f"http://127.0.0.1:{server.port}", faults, metrics
    server.close()


def test_probes_say_what_is_wrong(served: tuple[str, Faults, ControllerMetrics]) -> None:
    url, faults, _ = served
    assert requests.get(f"{url}/healthz", timeout=5).text == "ok\n"
    refused = requests.get(f"{url}/readyz", timeout=5)
    assert (refused.status_code, refused.text) == (503, "waiting for the policies\n")
    faults.ready, faults.alive = None, "the loop has stood still for 600 s"
    assert requests.get(f"{url}/readyz", timeout=5).status_code == 200
    assert requests.get(f"{url}/healthz", timeout=5).status_code == 503


def test_metrics_have_a_page(served: tuple[str, Faults, ControllerMetrics]) -> None:
    url, _, metrics = served
    standing = PolicySnapshot(
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


def test_other_pages_are_not_there(served: tuple[str, Faults, ControllerMetrics]) -> None:
    assert requests.get(f"{served[0]}/debug", timeout=5).status_code == 404


def test_policies_are_counted_by_mode() -> None:
    metrics = ControllerMetrics()
    metrics.count_policies(["Active", "Active", "Paused"])
    assert metrics.registry.get_sample_value("vllm_autoscaler_policies", {"mode": "Active"}) == 2
    assert metrics.registry.get_sample_value("vllm_autoscaler_policies", {"mode": "DryRun"}) == 0


def opened(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(sent)
    return connection


def threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


HALF = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: "


@pytest.mark.parametrize("sent", [b"", HALF, b"GET"])
def test_probes_are_answered_under_a_crowd_that_says_nothing_to_the_end(sent: bytes) -> None:
    server = TelemetryServer(
        "127.0.0.1", 0, ControllerMetrics().registry, lambda: None, lambda: None, connections=8
    )
    before = threads()
    with ExitStack() as crowd:
        for _ in range(60):
            crowd.enter_context(opened(server.port, sent))
        for page in ("healthz", "readyz", "metrics"):
            assert requests.get(f"http://127.0.0.1:{server.port}/{page}", timeout=10).status_code == 200
        eventually(lambda: threads() - before <= 8)
    server.close()
    eventually(lambda: threads() <= before)


@pytest.mark.parametrize("sent", [b"", HALF])
def test_a_connection_that_takes_too_long_is_closed_though_it_drips(sent: bytes) -> None:
    server = TelemetryServer(
        "127.0.0.1", 0, ControllerMetrics().registry, lambda: None, lambda: None, seconds=0.3
    )
    with opened(server.port, sent) as slow:

        def closed() -> bool:
            try:
                slow.sendall(b"a")
                return slow.recv(1) == b""
            except ConnectionError:
                return True

        slow.settimeout(0.05)
        eventually(lambda: done(closed))
    server.close()


def done(closed: Callable[[], bool]) -> bool:
    try:
        return closed()
    except TimeoutError:
        return False


def test_an_answer_that_is_not_read_ends_too() -> None:
    registry = CollectorRegistry()
    many = Gauge("large", "Larger than any buffer.", ("n",), registry=registry)
    for number in range(20_000):
        many.labels("x" * 500 + str(number))
    server = TelemetryServer("127.0.0.1", 0, registry, lambda: None, lambda: None, seconds=0.3)
    before = threads()
    with opened(server.port, b"GET /metrics HTTP/1.0\r\n\r\n"):
        eventually(lambda: threads() > before)
        eventually(lambda: threads() == before)
    server.close()


ODD = {
    "no version": b"GET /healthz\r\n\r\n",
    "HTTP/0.9": b"GET /healthz HTTP/0.9\r\n\r\n",
    "HTTP/2": b"GET /healthz HTTP/2.0\r\n\r\n",
    "not text": b"\x16\x03\x01Secret-bytes and more\r\n\r\n",
    "a method that is not there": b"POST /Secret-bytes HTTP/1.1\r\n\r\n",
    "a long line": b"GET /" + b"Secret-bytes" * 9000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX-A: " + b"Secret-bytes" * 9000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_what_is_refused_shows_neither_its_bytes_nor_our_versions(
    served: tuple[str, Faults, ControllerMetrics], sent: bytes
) -> None:
    with opened(int(served[0].rpartition(":")[2])) as connection:
        connection.sendall(sent)
        said = b""
        with suppress(ConnectionError):
            while more := connection.recv(65536):
                said += more
    assert re.match(rb"HTTP/1\.[01] (4\d\d|50[15]) ", said)
    assert b"Server: vllm-autoscaler\r\n" in said
    assert not any(word in said.lower() for word in (b"secret", b"python", b"basehttp", b"ok\n"))
