"""Whole decisions in HPA semantics: order of the stages, several metrics, conditions, zero."""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import Observation, Reading, Recommendation

from .builders import (
    FAST,
    NOW,
    condition,
    decide,
    failed,
    hpa,
    metric,
    observe,
    per_pod,
    pods,
    remembering,
    series,
    stages,
)


def two(**spec: Any) -> Any:
    """Metrics ``a`` (per pod, target 10) and ``b`` (a sum, 10 per replica)."""
    return hpa(
        metric(10, query="a", name="a"),
        metric(10, "AverageValue", query="b", name="b"),
        behavior=FAST,
        **spec,
    )


# b2: bounds come first and read no metric


@pytest.mark.parametrize(
    ("current", "desired", "reason"), [(12, 8, "AboveMaxReplicas"), (2, 3, "BelowMinReplicas")]
)
def test_bounds_are_corrected_at_once_and_without_metrics(current: int, desired: int, reason: str) -> None:
    policy = hpa(minReplicas=3, maxReplicas=8, behavior={"scaleUp": {"selectPolicy": "Disabled"}})
    state = remembering((current, 10))
    decision, after = evaluate(policy, observe(current, failed()), state, NOW)
    assert (decision.desired_replicas, decision.reason) == (desired, reason)
    assert decision.proposals == ()
    assert after.recommendations == state.recommendations
    assert [found.type for found in decision.conditions] == ["AbleToScale"]


def test_a_correction_is_an_event_for_the_rate_limits() -> None:
    policy = hpa(maxReplicas=8, behavior=FAST)
    decision, state = evaluate(policy, observe(12, failed()), remembering(), NOW)
    assert [event.change for event in record_scale(policy, state, decision, NOW).down_events] == [4]


def test_within_the_bounds_every_stage_leaves_a_step() -> None:
    decision = decide(hpa(behavior=FAST), observe(10, per_pod([50.0] * 10)))
    assert stages(decision) == [
        ("metrics", 50, "AboveTarget"),
        ("stabilize", 50, "ReadyForNewScale"),
        ("rateLimit", 20, "ScaleUpLimit"),
    ]
    assert (decision.reason, decision.desired_replicas) == ("ScaleUpLimit", 20)


def test_without_behavior_the_older_path_decides() -> None:
    """Twice as many and 300 s of memory; a present but empty behavior allows 4 pods more."""
    observation = observe(1, per_pod([100.0]))
    assert decide(hpa(), observation).desired_replicas == 4
    assert decide(hpa(behavior={}), observation).desired_replicas == 5


# b4: several metrics


@pytest.mark.parametrize(
    ("a", "b", "desired", "reason"),
    [
        (per_pod([20.0] * 4, "a"), series(30.0, name="b"), 8, "AboveTarget"),
        (per_pod([2.0] * 4, "a"), series(30.0, name="b"), 3, "BelowTarget"),
        (per_pod([10.0] * 4, "a"), series(30.0, name="b"), 4, "WithinTolerance"),
        # one failed: up and equal are allowed, down is not
        (failed("a"), series(80.0, name="b"), 8, "AboveTarget"),
        (failed("a"), series(40.0, name="b"), 4, "WithinTolerance"),
        (failed("a"), series(10.0, name="b"), 4, "FailedGetPodsMetric"),
        (per_pod([2.0] * 4, "a"), failed("b"), 4, "FailedGetExternalMetric"),
        # TestNoScaleDownOneMetricEmpty, TestScaleUpOneMetricEmpty
        (per_pod([2.0] * 4, "a"), Reading("b"), 4, "FailedGetExternalMetric"),
        (per_pod([20.0] * 4, "a"), Reading("b"), 8, "AboveTarget"),
        # both failed: the first one's reason
        (failed("a"), failed("b"), 4, "FailedGetPodsMetric"),
    ],
)
def test_the_highest_proposal_wins_and_a_failed_metric_forbids_to_go_down(
    a: Reading, b: Reading, desired: int, reason: str
) -> None:
    decision = decide(two(), observe(4, a, b))
    assert (decision.desired_replicas, decision.reason) == (desired, reason)
    active = condition(decision, "ScalingActive")
    assert active.status is not reason.startswith("Failed")
    assert active.reason == (reason if reason.startswith("Failed") else "ValidMetricFound")


def test_the_comparison_is_on_the_raw_proposal() -> None:
    """A proposal below current is refused although the memory would stabilize it up to current."""
    decision, state = evaluate(
        two(), observe(4, failed("a"), series(10.0, name="b")), remembering((4, 1)), NOW
    )
    assert decision.reason == "FailedGetPodsMetric"
    assert len(state.recommendations) == 1


def test_a_first_proposal_of_zero_gives_way_to_any_next_one() -> None:
    decision = decide(
        hpa(metric(10, "Value"), metric(10, "Value", query="b", name="b"), minReplicas=0),
        observe(0, series(0.0), series(0.0, name="b")),
    )
    assert decision.message == "b asks for the current 0"


def test_a_hold_without_metrics_records_nothing() -> None:
    state = remembering((6, 1000), (4, 10))
    decision, after = evaluate(hpa(), observe(4, failed()), state, NOW)
    assert decision.desired_replicas == 4
    assert after.recommendations == state.recommendations
    assert condition(decision, "AbleToScale").reason == "SucceededGetScale"
    assert [found.type for found in decision.conditions] == ["AbleToScale", "ScalingActive"]


def test_a_reading_that_is_absent_counts_as_failed() -> None:
    assert decide(hpa(), observe(4)).reason == "FailedGetPodsMetric"


# Conditions


@pytest.mark.parametrize(
    ("load", "maximum", "memory", "able", "limited"),
    [
        (12.0, 100, (), "ReadyForNewScale", (False, "DesiredWithinRange")),
        (90.0, 100, (), "ReadyForNewScale", (True, "ScaleUpLimit")),
        (90.0, 6, (), "ReadyForNewScale", (True, "TooManyReplicas")),
        (1.0, 100, (), "ReadyForNewScale", (True, "TooFewReplicas")),
        (1.0, 100, ((4, 60),), "ScaleDownStabilized", (False, "DesiredWithinRange")),
    ],
)
def test_conditions_have_hpas_reasons(
    load: float, maximum: int, memory: tuple[tuple[int, float], ...], able: str, limited: tuple[bool, str]
) -> None:
    policy = hpa(minReplicas=2, maxReplicas=maximum)
    decision = decide(policy, observe(4, per_pod([load] * 4)), remembering(*memory))
    assert condition(decision, "AbleToScale").reason == able
    found = condition(decision, "ScalingLimited")
    assert (found.status, found.reason) == limited


# horizontal_test.go: whole reconciliations with custom and external metrics, min 2, max 6


@pytest.mark.parametrize(
    ("name", "current", "policy_metric", "reading", "desired"),
    [
        ("ScaleUpCM", 3, metric(15), per_pod([20.0, 10.0, 30.0]), 4),
        ("ScaleDownCM", 5, metric(20), per_pod([12.0] * 5), 3),
        ("ScaleUpCMObject", 3, metric(15, "Value"), series(20.0), 4),
        ("ScaleDownCMObject", 5, metric(20, "Value"), series(12.0), 3),
        ("ScaleUpPerPodCMObject", 3, metric(10, "AverageValue"), series(40.0), 4),
        ("ScaleUpCMExternal", 3, metric("6666m", "Value"), series(8.6), 4),
        ("ScaleUpPerPodCMExternal", 3, metric("2222m", "AverageValue"), series(8.6), 4),
        ("ScaleDownCMExternal", 5, metric("14400m", "Value"), series(8.6), 3),
        ("ScaleDownPerPodCMExternal", 5, metric(3, "AverageValue"), series(8.6), 3),
    ],
)
def test_reconciliations(
    name: str, current: int, policy_metric: dict[str, Any], reading: Reading, desired: int
) -> None:
    policy = hpa(policy_metric, minReplicas=2, maxReplicas=6)
    assert decide(policy, observe(current, reading)).desired_replicas == desired, name


def test_a_controller_that_just_started_stabilizes_at_the_initial_size() -> None:
    """TestScaleDownStabilizeInitialSize."""
    decision = decide(hpa(metric(20)), observe(5, per_pod([12.0] * 5)), initial_state(5, NOW - 10))
    assert (decision.desired_replicas, decision.reason) == (5, "ScaleDownStabilized")


# Zero


@pytest.mark.parametrize(("kind", "level", "desired"), [("Value", 20.0, 2), ("AverageValue", 31.0, 3)])
def test_zero_replicas_wake_by_a_metric_that_exists_then(kind: str, level: float, desired: int) -> None:
    policy = hpa(metric(15, kind), minReplicas=0, maxReplicas=6)
    assert decide(policy, observe(0, series(level))).desired_replicas == desired


@pytest.mark.parametrize("kind", ["Value", "AverageValue"])
def test_no_load_scales_to_zero_and_stays_there(kind: str) -> None:
    policy = hpa(metric(20, kind), minReplicas=0, maxReplicas=6)
    assert decide(policy, observe(5, series(0.0))).desired_replicas == 0
    assert decide(policy, observe(0, series(0.0))).desired_replicas == 0


def test_somebody_elses_zero_switches_scaling_off() -> None:
    decision = decide(hpa(metric(15, "Value")), observe(0, series(1000.0)))
    assert (decision.desired_replicas, decision.reason) == (0, "ScalingDisabled")
    active = condition(decision, "ScalingActive")
    assert (active.status, active.reason) == (False, "ScalingDisabled")


def test_even_then_the_history_begins() -> None:
    _, state = evaluate(hpa(), observe(0), initial_state(0, NOW), NOW)
    assert state.recommendations == (Recommendation(0, NOW),)


def went_to_zero() -> Any:
    policy = hpa(metric(15, "Value"), minReplicas=0)
    decision, state = evaluate(policy, observe(5, series(0.0)), remembering(), NOW)
    return record_scale(policy, state, decision, NOW)


def test_own_zero_is_remembered_until_somebody_scales_up() -> None:
    state = went_to_zero()
    assert state.scaled_to_zero
    policy = hpa(metric(15, "Value"), minReplicas=0)
    assert evaluate(policy, observe(0, series(0.0)), state, NOW + 15)[1].scaled_to_zero
    assert not evaluate(policy, observe(1, series(0.0)), state, NOW + 15)[1].scaled_to_zero


@pytest.mark.parametrize(("level", "desired"), [(0.0, 3), (60.0, 4)])
def test_own_zero_wakes_to_a_new_minimum(level: float, desired: int) -> None:
    """MinReplicas was raised while scaled to zero: the metrics are read, then the minimum holds."""
    policy = hpa(metric(15, "Value"), zeroRule="v1.37", minReplicas=3)
    assert decide(policy, observe(0, series(level)), went_to_zero(), NOW + 15).desired_replicas == desired


def test_own_zero_holds_without_metrics() -> None:
    policy = hpa(metric(15, "Value"), zeroRule="v1.37", minReplicas=3)
    assert decide(policy, observe(0, failed()), went_to_zero(), NOW + 15).desired_replicas == 0


def test_a_percent_only_scale_up_never_leaves_zero() -> None:
    percent = {"scaleUp": {"policies": [{"type": "Percent", "value": 900, "periodSeconds": 15}]}}
    policy = hpa(metric(15, "Value"), minReplicas=0, behavior=percent)
    decision = decide(policy, observe(0, series(1000.0)))
    assert (decision.desired_replicas, decision.reason) == (0, "ScaleUpLimit")


# Traps for LLMs that HPA's rules contain (test_llm_guards.py shows what the default mode does)


def fleet_of_ten(ready: int, level: float) -> Observation:
    return observe(10, per_pod([level] * ready), pods_=pods(10, ready, "Pending"))


def test_trap_pending_replicas_are_cancelled_at_half_load() -> None:
    assert decide(hpa(behavior=FAST), fleet_of_ten(3, 5.0)).desired_replicas == 2


def test_pending_replicas_stay_at_double_load() -> None:
    assert decide(hpa(behavior=FAST), fleet_of_ten(3, 20.0)).desired_replicas == 10


def test_trap_a_value_over_target_scales_down_while_few_are_ready() -> None:
    observation = observe(10, series(20.0), pods_=pods(10, 3, "Pending"))
    assert decide(hpa(metric(10, "Value"), behavior=FAST), observation).desired_replicas == 6


def test_all_guards_are_off() -> None:
    """Half the data, pods on their way and waiting requests: HPA scales down all the same."""
    readings = per_pod({f"pod-{i}": 1.0 for i in range(5)})
    observation = observe(10, readings, pods_=pods(10, 8, "Pending"))
    decision = decide(hpa(behavior=FAST), observation)
    assert len(decision.proposals) == 1
    assert decision.desired_replicas == 4
