"""A pool of nodes: warm ones, new ones, none left, and what stands idle."""

from __future__ import annotations

from math import inf

import pytest

from autoscaler.decision.types import PodPhase
from simulator.run.event_loop import simulate
from simulator.run.scenario import FixedScaling
from simulator.run.scrape import observed_pod
from simulator.startup.nodes import NodeLimits, NodePool
from simulator.startup.plan import StartupModel
from simulator.startup.replica_life import StartPhases
from simulator.vllm.request_table import RequestTable
from simulator.world.cluster import Cluster
from tests.simulator.profiles import make_profile
from tests.simulator.run.test_event_loop import make_policy, make_scenario, steady

STARTUP = StartupModel(name="test", node_s=100.0, image_s=20.0, engine_s=40.0)


def test_warm_nodes_are_taken_first_then_new_ones_until_there_are_none():
    pool = NodePool(NodeLimits(most=3, warm=1))
    assert [pool.take(10.0) for _ in range(4)] == [0.0, inf, inf, None]


def test_a_released_node_is_taken_again_at_once_and_its_idle_time_is_counted():
    pool = NodePool(NodeLimits(most=1))
    assert pool.take(0.0) == inf
    pool.release(100.0, 100.0)
    assert pool.take(130.0) == 0.0
    assert pool.idle_node_s == 30.0


def test_a_node_that_was_still_on_its_way_is_usable_when_it_comes():
    pool = NodePool(NodeLimits(most=1))
    pool.take(0.0)
    pool.release(30.0, 100.0)
    assert pool.take(40.0) == 60.0


def test_an_idle_node_is_deleted_and_leaves_room_for_a_new_one():
    pool = NodePool(NodeLimits(most=1, idle_s=60.0))
    pool.take(0.0)
    pool.release(100.0, 100.0)
    assert pool.take(160.0) == inf
    assert pool.idle_node_s == 60.0


def test_what_is_idle_at_the_end_is_counted():
    pool = NodePool(NodeLimits(most=3, warm=2))
    pool.take(10.0)
    pool.close(100.0)
    assert pool.idle_node_s == 10.0 + 100.0


def make_cluster(limits: NodeLimits | None, startup: StartupModel = STARTUP, replicas: int = 1) -> Cluster:
    nodes = None if limits is None else NodePool(limits)
    cluster = Cluster(make_profile(), startup, RequestTable(), "least-loaded", 0, nodes=nodes)
    cluster.start_ready(replicas)
    return cluster


def test_with_no_node_left_a_pod_stays_pending_until_one_is_freed():
    cluster = make_cluster(NodeLimits(most=2))
    cluster.scale(3, 0.0)
    third = cluster.pods[2]
    assert cluster.next_ready == 160.0, "the second has the last node"
    assert third.ready_at == inf
    assert observed_pod(third, 10_000.0).phase is PodPhase.PENDING
    cluster.scale(2, 500.0)
    assert [pod.replica.name for pod in cluster.pods] == ["vllm-0", "vllm-1"], "pending ones go first"


def test_a_freed_node_is_warm_for_the_pod_that_waits():
    cluster = make_cluster(NodeLimits(most=2), replicas=2)
    cluster.requests.add(0.0, 10, 100)
    cluster.arrive(0, 0.0)  # the first replica is busy for a second
    cluster.scale(1, 0.1)
    cluster.scale(2, 0.2)
    young = cluster.pods[-1]
    assert young.ready_at == pytest.approx(0.2 + 40.0), "no node, no image to wait for"


def test_waiting_for_a_node_is_a_phase_of_its_own_and_is_not_billed():
    cluster = make_cluster(NodeLimits(most=1))
    cluster.scale(2, 10.0)
    cluster.close(110.0)
    young = cluster.lives[-1]
    assert young.start == StartPhases(waiting_s=100.0)
    assert young.ready_s is None
    assert young.billed_from_s == young.ended_s


def test_a_pod_that_is_removed_while_its_node_comes_leaves_the_node():
    cluster = make_cluster(NodeLimits(most=2))
    cluster.scale(2, 0.0)
    cluster.scale(1, 30.0)
    cluster.scale(2, 50.0)
    assert cluster.pods[-1].ready_at == pytest.approx(100.0 + 40.0), "the node that was ordered at 0"


def test_without_a_limit_every_pod_gets_a_new_node():
    cluster = make_cluster(None)
    cluster.scale(50, 5.0)
    assert {pod.ready_at for pod in cluster.pods[1:]} == {165.0}


def test_pods_that_start_together_share_the_storage():
    startup = StartupModel(name="shared", weights_gb_per_s=1.0, shared_gb_per_s=2.0, engine_s=10.0)
    cluster = make_cluster(None, startup)
    seconds = 2**30 / 1e9  # 1 GiB of weights, alone
    cluster.scale(2, 0.0)
    assert cluster.next_ready == pytest.approx(seconds + 10.0)
    cluster.scale(5, 0.0)
    assert cluster.next_ready == pytest.approx(2 * seconds + 10.0), "four at half their rate"


def test_a_pod_that_is_removed_leaves_its_share_to_the_others():
    startup = StartupModel(name="shared", weights_gb_per_s=1.0, shared_gb_per_s=1.0)
    cluster = make_cluster(None, startup)
    cluster.scale(3, 0.0)
    slow = cluster.next_ready
    cluster.scale(2, 0.5)
    assert cluster.next_ready == pytest.approx(2**30 / 1e9 + 0.25)
    assert cluster.next_ready < slow


def test_a_run_in_a_small_pool_serves_everybody_and_never_uses_more_nodes():
    trace = steady(1, 0, 300) + steady(6, 300, 900) + steady(1, 900, 1500)
    scenario = make_scenario(startup=STARTUP, nodes=NodeLimits(most=3))
    result = simulate(trace, make_policy(), scenario)
    assert result.requests.completed == len(trace)
    assert max(point.desired for point in result.timeline) > 3
    assert max(point.ready for point in result.timeline) == 3
    edges = sorted({life.billed_from_s for life in result.replicas})
    used = [sum(life.billed_from_s <= at < life.ended_s for life in result.replicas) for at in edges]
    assert max(used) == 3


def test_fixed_replicas_have_no_start():
    result = simulate(steady(1, 0, 30), FixedScaling(2), make_scenario(nodes=NodeLimits(most=2)))
    assert [life.start for life in result.replicas] == [None, None]
    assert result.idle_node_s == 0.0
