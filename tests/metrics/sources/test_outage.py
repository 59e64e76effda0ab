"""An outage of Managed Prometheus, seen by a policy: what it decides before, during and after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from autoscaler.decision.types import Decision, Pod
from autoscaler.metrics.promql import Area
from autoscaler.metrics.readings import by_metric, questions, readings
from autoscaler.metrics.sources.bounded_queries import RetryPolicy
from autoscaler.metrics.sources.cached import CachedSource
from autoscaler.metrics.sources.connection import PrometheusConnection
from autoscaler.metrics.sources.prometheus import PrometheusSource
from tests.decision.builders import decide, metric, observe, policy
from tests.servers.eventually import eventually
from tests.servers.exporter import Exporter
from tests.servers.managed_prometheus import Fault, ManagedPrometheus, google_error
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.e2e

PODS = tuple(Pod(f"vllm-{number}") for number in range(4))
POLICY = policy(
    metric(10, signal="running"),
    behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
    guards={"remainingCapacity": {"enabled": False}},
)
DOWN = Fault(503, google_error(503, "UNAVAILABLE", "The service is currently unavailable."))
LIMITED = Fault(429, google_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded."), {"Retry-After": "1"})
HUNG = Fault(delay=5.0)


class Watch:
    """The policy over time: the clock of the shared answers moves as the test says."""

    def __init__(self, managed: ManagedPrometheus, most: Exporter, last: Exporter) -> None:
        self.managed = managed
        self.most = most
        self.last = last
        self.now = 0.0
        pace = RetryPolicy(deadline=4.0, attempt=3.0, first_wait=0.01, longest_wait=0.05)
        connection = PrometheusConnection(managed.url, requests.Session())
        self.source = CachedSource(PrometheusSource(connection, Area(), pace), clock=lambda: self.now)

    def sync(self, after: float = 15.0) -> Decision:
        self.now += after
        answers = self.source.answers(questions(POLICY.spec), ["chat"])
        now = time.time()
        told = readings(POLICY.spec, by_metric(POLICY.spec, answers), "chat", PODS, now)
        return decide(POLICY, observe(len(PODS), *told, pods_=PODS), now=now)

    def asks_for(self) -> int:
        return self.sync().desired_replicas


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Exporter, Exporter]]:
    """A Prometheus, what most pods say, and what the last one says."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Exporter() as most, Exporter() as last, Prometheus(folder, interval=0.2) as server:
        server.scrape([target(pod.name, last if pod is PODS[-1] else most) for pod in PODS])
        eventually(lambda: server.query("count(up == 1)") == [({}, len(PODS))])
        yield server, most, last


def target(pod: str, exporter: Exporter) -> dict[str, object]:
    return {"targets": [exporter.address], "labels": {"namespace": "chat", "pod": pod, "instance": pod}}


@pytest.fixture
def watch(scraped: tuple[Prometheus, Exporter, Exporter]) -> Iterator[Watch]:
    """Each pod at half its target, until the test says otherwise."""
    server, most, last = scraped
    most.text, last.text, last.status = running(5), running(5), 200
    eventually(lambda: [value for _, value in server.query("vllm:num_requests_running")] == [5] * len(PODS))
    with ManagedPrometheus(server.url) as managed:
        watch = Watch(managed, most, last)
        with closing(watch.source):
            yield watch


def running(value: int) -> str:
    return f"vllm:num_requests_running {value}\n"


@pytest.mark.parametrize("fault", [DOWN, LIMITED, HUNG], ids=["unavailable", "over quota", "hung"])
def test_an_outage_holds_the_replicas_and_says_why(watch: Watch, fault: Fault):
    assert watch.asks_for() == 2  # half the load that four carry

    watch.managed.faults.extend([fault] * 1000)
    held = watch.sync()
    assert (held.desired_replicas, held.reason) == (4, "IncompleteData")
    assert "the last answer is 15 s old" in held.message

    watch.now += 90
    failed = watch.sync()
    assert (failed.desired_replicas, failed.reason) == (4, "FailedGetPodsMetric")

    watch.managed.faults.clear()
    eventually(lambda: watch.asks_for() == 2)


def test_a_last_answer_above_target_still_adds_replicas(watch: Watch):
    watch.most.text = watch.last.text = running(20)
    eventually(lambda: watch.asks_for() == 8)
    watch.managed.faults.extend([DOWN] * 1000)
    assert watch.asks_for() == 8


def test_a_short_disturbance_is_not_even_seen(watch: Watch):
    watch.managed.faults.extend([DOWN, DOWN])
    assert watch.asks_for() == 2


def test_a_pod_that_is_not_scraped_any_more_holds_the_replicas(watch: Watch):
    assert watch.asks_for() == 2
    watch.last.status = 500
    eventually(lambda: watch.sync().message == "running: no usable sample of vllm-3")
    assert watch.asks_for() == 4
    watch.last.status = 200
    eventually(lambda: watch.asks_for() == 2)
