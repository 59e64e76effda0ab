"""What the default mode does where HPA's rules hurt LLM serving; each guard alone and switched off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate, record_scale
from autoscaler.decision.types import Decision, Observation, Pod, Reading, Recommendation

from .builders import (
    NOW,
    Timeline,
    condition,
    decide,
    failed,
    guard_readings,
    guarded,
    hpa,
    metric,
    observe,
    per_pod,
    pods,
    policy,
    quick,
    remembering,
    series,
    stages,
)

OFF = {"remainingCapacity": {"enabled": False}}


# Pending replicas


def starting(ready: int, level: float) -> Observation:
    """Ten ordered, some ready, the others waiting for GPUs."""
    return guarded(10, per_pod([level] * ready), there=pods(10, ready, "Pending"))


def test_a_pending_scale_up_is_not_cancelled_at_half_load() -> None:
    decision = decide(quick(), starting(3, 5.0))
    assert (decision.desired_replicas, decision.reason) == (10, "PendingReplicas")
    assert stages(decision)[:2] == [("metrics", 2, "BelowTarget"), ("pendingReplicas", 10, "PendingReplicas")]


def test_at_double_load_the_order_stands_and_at_five_times_it_grows() -> None:
    assert decide(quick(), starting(3, 20.0)).desired_replicas == 10
    assert decide(quick(), starting(3, 50.0)).desired_replicas == 15


@pytest.mark.parametrize("credit", [True, False])
def test_no_scale_down_while_overloaded_because_few_are_ready(credit: bool) -> None:
    """A Value of twice the target with 3 of 10 ready is 6 replicas in HPA."""
    guards = {"pendingReplicas": {"credit": credit}}
    there = pods(10, 3, "Pending")
    decision = decide(quick(metric(10, "Value"), guards=guards), guarded(10, series(20.0), there=there))
    assert (decision.desired_replicas, decision.reason) == (10, "WithinTolerance")


@pytest.mark.parametrize("credit", [True, False])
def test_pods_that_do_not_exist_yet_are_no_reason_to_scale_down_while_overloaded(credit: bool) -> None:
    guards = {"pendingReplicas": {"credit": credit}}
    decision = decide(quick(guards=guards), guarded(10, per_pod([20.0] * 3), there=pods(3)))
    assert decision.desired_replicas == 10


def test_below_target_nothing_is_added_while_a_surge_is_ready() -> None:
    """8.5 of 10 times 12 ready pods is 11 in HPA, with 10 ordered."""
    observation = guarded(10, series(8.5), there=pods(12))
    assert decide(quick(metric(10, "Value"), semantics="HPA"), observation).desired_replicas == 11
    assert decide(quick(metric(10, "Value")), observation).desired_replicas == 10


def test_pods_that_are_being_deleted_carry_no_load() -> None:
    there = (*pods(2), Pod("old-0", deleting=True), Pod("old-1", deleting=True))
    observation = guarded(2, series(15.0), there=there)
    assert decide(quick(metric(10, "Value")), observation).desired_replicas == 3


def test_a_value_says_nothing_of_how_many_are_needed_while_none_is_ready() -> None:
    """HPA takes it times the ready pods: none, with requests in the queue."""
    observation = guarded(3, series(5.0), there=pods(3, 0, "Pending"))
    guards = {"pendingReplicas": {"credit": False}, "remainingCapacity": {"enabled": False}}
    rules = quick(metric(10, "Value"), minReplicas=0, guards=guards)
    assert decide(rules, observation).desired_replicas == 3
    assert decide(rules, guarded(3, series(0.0))).desired_replicas == 0


@pytest.mark.parametrize("kind", ["Value", "AverageValue"])
def test_any_load_wakes_from_zero_even_below_its_target(kind: str) -> None:
    rules = quick(metric(10, kind), minReplicas=0)
    assert decide(rules, observe(0, series(0.5))).desired_replicas == 1


def test_a_pod_that_loads_weights_does_not_dilute_the_mean() -> None:
    """HPA counts a Running pod that answers 0 as ready: 2 replicas. Here the one ready pod is over target."""
    loading = (Pod("pod-0"), Pod("pod-1", ready=False))
    decision = decide(quick(), guarded(2, per_pod([25.0, 0.0]), there=loading))
    assert decision.proposals[0].usage_milli == 25_000
    assert decision.desired_replicas == 3


def test_a_sum_is_divided_by_the_ordered_replicas_while_the_status_lags() -> None:
    rules = quick(metric(10, "AverageValue"))
    lagging = replace(guarded(10, series(100.0)), status_replicas=4)
    assert decide(rules, lagging).proposals[0].usage_milli == 10_000
    without = quick(metric(10, "AverageValue"), guards={"pendingReplicas": {"credit": False}})
    assert decide(without, lagging).proposals[0].usage_milli == 25_000


def test_without_the_credit_a_pending_scale_up_is_cancelled() -> None:
    rules = quick(guards={"pendingReplicas": {"credit": False}})
    assert decide(rules, starting(3, 5.0)).desired_replicas == 2


@pytest.mark.parametrize(("waited", "desired"), [(0.0, 10), (899.0, 10), (900.0, 2), (5000.0, 2)])
def test_the_credit_ends(waited: float, desired: int) -> None:
    state = remembering(pending_since=NOW - waited)
    assert decide(quick(), starting(3, 5.0), state).desired_replicas == desired


def test_the_clock_of_the_credit_starts_when_fewer_are_ready_and_stops_when_all_are() -> None:
    _, state = evaluate(quick(), starting(3, 5.0), remembering(), NOW)
    assert state.pending_since == NOW
    _, state = evaluate(quick(), starting(9, 5.0), state, NOW + 60)
    assert state.pending_since == NOW  # progress does not restart it
    _, state = evaluate(quick(), starting(10, 10.0), state, NOW + 120)
    assert state.pending_since is None


def test_the_clock_of_the_credit_starts_anew_when_replicas_are_added() -> None:
    decision, state = evaluate(quick(), starting(3, 50.0), remembering(pending_since=NOW - 600), NOW)
    assert state.pending_since == NOW - 600
    assert record_scale(quick(), state, decision, NOW + 1).pending_since == NOW + 1


def test_a_hold_for_pending_replicas_is_remembered_as_a_recommendation() -> None:
    _, state = evaluate(quick(), starting(3, 5.0), remembering(), NOW)
    assert [stored.replicas for stored in state.recommendations] == [10]


# Remaining capacity


@pytest.mark.parametrize(
    ("kv", "waiting", "desired", "reason"),
    [
        (0.1, 0.0, 1, "BelowTarget"),
        (0.6, 0.0, 3, "RemainingCapacity"),  # 4 x 0.6 of 0.8 each
        (0.7, 0.0, 4, "RemainingCapacity"),
        (0.95, 0.0, 4, "RemainingCapacity"),  # never above current
        (0.1, 0.5, 2, "RemainingCapacity"),
        (0.1, 3.0, 4, "RemainingCapacity"),
        (0.3, 0.5, 2, "RemainingCapacity"),
    ],
)
def test_the_remaining_replicas_must_carry_the_current_load(
    kv: float, waiting: float, desired: int, reason: str
) -> None:
    decision = decide(quick(), guarded(4, per_pod([1.0] * 4), kv=kv, waiting=waiting))
    assert (decision.desired_replicas, decision.reason) == (desired, reason)


def test_a_guard_never_raises_and_never_stops_a_scale_up() -> None:
    assert decide(quick(), guarded(4, per_pod([10.0] * 4), kv=1.0, waiting=50.0)).desired_replicas == 4
    assert decide(quick(), guarded(4, per_pod([15.0] * 4), kv=1.0)).desired_replicas == 6


def test_remaining_capacity_can_be_switched_off_and_on() -> None:
    observation = guarded(4, per_pod([1.0] * 4), kv=0.95)
    assert decide(quick(guards=OFF), observation).desired_replicas == 1
    on = quick(semantics="HPA", guards={"remainingCapacity": {"enabled": True}})
    assert decide(on, observation).desired_replicas == 4


@pytest.mark.parametrize(
    ("kind", "reading", "desired"),
    [
        ("PodsAverage", per_pod([12.0] * 4, "guard"), 3),
        ("AverageValue", series(30.0, name="guard"), 2),
        ("Value", series(10.0, name="guard"), 2),
    ],
)
def test_a_metric_of_the_policy_can_be_a_guard(kind: str, reading: Reading, desired: int) -> None:
    guard = metric(20, kind, query="guard", name="guard", role="Guard")
    decision = decide(quick(metric(10), guard, guards=OFF), observe(4, per_pod([1.0] * 4), reading))
    assert (decision.desired_replicas, decision.reason) == (desired, "RemainingCapacity")


@pytest.mark.parametrize("complete", [True, False])
def test_a_guard_that_fails_forbids_to_scale_down(complete: bool) -> None:
    """As a failed metric does in HPA: it cannot say that the load would fit."""
    rules = quick(guards={"completeDataForScaleDown": complete})
    observation = observe(4, per_pod([1.0] * 4), failed("remainingCapacity/kvCacheUsage"))
    decision = decide(rules, observation)
    assert (decision.desired_replicas, decision.reason) == (4, "FailedGetPodsMetric")
    assert condition(decision, "ScalingActive").status


def test_a_guard_that_fails_lets_a_scale_up_pass() -> None:
    assert decide(quick(), observe(4, per_pod([15.0] * 4))).desired_replicas == 6


# Complete data


def test_a_silent_ready_pod_forbids_to_scale_down_and_what_was_kept_is_remembered() -> None:
    state = remembering((4, 1000))
    decision, after = evaluate(quick(), guarded(4, per_pod([1.0] * 3)), state, NOW)
    assert (decision.desired_replicas, decision.reason) == (4, "IncompleteData")
    assert "pod-3" in decision.message
    assert after.recommendations == (Recommendation(4, NOW),)


def test_after_metrics_failed_for_long_the_window_begins_when_they_are_back() -> None:
    timeline = Timeline(policy(), 4)
    for _ in range(40):
        assert timeline.sync(None) == 4
    assert [timeline.sync(0.0) for _ in range(19)] == [4] * 19
    assert timeline.sync(0.0) == 1


def test_hpa_remembers_nothing_of_an_outage() -> None:
    timeline = Timeline(hpa(behavior={}), 4)
    for _ in range(40):
        assert timeline.sync(None) == 4
    assert timeline.sync(0.0) == 1


def test_a_silent_pod_in_a_guards_reading_forbids_as_well() -> None:
    readings = guard_readings(pods(3))
    decision = decide(quick(), observe(4, per_pod([1.0] * 4), *readings))
    assert (decision.desired_replicas, decision.reason) == (4, "IncompleteData")


@pytest.mark.parametrize(
    "pod", [Pod("pod-3", ready=False), Pod("pod-3", deleting=True)], ids=["not ready", "deleting"]
)
def test_a_pod_that_is_not_ready_or_leaves_is_not_missed(pod: Pod) -> None:
    """It is pending, or gone; the clock of its credit is over here."""
    there = (*pods(3), pod)
    observation = guarded(4, per_pod([1.0] * 3), there=there)
    observation = replace(observation, readings=(observation.readings[0], *guard_readings(pods(3))))
    decision = decide(quick(), observation, remembering(pending_since=NOW - 10_000))
    assert decision.desired_replicas == 1


def test_a_silent_pod_lets_a_scale_up_pass_and_counts_as_idle() -> None:
    assert decide(quick(), guarded(4, per_pod([20.0] * 3))).desired_replicas == 6


def test_a_sum_over_own_pods_must_be_complete_too() -> None:
    """Three of four pods add up to less than four do."""
    rules = quick(metric(10, "AverageValue", signal="running+waiting"))
    whole = guarded(4, per_pod([1.0] * 4, "running+waiting"))
    assert decide(rules, whole).desired_replicas == 1
    part = guarded(4, per_pod([1.0] * 3, "running+waiting"))
    assert decide(rules, part).reason == "IncompleteData"


def test_one_stale_series_of_a_sum_forbids_to_scale_down() -> None:
    rules = quick(metric(10, "AverageValue"))
    reading = Reading("load", (*series(5.0).samples, *series(50.0, at=NOW - 500).samples))
    decision = decide(rules, guarded(4, reading))
    assert (decision.desired_replicas, decision.reason) == (4, "IncompleteData")


def test_one_metric_with_a_gap_forbids_what_another_asks_for() -> None:
    rules = quick(metric(10), metric(10, query="b", name="b"))
    decision = decide(rules, guarded(4, per_pod([1.0] * 4), per_pod([1.0] * 3, "b")))
    assert (decision.desired_replicas, decision.reason) == (4, "IncompleteData")
    assert decision.message.startswith("b: ")


def test_without_the_guard_gaps_are_filled_as_in_hpa() -> None:
    rules = quick(guards={"completeDataForScaleDown": False, **OFF})
    assert decide(rules, observe(4, per_pod([1.0] * 3))).desired_replicas == 2


def test_bad_data_comes_before_pending_replicas() -> None:
    """Both hold, but only one of them may leave a trace in the memory."""
    observation = guarded(10, per_pod([1.0] * 2), there=pods(10, 3, "Pending"))
    assert decide(quick(), observation).reason == "IncompleteData"


# Fallback


def falling(behavior: str, replicas: int = 6, **spec: Any) -> ScalingPolicy:
    fallback = {"replicas": replicas, "afterSeconds": 180, "behavior": behavior}
    return policy(fallback=fallback, **spec)


def outage(policy_: ScalingPolicy, current: int, failing_for: float, **observation: Any) -> Decision:
    state = remembering((current, 10), failing_since=NOW - failing_for)
    return decide(policy_, observe(current, failed(), **observation), state)


@pytest.mark.parametrize(
    ("behavior", "current", "failing_for", "desired", "reason"),
    [
        ("CurrentReplicasIfHigher", 4, 179.0, 4, "FailedGetPodsMetric"),
        ("CurrentReplicasIfHigher", 4, 180.0, 6, "Fallback"),
        ("CurrentReplicasIfHigher", 8, 180.0, 8, "FailedGetPodsMetric"),
        ("Static", 4, 180.0, 6, "Fallback"),
        ("Static", 8, 180.0, 6, "Fallback"),
    ],
)
def test_fallback(behavior: str, current: int, failing_for: float, desired: int, reason: str) -> None:
    decision = outage(falling(behavior), current, failing_for)
    assert (decision.desired_replicas, decision.reason) == (desired, reason)
    assert not condition(decision, "ScalingActive").status


def test_fallback_keeps_to_rate_limits_and_bounds() -> None:
    two_pods = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    fallback = {"replicas": 60, "afterSeconds": 180, "behavior": "Static"}
    assert outage(policy(fallback=fallback, behavior=two_pods), 4, 500.0).desired_replicas == 6
    assert outage(falling("Static", 60, maxReplicas=7), 4, 500.0).desired_replicas == 7
    assert outage(falling("Static", 1, minReplicas=3), 4, 500.0).desired_replicas == 3


def test_without_a_fallback_the_replicas_are_held_for_ever() -> None:
    assert outage(policy(), 4, 1e6).desired_replicas == 4


def test_the_outage_begins_with_the_first_sync_without_any_driver() -> None:
    rules = policy(metric(10), metric(10, "AverageValue", query="b", name="b"))
    _, state = evaluate(rules, observe(4, failed(), series(40.0, name="b")), remembering(), NOW)
    assert state.failing_since is None  # one of two is enough
    _, state = evaluate(rules, observe(4, failed(), failed("b")), state, NOW + 15)
    assert state.failing_since == NOW + 15
    _, state = evaluate(rules, observe(4, failed(), failed("b")), state, NOW + 30)
    assert state.failing_since == NOW + 15
    _, state = evaluate(rules, observe(4, failed(), series(40.0, name="b")), state, NOW + 45)
    assert state.failing_since is None


def test_nobody_answers_while_the_first_replicas_start_which_is_no_outage() -> None:
    rules = falling("Static")
    observation = observe(2, Reading("load"), pods_=pods(2, 0, "Pending"))
    _, state = evaluate(rules, observation, remembering(), NOW)
    assert state.failing_since is None
    _, state = evaluate(rules, observation, state, NOW + 900)  # the credit is over
    assert state.failing_since == NOW + 900


def test_recovery_after_a_fallback_is_stabilized_from_its_replicas() -> None:
    rules = falling("Static")
    decision, state = evaluate(rules, observe(4, failed()), remembering(failing_since=NOW - 200), NOW)
    assert decision.desired_replicas == 6
    after = decide(rules, guarded(6, per_pod([1.0] * 6)), state, NOW + 15)
    assert (after.desired_replicas, after.reason) == (6, "ScaleDownStabilized")


# What the source itself calls missing


def test_a_quantile_that_lacks_a_pods_histogram_does_not_scale_down() -> None:
    latency = quick(metric(1, "Value", signal="ttft"), guards=OFF)
    decision = decide(latency, observe(4, replace(series(0.2, name="ttft"), missing=("pod-3",))))
    assert (decision.desired_replicas, decision.reason) == (4, "IncompleteData")
    assert decision.message == "ttft: no usable sample of pod-3"
    assert decide(latency, observe(4, series(0.2, name="ttft"))).desired_replicas == 1


def test_a_partial_answer_still_scales_up() -> None:
    latency = quick(metric(1, "Value", signal="ttft"), guards=OFF)
    decision = decide(latency, observe(4, replace(series(2.0, name="ttft"), missing=("pod-3",))))
    assert decision.desired_replicas == 8


def test_samples_of_every_pod_with_a_warning_of_the_server_are_incomplete() -> None:
    reading = replace(per_pod([1.0] * 4), missing=("the rest (store-2: timeout)",))
    decision = decide(quick(guards=OFF), observe(4, reading))
    assert (decision.desired_replicas, decision.reason) == (4, "IncompleteData")
    assert "store-2: timeout" in decision.message


def test_a_metric_that_decides_itself_about_missing_data_overlooks_what_the_source_left_out() -> None:
    lenient = quick(metric(1, "Value", signal="ttft", missingData="Conservative"), guards=OFF)
    decision = decide(lenient, observe(4, replace(series(0.2, name="ttft"), missing=("pod-3",))))
    assert decision.desired_replicas == 1
    assert decision.proposals[0].missing == ("pod-3",)
