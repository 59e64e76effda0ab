"""Pods that start, serve, drain and are billed; routing; the gateway queue."""

from __future__ import annotations

from typing import get_args

import pytest

from autoscaler.decision.types import PodPhase
from simulator.run.scrape import observed_pod
from simulator.startup.plan import StartupModel
from simulator.vllm.request_table import QueueLimit, RequestOutcome, RequestTable
from simulator.world.cluster import Cluster, Routing
from tests.simulator.profiles import make_profile

STARTUP = StartupModel(name="test", node_s=20.0, engine_s=40.0)


def make_cluster(replicas: int, routing: Routing = "least-loaded", seed: int = 0) -> Cluster:
    cluster = Cluster(make_profile(), STARTUP, RequestTable(), routing, seed)
    cluster.start_ready(replicas)
    return cluster


def arrive(cluster: Cluster, now: float, prompt: int = 10, output: int = 100) -> int:
    row = cluster.requests.add(now, prompt, output)
    cluster.arrive(row, now)
    return row


def test_an_ordered_pod_is_pending_then_loading_then_ready():
    cluster = make_cluster(1)
    cluster.scale(2, 100.0)
    young = cluster.pods[1]
    assert cluster.next_ready == 160.0
    assert (observed_pod(young, 119.0).phase, observed_pod(young, 119.0).ready) == (PodPhase.PENDING, False)
    assert (observed_pod(young, 121.0).phase, observed_pod(young, 121.0).ready) == (PodPhase.RUNNING, False)
    cluster.bring_up(160.0)
    assert observed_pod(young, 160.0).ready
    assert len(cluster.ready) == 2


def test_a_pod_is_billed_from_its_order_to_the_end_of_its_drain():
    cluster = make_cluster(2)
    arrive(cluster, 1.0)
    arrive(cluster, 1.0, output=500)  # 5 s on the second replica
    cluster.scale(1, 2.0)
    assert len(cluster.pods) == 2, "it drains"
    cluster.advance(10.0)
    assert len(cluster.pods) == 1
    cluster.close(20.0)
    lives = {life.name: life for life in cluster.lives}
    assert lives["vllm-1"].drain_s == 2.0
    assert lives["vllm-1"].ended_s == pytest.approx(6.0)
    assert lives["vllm-0"].ended_s == 20.0
    assert all(outcome == RequestOutcome.COMPLETED for outcome in cluster.requests.outcome)


def test_a_pod_that_has_nothing_to_finish_ends_at_once():
    cluster = make_cluster(2)
    cluster.scale(1, 2.0)
    assert [life.ended_s for life in cluster.lives] == [2.0]


def test_scale_down_takes_pods_that_still_start_before_ready_ones_and_the_newest_first():
    cluster = make_cluster(2)
    cluster.scale(4, 10.0)
    cluster.scale(3, 11.0)
    assert [pod.replica.name for pod in cluster.pods] == ["vllm-0", "vllm-1", "vllm-2"]
    cluster.scale(1, 12.0)
    assert [pod.replica.name for pod in cluster.pods] == ["vllm-0"]
    assert [(life.name, life.ready_s, life.ended_s) for life in cluster.lives] == [
        ("vllm-3", None, 11.0),
        ("vllm-2", None, 12.0),
        ("vllm-1", 0.0, 12.0),
    ]


def test_a_draining_pod_gets_no_new_requests():
    cluster = make_cluster(2)
    arrive(cluster, 0.0, output=1000)
    arrive(cluster, 0.0, output=1000)
    cluster.scale(1, 1.0)
    for second in range(2, 6):
        arrive(cluster, float(second))
    assert list(cluster.requests.replica) == [0, 1, 0, 0, 0, 0]


def test_without_ready_pods_requests_wait_at_the_gateway_and_are_not_waiting_in_vllm():
    cluster = make_cluster(0)
    for _ in range(3):
        arrive(cluster, 1.0)
    assert len(cluster.gateway) == 3
    cluster.scale(1, 5.0)
    cluster.bring_up(65.0)
    assert not cluster.gateway
    cluster.advance(100.0)
    assert [round(time, 2) for time in cluster.requests.queue_s] == [64.0, 64.01, 64.01]


def test_a_request_that_the_model_cannot_take_is_rejected():
    cluster = make_cluster(1)
    row = arrive(cluster, 0.0, prompt=15_000, output=2_000)
    assert cluster.requests.outcome[row] == RequestOutcome.REJECTED
    assert cluster.in_flight() == 0


def test_a_request_beyond_the_kv_cache_is_rejected_even_where_the_model_could_take_it():
    cluster = Cluster(make_profile(kv_cache_tokens=1_000), STARTUP, RequestTable(), "least-loaded", 0)
    cluster.start_ready(1)
    assert [cluster.requests.outcome[arrive(cluster, 0.0, 900, output)] for output in (92, 93)] == [
        RequestOutcome.UNFINISHED,
        RequestOutcome.REJECTED,
    ]


def test_a_request_that_finds_every_replica_full_is_refused_and_none_that_waits_at_the_gateway_is_kept():
    profile = make_profile(max_num_seqs=2, max_num_queued_reqs=3)
    cluster = Cluster(profile, STARTUP, RequestTable(), "least-loaded", 0)
    cluster.start_ready(2)
    outcomes = [arrive(cluster, 1.0) for _ in range(8)]
    assert [cluster.requests.outcome[row] for row in outcomes] == [RequestOutcome.UNFINISHED] * 6 + [
        RequestOutcome.REJECTED
    ] * 2
    assert [replica.refused for replica in cluster.ready] == [2, 0]
    assert cluster.requests.rejected_by == {QueueLimit("max_num_queued_reqs", 3): 2}
    assert cluster.last_finish() == 1.0
    waking = Cluster(profile, STARTUP, RequestTable(), "least-loaded", 0)
    for _ in range(5):
        arrive(waking, 1.0)
    waking.scale(1, 1.0)
    waking.bring_up(61.0)
    assert (waking.in_flight(), waking.requests.rejected) == (3, 2)


@pytest.mark.parametrize("routing", get_args(Routing))
def test_every_routing_spreads_requests_over_the_ready_pods(routing):
    cluster = make_cluster(4, routing)
    for _ in range(400):
        arrive(cluster, 0.0)
    counts = [list(cluster.requests.replica).count(index) for index in range(4)]
    spread = {"least-loaded": 0, "round-robin": 0, "random": 60}[routing]
    assert sum(counts) == 400
    assert max(counts) - min(counts) <= spread


def test_least_loaded_means_the_fewest_requests_in_flight():
    cluster = make_cluster(2)
    arrive(cluster, 0.0, output=1000)
    arrive(cluster, 0.0, output=10)
    arrive(cluster, 1.0)  # the second replica has finished by now
    assert cluster.requests.replica[2] == 1


def test_random_routing_depends_on_the_seed_alone():
    def routes(seed: int) -> list[int]:
        cluster = make_cluster(4, "random", seed)
        for _ in range(50):
            arrive(cluster, 0.0)
        return list(cluster.requests.replica)

    assert routes(1) == routes(1)
    assert routes(1) != routes(2)
