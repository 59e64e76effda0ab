"""Simulated state as the autoscaler sees it: at scrape times, with a lag, with gaps."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from autoscaler.api.models import Metric
from autoscaler.api.signals import Scope, Signal
from autoscaler.decision.types import Reading
from simulator.run.latency_histograms import ITL_EDGES, TTFT_EDGES, LatencyHistograms
from simulator.run.scrape import Scraper
from simulator.run.scraped_signals import READERS, PodScrape, Scrape
from simulator.startup.plan import StartupModel
from simulator.vllm.request_table import RequestTable
from simulator.world.cluster import Cluster
from tests.decision.builders import policy
from tests.simulator.profiles import make_profile


def metric(signal: str, kind: str = "PodsAverage", **more: Any) -> Metric:
    field = "value" if kind == "Value" else "averageValue"
    return Metric.model_validate({"signal": signal, "target": {"type": kind, field: 1}, **more})


def make(signal: Metric, replicas: int = 2, lag_s: float = 0.0, **profile: Any) -> tuple[Scraper, Cluster]:
    startup = StartupModel(name="test", engine_s=60.0)
    table = RequestTable()
    cluster = Cluster(make_profile(**profile), startup, table, "round-robin", 0, LatencyHistograms)
    cluster.start_ready(replicas)
    return Scraper(policy(signal).spec, 15.0, lag_s, {}), cluster


def arrive(cluster: Cluster, now: float, output: int = 100, prompt: int = 10) -> None:
    cluster.arrive(cluster.requests.add(now, prompt, output), now)


def scrape(scraper: Scraper, cluster: Cluster, *times: float) -> None:
    for now in times:
        cluster.advance(now)
        scraper.scrape(cluster, now)


def read(scraper: Scraper, cluster: Cluster, now: float) -> Reading:
    return scraper.observe(cluster, scraper.answers(now), now).readings[0]


def values(reading: Reading) -> list[float]:
    return [round(sample.value, 6) for sample in reading.samples]


def test_every_signal_of_the_catalogue_is_read_from_the_scrapes_as_its_entry_says():
    assert list(READERS) == list(Signal)
    histograms = {"ttft": (1,) * len(TTFT_EDGES), "itl": (1,) * len(ITL_EDGES)}
    pod = PodScrape(1, 2, 0.5, 3.0, 4.0, 5, 6, 7, refused=8, **histograms)
    scrapes = [Scrape(time, {"vllm-0": pod}, 9) for time in (0.0, 15.0)]
    for signal, read_signal in READERS.items():
        answer = read_signal(scrapes, 60)
        assert len(answer.buckets) == signal.info.is_quantile
        of_pods = signal.info.scope is Scope.POD
        assert [one.pod for one in answer.points] == ["vllm-0" if of_pods else None] * (not answer.buckets)


def test_a_sample_is_as_old_as_its_scrape_and_is_not_seen_before_the_lag_has_passed():
    scraper, cluster = make(metric("running"), replicas=1, lag_s=5.0)
    scrape(scraper, cluster, 15.0)
    arrive(cluster, 20.0, output=10_000)
    scrape(scraper, cluster, 30.0)
    assert read(scraper, cluster, 19.0).error == "not scraped yet"
    before, after = read(scraper, cluster, 34.0), read(scraper, cluster, 35.0)
    assert (values(before), before.samples[0].timestamp) == ([0.0], 15.0)
    assert (values(after), after.samples[0].timestamp) == ([1.0], 30.0)


def test_a_pod_that_still_starts_has_no_sample_and_a_draining_one_does():
    scraper, cluster = make(metric("running"), replicas=2)
    for _ in range(2):
        arrive(cluster, 1.0, output=10_000)
    cluster.scale(1, 2.0)
    cluster.scale(2, 3.0)
    scrape(scraper, cluster, 15.0)
    assert [sample.pod for sample in read(scraper, cluster, 15.0).samples] == ["vllm-0", "vllm-1"]
    pods = scraper.observe(cluster, {}, 15.0).pods
    assert [(pod.name, pod.ready, pod.deleting) for pod in pods] == [
        ("vllm-0", True, False),
        ("vllm-1", True, True),
        ("vllm-2", False, False),
    ]


def test_status_replicas_do_not_count_draining_pods():
    scraper, cluster = make(metric("running"), replicas=2)
    arrive(cluster, 0.0, output=10_000)
    arrive(cluster, 0.0, output=10_000)
    cluster.scale(1, 1.0)
    observation = scraper.observe(cluster, {}, 2.0)
    assert (observation.spec_replicas, observation.status_replicas, len(observation.pods)) == (1, 1, 2)


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ("running", [1.0, 64.0]),
        ("waiting", [0.0, 6.0]),
        ("running+waiting", [1.0, 70.0]),
        ("gpuMemoryUsed", [2048.0, 2048.0]),
    ],
)
def test_gauges_of_one_busy_and_one_full_replica(signal, expected):
    scraper, cluster = make(metric(signal))
    arrive(cluster, 0.0, output=5_000)
    for _ in range(70):
        cluster.pods[1].replica.submit(cluster.requests.add(0.0, 10, 5_000), 0.0)
    scrape(scraper, cluster, 1.0)
    assert values(read(scraper, cluster, 1.0)) == expected


def test_gpu_utilization_is_the_busy_share_of_the_last_interval():
    scraper, cluster = make(metric("gpuUtilization"), replicas=1)
    scrape(scraper, cluster, 15.0)
    arrive(cluster, 20.0, output=300)  # 3 s of 15
    scrape(scraper, cluster, 30.0)
    assert values(read(scraper, cluster, 30.0)) == [0.2]


@pytest.mark.parametrize(
    ("signal", "expected"),
    [("generationTokensPerSecond", 10.0), ("promptTokensPerSecond", 1.0), ("requestsPerSecond", 0.1)],
)
def test_rates_are_increases_over_the_window(signal, expected):
    scraper, cluster = make(metric(signal, windowSeconds=30), replicas=1)
    scrape(scraper, cluster, 0.0)
    for second in (1.0, 11.0, 21.0):
        arrive(cluster, second)
        scrape(scraper, cluster, second + 9.0)
    assert values(read(scraper, cluster, 30.0)) == [pytest.approx(expected)]


def test_refused_requests_are_a_rate_of_each_pod_and_engines_without_a_limit_have_none():
    scraper, cluster = make(metric("rejectedPerSecond"), max_num_queued_reqs=1)
    scrape(scraper, cluster, 0.0)
    assert read(scraper, cluster, 0.0) == Reading("rejectedPerSecond", missing=("vllm-0", "vllm-1"))
    for _ in range(17):
        arrive(cluster, 1.0)
    scrape(scraper, cluster, 15.0)
    assert sum(values(read(scraper, cluster, 15.0))) == 1.0
    scraper, cluster = make(metric("rejectedPerSecond"))
    scrape(scraper, cluster, 0.0, 15.0)
    assert read(scraper, cluster, 15.0) == Reading("rejectedPerSecond")


def test_a_rate_needs_two_scrapes():
    scraper, cluster = make(metric("requestsPerSecond"), replicas=1)
    scrape(scraper, cluster, 15.0)
    assert read(scraper, cluster, 15.0).samples == ()


def test_the_gateway_queue_belongs_to_no_pod_and_exists_at_zero_replicas():
    scraper, cluster = make(metric("gatewayQueue", "AverageValue"), replicas=0)
    arrive(cluster, 1.0)
    scrape(scraper, cluster, 15.0)
    [sample] = read(scraper, cluster, 15.0).samples
    assert (sample.value, sample.pod) == (1.0, None)


def test_ttft_quantiles_come_from_vllms_buckets_over_all_pods():
    scraper, cluster = make(metric("ttft", "Value", quantile=0.5), replicas=2)
    scrape(scraper, cluster, 0.0)
    for _ in range(10):
        arrive(cluster, 0.001, output=1)  # alone on its replica 10 ms, else up to 20 ms
    scrape(scraper, cluster, 15.0)
    assert values(read(scraper, cluster, 15.0))[0] <= 0.02


def test_latency_without_a_request_in_the_window_is_idle_once_every_ready_pod_was_scraped_twice():
    scraper, cluster = make(metric("ttft", "Value", windowSeconds=30), replicas=2)
    scrape(scraper, cluster, 15.0)
    assert read(scraper, cluster, 15.0) == Reading("ttft", missing=("vllm-0", "vllm-1"))
    scrape(scraper, cluster, 30.0)
    assert read(scraper, cluster, 30.0) == Reading("ttft", idle="no request in the last 30 s")
    cluster.scale(3, 30.0)
    scrape(scraper, cluster, 45.0)
    assert read(scraper, cluster, 45.0).idle is not None, "a pod that starts is not asked"
    scrape(scraper, cluster, 75.0)
    cluster.bring_up(90.0)
    scrape(scraper, cluster, 90.0)
    assert read(scraper, cluster, 90.0) == Reading("ttft", missing=("vllm-2",)), "it was scraped once"
    scrape(scraper, cluster, 105.0)
    assert read(scraper, cluster, 105.0).idle is not None


@pytest.mark.parametrize(("signal", "kind"), [("ttft", "Value"), ("requestsPerSecond", "PodsAverage")])
def test_what_ends_in_a_draining_pod_counts_until_the_pod_is_gone(signal, kind):
    scraper, cluster = make(metric(signal, kind), replicas=2)
    scrape(scraper, cluster, 0.0)
    leaving = cluster.pods[1].replica
    for output in (10, 3_000):
        leaving.submit(cluster.requests.add(1.0, 10, output), 1.0)
    scrape(scraper, cluster, 15.0)
    cluster.scale(1, 16.0)
    assert sum(values(read(scraper, cluster, 16.0))) > 0
    scrape(scraper, cluster, 30.0, 45.0)
    assert len(cluster.pods) == 1
    assert sum(values(read(scraper, cluster, 45.0))) == 0


def test_itl_of_a_run_that_slows_down_falls_into_the_buckets_its_steps_belong_to():
    histograms = LatencyHistograms()
    histograms.decode_run(sequences=3, steps=5, first_step_s=0.009, growth_s=0.0005)
    # 9.0, 9.5 and 10.0 ms are within the first edge, 10.5 and 11.0 ms within the second.
    assert histograms.itl[:3] == [9, 6, 0]


def test_a_quantile_of_nothing_is_no_sample_rather_than_zero():
    scraper, cluster = make(metric("itl", "Value"), replicas=1)
    scrape(scraper, cluster, 0.0, 15.0)
    assert read(scraper, cluster, 15.0).samples == ()


def test_the_bucket_edges_rise_and_end_in_infinity():
    for edges in (TTFT_EDGES, ITL_EDGES):
        assert list(edges) == sorted(set(edges))
        assert edges[-1] == inf
