"""Samples to replicas for one metric, in HPA semantics.

Facts (inputs and results) of kubernetes pkg/controller/podautoscaler/replica_calculator_test.go
and horizontal_test.go, and of jthomperoo/k8shorizmetrics internal/replicas/replicas_test.go.
Levels and targets in milli, as there.
"""

from __future__ import annotations

import pytest

from autoscaler.decision.pod_groups import group_pods
from autoscaler.decision.replicas import MAX_INT32, MAX_INT64, PodLoads, Tolerance, pods_average, value
from autoscaler.decision.types import Observation, Pod, PodPhase, Proposal, Reading, Sample

from .builders import NOW, decide, hpa, metric, observe, pods

POD, VALUE, AVERAGE = "PodsAverage", "Value", "AverageValue"


def milli_reading(kind: str, levels: tuple[int, ...]) -> Reading:
    named = kind == POD
    samples = tuple(
        Sample(level / 1000, NOW, f"pod-{i}" if named else None) for i, level in enumerate(levels)
    )
    return Reading("load", samples)


def propose(kind: str, target: int, observation: Observation, **spec: object) -> Proposal:
    decision = decide(hpa(metric(f"{target}m", kind), maxReplicas=MAX_INT32, **spec), observation)
    return decision.proposals[0]


# (test, current, kind, levels, target, ready pods or None for all, expected, reported)
CALCULATOR = [
    ("ScaleUpCM", 3, POD, (20000, 10000, 30000), 15000, None, 4, 20000),
    ("ScaleUpCMUnreadyHotCpuNoLessScale", 3, POD, (50000, 10000, 30000), 15000, 2, 6, 30000),
    ("ScaleUpCMUnreadyHotCpuScaleWouldScaleDown", 3, POD, (50000, 15000, 30000), 15000, 1, 7, 31666),
    ("ScaleDownCM", 5, POD, (12000,) * 5, 20000, None, 3, 12000),
    ("ToleranceCM", 3, POD, (20000, 21000, 21000), 20000, None, 3, 20666),
    ("PlainMetricMissingMetricsNoChangeEq", 5, POD, (20000, 19000, 21000), 20000, None, 5, 20000),
    ("ScaleUpCMObject", 3, VALUE, (20000,), 15000, None, 4, 20000),
    ("ScaleUpCMObjectIgnoresUnreadyPods", 3, VALUE, (50000,), 10000, 1, 5, 50000),
    ("ScaleUpCMPerPodObject", 3, AVERAGE, (20000,), 5000, None, 4, 6667),
    ("TolerancePerPodCMObject", 4, AVERAGE, (20166,), 5000, None, 4, 5042),
    ("ScaleDownPerPodCMObject", 5, AVERAGE, (6000,), 2000, None, 3, 1200),
    ("ScaleUpCMExternalIgnoresUnreadyPods", 3, VALUE, (8600,), 4400, 1, 2, 8600),
    ("ToleranceCMExternal", 3, VALUE, (8600,), 8888, None, 3, 8600),
    ("ScaleDownCMExternal", 5, VALUE, (8600,), 14334, None, 3, 8600),
    ("ScaleUpPerPodCMExternal", 3, AVERAGE, (8600,), 2150, None, 4, 2867),
    ("TolerancePerPodCMExternal", 3, AVERAGE, (8600,), 2900, None, 3, 2867),
    ("ScaleDownPerPodCMExternal", 5, AVERAGE, (8600,), 2867, None, 3, 1720),
    ("ScaleUpOverflow", 3, VALUE, (MAX_INT64,), 1, None, MAX_INT32, MAX_INT64),
    ("ExternalPerPodOverflow", 1, AVERAGE, (MAX_INT64,), 1, None, MAX_INT32, MAX_INT64),
    # horizontal_test.go
    ("ScaleUpFromZeroCMObject", 0, VALUE, (20000,), 15000, None, 2, 20000),
    ("ScaleUpFromZeroIgnoresToleranceCMObject", 0, VALUE, (1000,), 1000, None, 1, 1000),
    ("ScaleUpPerPodCMObject 40 of 10", 3, AVERAGE, (40000,), 10000, None, 4, 13334),
    ("ScaleUpCMExternal", 3, VALUE, (8600,), 6666, None, 4, 8600),
    ("ScaleUpPerPodCMExternal 2222", 3, AVERAGE, (8600,), 2222, None, 4, 2867),
    ("ScaleDownCMObject", 5, VALUE, (12000,), 20000, None, 3, 12000),
    ("ScaleDownToZeroCMObject", 5, VALUE, (0,), 20000, None, 0, 0),
    ("ScaleDownPerPodCMObject 60 of 20", 5, AVERAGE, (60000,), 20000, None, 3, 12000),
    ("ScaleDownCMExternal 14400", 5, VALUE, (8600,), 14400, None, 3, 8600),
    ("ScaleDownPerPodCMExternal 3000", 5, AVERAGE, (8600,), 3000, None, 3, 1720),
]


@pytest.mark.parametrize(
    ("current", "kind", "levels", "target", "ready", "replicas", "usage"),
    [pytest.param(*case[1:], id=case[0]) for case in CALCULATOR],
)
def test_replica_calculator(
    current: int,
    kind: str,
    levels: tuple[int, ...],
    target: int,
    ready: int | None,
    replicas: int,
    usage: int,
) -> None:
    observation = observe(current, milli_reading(kind, levels), pods_=pods(current, ready))
    proposal = propose(kind, target, observation, minReplicas=0)
    assert (proposal.replicas, proposal.usage_milli) == (replicas, usage)


@pytest.mark.parametrize(
    ("kind", "levels", "target", "replicas", "usage"),
    [
        pytest.param(VALUE, (8900,), 8800, 4, 8900, id="ConfigurableToleranceCMExternal"),
        pytest.param(AVERAGE, (8600,), 2800, 4, 2867, id="ConfigurableTolerancePerPodCMExternal"),
    ],
)
def test_one_percent_is_enough_where_the_tolerance_says_so(
    kind: str, levels: tuple[int, ...], target: int, replicas: int, usage: int
) -> None:
    behavior = {"scaleUp": {"tolerance": 0.01}, "scaleDown": {"tolerance": 0.1}}
    proposal = propose(kind, target, observe(3, milli_reading(kind, levels)), behavior=behavior)
    assert (proposal.replicas, proposal.usage_milli) == (replicas, usage)


def test_a_rolling_update_with_surge_counts_the_pods_that_are_there() -> None:
    """RollingUpdateWithMaxSurgeCM: 2 ordered, 3 there, samples of the first two."""
    observation = observe(2, milli_reading(POD, (10000, 10000)), pods_=pods(3))
    proposal = propose(POD, 17000, observation)
    assert (proposal.replicas, proposal.usage_milli) == (2, 10000)


def test_more_replicas_than_ordered_are_what_a_sum_is_divided_by() -> None:
    """TestMoreReplicasThanSpecNoScale's rule for sums: within tolerance the status' replicas stay."""
    observation = observe(8, milli_reading(AVERAGE, (100_000,)), status=10)
    assert propose(AVERAGE, 10_000, observation).replicas == 10


def test_the_series_of_an_external_metric_are_summed() -> None:
    observation = observe(3, milli_reading(VALUE, (4000, 4600)))
    assert propose(VALUE, 6666, observation).usage_milli == 8600
    overflowing = observe(3, milli_reading(VALUE, (MAX_INT64, MAX_INT64)))
    assert propose(VALUE, 1, overflowing).usage_milli == MAX_INT64


# calcPlainMetricReplicas with its groups given (k8shorizmetrics): two pods have a sample.
@pytest.mark.parametrize(
    ("level", "current", "missing", "unready", "replicas"),
    [
        (50, 2, 0, 0, 2),
        (100, 2, 0, 0, 4),
        (25, 2, 0, 0, 1),
        (200, 4, 2, 0, 8),
        (25, 4, 2, 0, 3),
        (400, 6, 2, 2, 16),
        (150, 6, 2, 2, 6),
    ],
)
def test_plain_metric_replica_count(
    level: int, current: int, missing: int, unready: int, replicas: int
) -> None:
    loads = PodLoads(2 * level, 2, 2, unready, missing)
    assert pods_average(current, 50, loads, Tolerance()) == replicas


@pytest.mark.parametrize(
    ("current", "ratio_milli", "ready", "replicas"),
    [(0, 0, 0, 0), (0, 2000, 0, 2), (3, 950, 3, 3), (3, 1400, 3, 5), (3, 300, 3, 1)],
)
def test_usage_ratio_replica_count(current: int, ratio_milli: int, ready: int, replicas: int) -> None:
    assert value(current, 1000, ratio_milli, ready, Tolerance()) == replicas


# Groups of pods: those facts of TestGroupPods that concern other metrics than CPU.
GROUPS = [
    ("running and ready", Pod("p"), "serving"),
    ("running, not ready", Pod("p", ready=False), "serving"),
    ("pending", Pod("p", PodPhase.PENDING, ready=False), "unready"),
    ("failed", Pod("p", PodPhase.FAILED, ready=False), "ignored"),
    ("being deleted", Pod("p", deleting=True), "ignored"),
    ("pending and being deleted", Pod("p", PodPhase.PENDING, ready=False, deleting=True), "ignored"),
]


@pytest.mark.parametrize(("pod", "group"), [pytest.param(*case[1:], id=case[0]) for case in GROUPS])
def test_a_pod_belongs_to_one_group(pod: Pod, group: str) -> None:
    groups = group_pods([pod], hpa_parity=True)
    found = {
        "serving": "p" in groups.serving,
        "unready": groups.unready == 1,
        "ignored": "p" not in groups.not_deleting,
    }
    assert [name for name, member in found.items() if member] == [group]
    assert ("p" in groups.ignored) is (group != "serving")


def test_a_serving_pod_without_a_sample_is_missing() -> None:
    proposal = propose(POD, 10_000, observe(2, milli_reading(POD, (30_000,))))
    assert (proposal.missing, proposal.usage_milli, proposal.replicas) == (("pod-1",), 30_000, 3)


def test_a_running_pod_that_loads_weights_and_answers_0_dilutes_the_mean() -> None:
    """It counts as ready, and hides that the other one is over target."""
    observation = observe(2, milli_reading(POD, (15_000, 0)), pods_=pods(2, 1))
    proposal = propose(POD, 10_000, observation)
    assert (proposal.usage_milli, proposal.replicas) == (7500, 2)


def test_samples_of_pods_that_are_not_listed_count_in_the_mean() -> None:
    reading = Reading("load", (Sample(10.0, NOW, "pod-0"), Sample(40.0, NOW, "gone")))
    proposal = propose(POD, 10_000, observe(1, reading))
    assert (proposal.usage_milli, proposal.replicas) == (25_000, 3)


def test_no_sample_of_a_pod_that_counts_is_a_failure() -> None:
    pending = pods(2, 0, "Pending")
    proposal = propose(POD, 10_000, observe(2, milli_reading(POD, (10_000, 10_000)), pods_=pending))
    assert (proposal.replicas, proposal.reason) == (None, "FailedGetPodsMetric")


@pytest.mark.parametrize("kind", [POD, VALUE])
def test_no_pods_at_all_are_a_failure(kind: str) -> None:
    proposal = propose(kind, 10_000, observe(2, milli_reading(kind, (20_000,)), pods_=()))
    assert proposal.replicas is None
    assert "the target has no pods" in proposal.message


def test_a_value_within_the_tolerance_is_settled_before_hpa_looks_for_pods() -> None:
    assert propose(VALUE, 10_000, observe(2, milli_reading(VALUE, (10_000,)), pods_=())).replicas == 2


def test_a_sum_needs_no_pods() -> None:
    assert propose(AVERAGE, 10_000, observe(2, milli_reading(AVERAGE, (40_000,)), pods_=())).replicas == 4


@pytest.mark.parametrize("kind", [POD, VALUE, AVERAGE])
def test_an_empty_answer_is_a_failure(kind: str) -> None:
    reason = "FailedGetPodsMetric" if kind == POD else "FailedGetExternalMetric"
    proposal = propose(kind, 10_000, observe(2, Reading("load")))
    assert (proposal.replicas, proposal.reason) == (None, reason)


def test_at_exactly_the_target_missing_pods_are_left_out() -> None:
    assert pods_average(5, 20_000, PodLoads(60_000, 3, 3, missing=2), Tolerance(0.0, 0.0)) == 5


def test_below_target_unready_pods_are_left_out() -> None:
    """Counted as idle, they would pull 0.95 out of the tolerance."""
    assert pods_average(8, 10_000, PodLoads(38_000, 4, 4, unready=4), Tolerance()) == 8


def test_a_value_counts_ready_pods_that_are_being_deleted() -> None:
    there = (*pods(2), Pod("old-0", deleting=True), Pod("old-1", deleting=True))
    observation = observe(2, milli_reading(VALUE, (15_000,)), pods_=there)
    assert propose(VALUE, 10_000, observation).replicas == 6


def test_filling_in_never_turns_the_direction_round() -> None:
    """Above target, three of five idle would mean fewer than there are: no change."""
    assert pods_average(5, 10, PodLoads(24, 2, 2, missing=3), Tolerance()) == 5
    assert pods_average(4, 10, PodLoads(9, 1, 1, missing=5), Tolerance(0.0, 0.0)) == 4
