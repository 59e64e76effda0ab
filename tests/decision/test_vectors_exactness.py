"""Where HPA's arithmetic and memory are odd: binary digits, overflows, old slots, signs, ended pods.

Results of ``pkg/controller/podautoscaler`` for each input (Kubernetes 1.34 to 1.37).
"""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate, record_scale
from autoscaler.decision.types import Observation, Pod, PodPhase, ScaleEvent, ScalingState

from .builders import NOW, condition, decide, failed, hpa, metric, observe, per_pod, pods, policy, series

AT_ONCE = {"stabilizationWindowSeconds": 0}


# Tolerances are an integer times a power of ten


@pytest.mark.parametrize(
    ("side", "tolerance", "value"),
    [("scaleUp", "118m", 1.118), ("scaleUp", 0.118, 1.118), ("scaleDown", "700m", 0.3)],
)
def test_a_ratio_on_the_edge_of_its_tolerance_stays(side: str, tolerance: str | float, value: float) -> None:
    behavior = {side: {**AT_ONCE, "tolerance": tolerance}}
    rules = hpa(metric(1, "Value"), behavior=behavior)
    assert decide(rules, observe(20, series(value))).desired_replicas == 20


def test_tolerances_in_millis_stay_what_they_are_in_a_log() -> None:
    for milli in range(1001):
        rules = hpa(metric(1), behavior={"scaleUp": {"tolerance": f"{milli}m"}})
        again = ScalingPolicy.model_validate_json(rules.model_dump_json(by_alias=True, exclude_none=True))
        assert again.spec.scale_up.tolerance == rules.spec.scale_up.tolerance


# A slot that was outdated once stays so


def ten_pods_in(seconds: int, semantics: str) -> ScalingPolicy:
    rules = [{"type": "Pods", "value": 10, "periodSeconds": seconds}]
    behavior = {"scaleUp": {"policies": rules, **AT_ONCE}}
    return policy(metric(1, "Value", type="Object"), semantics=semantics, behavior=behavior)


def after_a_longer_period(semantics: str) -> int:
    """10 -> 12 -> 15 -> 18 by a period of 15 s, -> 22 by one of 1800 s; then as many as there may be."""
    state, replicas = ScalingState(), 10
    syncs = [(15, 0, 1.2), (15, 1, 1.2), (15, 100, 1.2), (1800, 200, 1.2), (1800, 300, 100)]
    for seconds, now, ratio in syncs:
        rules = ten_pods_in(seconds, semantics)
        observation = observe(replicas, *all_series(ratio, replicas, now))
        decision, state = evaluate(rules, observation, state, float(now))
        state = record_scale(rules, state, decision, float(now))
        replicas = decision.desired_replicas
    return replicas


def all_series(ratio: float, replicas: int, now: float) -> tuple[Any, ...]:
    names = [f"pod-{index}" for index in range(replicas)]
    guards = [f"remainingCapacity/{name}" for name in ("kvCacheUsage", "waiting")]
    return (series(ratio, at=now), *(per_pod(dict.fromkeys(names, 0.0), name, now) for name in guards))


def test_a_period_that_is_lengthened_does_not_bring_an_outdated_change_back() -> None:
    assert after_a_longer_period("HPA") == 25


def test_in_llm_semantics_a_longer_period_counts_whatever_it_reaches() -> None:
    assert after_a_longer_period("LLM") == 23


def test_a_record_without_the_mark_is_one_of_a_change_that_is_not_outdated() -> None:
    assert ScaleEvent(3, 1.0) == ScaleEvent(3, 1.0, outdated=False)


# Pods that have Succeeded

ENDED = tuple(Pod(f"job-{index}", PodPhase.SUCCEEDED, ready=False) for index in range(2))
FAST = {"behavior": {"scaleDown": AT_ONCE}}


def with_ended(load: float, of_ended: float | None, serving: int) -> Observation:
    values = {f"pod-{index}": load for index in range(serving)}
    values |= {} if of_ended is None else {pod.name: of_ended for pod in ENDED}
    return observe(serving + len(ENDED), per_pod(values), pods_=(*pods(serving), *ENDED))


def test_a_succeeded_pod_without_a_sample_is_missing_to_hpa() -> None:
    assert decide(hpa(**FAST), with_ended(5.0, None, 2)).desired_replicas == 3


def test_a_succeeded_pod_with_a_sample_counts_to_hpa() -> None:
    assert decide(hpa(**FAST), with_ended(0.0, 20.0, 0)).desired_replicas == 4


def test_a_succeeded_pod_is_not_ready_for_a_value() -> None:
    observation = observe(4, series(20.0), pods_=(*pods(2), *ENDED))
    assert decide(hpa(metric(10, "Value"), **FAST), observation).proposals[0].replicas == 4


def test_in_llm_semantics_a_succeeded_pod_serves_nobody() -> None:
    held = {"remainingCapacity": {"enabled": False}, "pendingReplicas": {"credit": False}}
    rules = policy(guards=held, **FAST)
    decision = decide(rules, with_ended(5.0, 20.0, 2))
    assert (decision.desired_replicas, decision.proposals[0].complete) == (1, True)
    assert decide(rules, with_ended(0.0, 20.0, 0)).reason == "FailedGetPodsMetric"


# Object and External


@pytest.mark.parametrize(
    ("kind", "values", "replicas", "usage"),
    [
        ("Object", (-0.001,), 1, 0),
        ("External", (-0.001,), 10, 2**63 - 1),
        ("External", (-5.0, 20.0), 10, 2**63 - 1),  # negative on the way
        ("External", (20.0, -5.0), 10, 3000),
    ],
)
def test_a_negative_sum_on_the_way_is_an_overflow_to_an_external_average(
    kind: str, values: tuple[float, ...], replicas: int, usage: int
) -> None:
    rules = hpa(metric(1, "AverageValue", type=kind), maxReplicas=20)
    decision = decide(rules, observe(5, series(*values)))
    assert (decision.desired_replicas, decision.proposals[0].usage_milli) == (replicas, usage)


def test_a_negative_external_value_is_what_it_is() -> None:
    rules = hpa(metric(1, "Value", type="External"), maxReplicas=20)
    assert decide(rules, observe(5, series(-5.0, 20.0))).proposals[0].usage_milli == 15_000


@pytest.mark.parametrize("semantics", ["HPA", "LLM"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Object", "FailedGetObjectMetric"),
        ("External", "FailedGetExternalMetric"),
        (None, "FailedGetExternalMetric"),
    ],
)
def test_a_failure_names_the_type_of_its_metric(semantics: str, kind: str | None, reason: str) -> None:
    named = {} if kind is None else {"type": kind}
    rules = policy(metric(1, "Value", **named), semantics=semantics)
    assert condition(decide(rules, observe(2, failed())), "ScalingActive").reason == reason


# Overflows

ALL = 2**31 - 1


def up(*rules: dict[str, Any], semantics: str = "HPA") -> ScalingPolicy:
    return policy(
        metric(1, "Value"),
        semantics=semantics,
        maxReplicas=ALL,
        behavior={"scaleUp": {"policies": list(rules), **AT_ONCE}},
    )


def test_more_pods_than_an_int32_holds_are_fewer_and_forbid_to_scale_up() -> None:
    rule = {"type": "Pods", "value": ALL, "periodSeconds": 15}
    decision = decide(up(rule), observe(10, series(5.0)))
    assert (decision.desired_replicas, decision.reason) == (10, "ScaleUpLimit")
    generous = decide(up(rule, semantics="LLM"), observe(10, *all_series(5.0, 10, NOW)))
    assert generous.desired_replicas == 50


def test_a_sum_over_pods_beyond_int64_is_negative() -> None:
    """Three pods of 5e15 come to 1.5e19 milli, which an int64 takes for -3.4e18."""
    decision = decide(hpa(metric(1), **FAST), observe(3, per_pod([5e15] * 3)))
    assert (decision.desired_replicas, decision.proposals[0].usage_milli) == (1, -1148914691236517205)


def test_an_external_sum_beyond_int64_is_the_most_there_is() -> None:
    decision = decide(hpa(metric(1, "Value"), maxReplicas=ALL), observe(3, series(5e15, 5e15, -5e15)))
    assert decision.proposals[0].usage_milli == 2**63 - 1


# Zero


def zero(rule: str, low: int, *, own: bool, kind: str = "Value") -> tuple[int, str]:
    """Replicas and reason for a value of three times its target."""
    rules = hpa(metric(1, kind), zeroRule=rule, minReplicas=low, **FAST)
    state = ScalingState(scaled_to_zero=own)
    reading = per_pod({}) if kind == "PodsAverage" else series(3.0)
    decision = decide(rules, observe(0, reading), state)
    return decision.desired_replicas, str(condition(decision, "ScalingActive").reason)


OFF, ON = (0, "ScalingDisabled"), (3, "ValidMetricFound")


@pytest.mark.parametrize(
    ("low", "own", "until_36", "from_37"),
    [(2, True, OFF, ON), (0, False, ON, OFF), (2, False, OFF, OFF), (0, True, ON, ON)],
)
def test_zero_follows_one_release(
    low: int, own: bool, until_36: tuple[int, str], from_37: tuple[int, str]
) -> None:
    assert zero("v1.36", low, own=own) == until_36
    assert zero("v1.37", low, own=own) == from_37


def test_without_a_rule_zero_is_that_of_the_releases_before_the_condition() -> None:
    decision = decide(hpa(metric(1, "Value"), minReplicas=0), observe(0, series(3.0)))
    assert decision.desired_replicas == 3


def test_since_37_pods_metrics_alone_never_leave_zero() -> None:
    assert zero("v1.37", 0, own=True, kind="PodsAverage") == OFF


def test_since_37_only_a_metric_that_exists_at_zero_makes_a_zero_ones_own() -> None:
    both = [metric(1, query="a", name="a"), metric(1, "Value", query="b", name="b")]
    for metrics, own in ((both, True), (both[:1], False)):
        rules = hpa(*metrics, zeroRule="v1.37", minReplicas=0, **FAST)
        readings = per_pod([0.0] * 2, "a"), series(0.0, name="b")
        decision, state = evaluate(rules, observe(2, *readings), ScalingState(), NOW)
        assert decision.desired_replicas == 0
        assert record_scale(rules, state, decision, NOW).scaled_to_zero is own


def test_since_37_an_own_zero_is_remembered_until_the_next_change_of_its_own() -> None:
    rules = hpa(metric(1, "Value"), zeroRule="v1.37", minReplicas=0, **FAST)
    by_hand, state = evaluate(rules, observe(3, series(1.0)), ScalingState(scaled_to_zero=True), NOW)
    assert by_hand.desired_replicas == 3
    assert state.scaled_to_zero
    decision, state = evaluate(rules, observe(3, series(2.0)), state, NOW)
    assert not record_scale(rules, state, decision, NOW).scaled_to_zero


@pytest.mark.parametrize("rule", ["v1.36", "v1.37"])
def test_what_a_schedule_scaled_to_zero_comes_back_when_it_ends(rule: str) -> None:
    """No HPA has schedules, so its rules for zero say nothing about theirs."""
    night = {"name": "night", "cron": "0 22 * * *", "durationSeconds": 60, "minReplicas": 0}
    rules = hpa(metric(1), zeroRule=rule, minReplicas=2, schedules=[night], **FAST)
    asleep, state = evaluate(rules, observe(2, per_pod([0.0] * 2), schedules=("night",)), ScalingState(), NOW)
    assert asleep.desired_replicas == 0
    state = record_scale(rules, state, asleep, NOW)
    still, state = evaluate(rules, observe(0, failed(), schedules=("night",)), state, NOW)
    assert still.desired_replicas == 0
    assert decide(rules, observe(0, failed()), state).desired_replicas == 2


# One pod, several autoscalers


def test_pods_that_another_hpa_selects_too_are_scaled_by_neither() -> None:
    observation = Observation(
        4, 4, pods(4), (per_pod([100.0] * 4),), selected_by=("HorizontalPodAutoscaler chat/other",)
    )
    decision, state = evaluate(hpa(), observation, ScalingState(), NOW)
    assert (decision.desired_replicas, decision.reason) == (4, "AmbiguousSelector")
    active = condition(decision, "ScalingActive")
    assert (active.status, active.reason) == (False, "AmbiguousSelector")
    assert "HorizontalPodAutoscaler chat/other" in decision.message
    assert [one.timestamp for one in state.recommendations] == [NOW], "nothing but the beginning"


def test_the_bounds_come_before_the_selectors() -> None:
    observation = Observation(400, 400, (), (), selected_by=("HorizontalPodAutoscaler chat/other",))
    assert decide(hpa(), observation).desired_replicas == 100
