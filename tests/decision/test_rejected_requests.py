"""Refused requests are demand: a capped queue looks short while requests are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate
from autoscaler.decision.types import Observation, Pod, Reading, Sample, ScalingState

from .builders import (
    FAST,
    NOW,
    decide,
    failed,
    guarded,
    hpa,
    metric,
    observe,
    per_pod,
    policy,
    quick,
    remembering,
    stages,
)

GUARD = "rejectedRequests/rejectedPerSecond"
DRIVER = metric("0.1", signal="rejectedPerSecond")


def seen(
    rates: list[float] | Reading | None, load: float = 5.0, replicas: int = 4, at: float = NOW
) -> Observation:
    """Replicas at half of their target; each refuses so many requests a second (None: not asked)."""
    told = per_pod(rates, GUARD, at) if isinstance(rates, list) else rates
    return guarded(replicas, per_pod([load] * replicas, at=at), *([told] if told else []), at=at)


def test_nothing_is_removed_while_a_replica_refuses_requests() -> None:
    decision = decide(quick(), seen([0.0, 0.0, 1.5, 0.0]))
    assert (decision.desired_replicas, decision.reason) == (4, "RejectedRequests")
    assert decision.message == "1.5 requests/s are refused"
    assert ("rejectedRequests", 4, "RejectedRequests") in stages(decision)


def test_the_smallest_rate_is_above_0() -> None:
    assert decide(quick(), seen([0.0, 1e-9, 0.0, 0.0])).reason == "RejectedRequests"


def test_a_static_fallback_removes_nothing_while_requests_are_refused() -> None:
    falls = quick(fallback={"replicas": 2, "afterSeconds": 60, "behavior": "Static"})
    state = replace(remembering((4, 1000.0)), failing_since=NOW - 60)
    for rate, replicas in ((1.5, 4), (0.0, 2)):
        told = per_pod([rate] * 4, GUARD)
        decision, _ = evaluate(falls, observe(4, failed(), told), state, NOW)
        assert decision.desired_replicas == replicas, stages(decision)


def test_when_none_is_refused_the_replicas_go() -> None:
    assert decide(quick(), seen([0.0] * 4)).desired_replicas == 2


def test_a_scale_up_and_the_bounds_are_not_held() -> None:
    assert decide(quick(), seen([1.0] * 4, load=20.0)).desired_replicas == 8
    assert decide(quick(maxReplicas=3), seen([1.0] * 4)).desired_replicas == 3


def test_the_hold_is_remembered_by_the_window() -> None:
    """Five minutes after the last refusal, not one sync later."""
    held, state = evaluate(policy(), seen([1.0] * 4), remembering((4, 1000.0)), NOW)
    assert held.desired_replicas == 4
    later = seen([0.0] * 4, at=NOW + 15)
    assert evaluate(policy(), later, state, NOW + 15)[0].reason == "ScaleDownStabilized"


# A field, and what semantics makes of it


def test_the_guard_is_on_in_llm_semantics_and_off_in_hpas() -> None:
    off = {"rejectedRequests": {"enabled": False}}
    asks = [
        GUARD in [one.name for one in scaling.spec.inputs]
        for scaling in (
            policy(),
            policy(guards=off),
            hpa(),
            hpa(guards={"rejectedRequests": {"enabled": True}}),
        )
    ]
    assert asks == [True, False, False, True]


def test_switched_off_it_holds_nothing() -> None:
    assert (
        decide(quick(guards={"rejectedRequests": {"enabled": False}}), seen([9.0] * 4)).desired_replicas == 2
    )


def test_switched_on_it_holds_in_hpa_semantics_too() -> None:
    scaling = hpa(behavior=FAST, guards={"rejectedRequests": {"enabled": True}})
    assert decide(scaling, seen([0.0, 1.0, 0.0, 0.0])).reason == "RejectedRequests"


# Engines that count no refusals, and counters that went away


@pytest.mark.parametrize("absent", [None, Reading(GUARD)], ids=["an old log", "an old vLLM"])
def test_an_engine_without_the_counter_holds_nothing(absent: Reading | None) -> None:
    decision = decide(quick(), seen(absent))
    assert decision.desired_replicas == 2
    guard = next(one for one in decision.proposals if one.metric == GUARD)
    assert (guard.replicas, guard.reason, guard.complete) == (None, "NotExported", True)


def test_pods_of_an_older_version_beside_newer_ones_are_not_missing() -> None:
    some = per_pod({"pod-0": 0.0, "pod-1": 0.0}, GUARD)
    assert decide(quick(), seen(some)).desired_replicas == 2
    assert decide(quick(), seen(per_pod({"pod-0": 2.0}, GUARD))).reason == "RejectedRequests"


def after(first: Observation, second: Observation, scaling: ScalingPolicy | None = None) -> tuple[int, str]:
    scaling = scaling or quick()
    _, state = evaluate(scaling, first, remembering(), NOW - 15)
    decision = evaluate(scaling, second, replace(state, recommendations=remembering().recommendations), NOW)[
        0
    ]
    return decision.desired_replicas, str(decision.reason)


HAD = seen([0.0] * 4, load=10.0, at=NOW - 15)


def test_a_counter_that_was_there_and_went_missing_is_missing_data() -> None:
    assert after(HAD, seen([0.0] * 3)) == (4, "IncompleteData")
    assert after(HAD, seen(Reading(GUARD))) == (4, "FailedGetPodsMetric")
    assert after(HAD, seen(None)) == (4, "FailedGetPodsMetric")


@pytest.mark.parametrize(
    "unusable",
    [
        failed(GUARD),
        Reading(GUARD, missing=("the rest (a store is away)",)),
        Reading(GUARD, tuple(Sample(0.0, NOW - 91, f"pod-{n}") for n in range(4))),
        Reading(GUARD, (Sample(float("nan"), NOW, "pod-0"),)),
    ],
    ids=["failed", "partial", "stale", "not a number"],
)
def test_what_cannot_be_known_holds_from_the_start(unusable: Reading) -> None:
    assert decide(quick(), seen(unusable)).desired_replicas == 4


def test_a_pod_that_was_not_ready_meanwhile_has_begun_another_engine() -> None:
    """A StatefulSet's pod keeps its name, and may come back with a version without the counter."""
    starting = replace(HAD, pods=(*HAD.pods[:3], Pod("pod-3", ready=False)))
    scaling = quick()
    _, state = evaluate(scaling, HAD, remembering(), NOW - 30)
    _, state = evaluate(scaling, starting, state, NOW - 15)
    assert state.counting_rejections == ("pod-0", "pod-1", "pod-2")
    assert after(starting, seen([0.0] * 3)) == (2, "BelowTarget")


def test_policies_that_do_not_ask_remember_nothing() -> None:
    off = quick(guards={"rejectedRequests": {"enabled": False}})
    _, state = evaluate(off, HAD, ScalingState(), NOW)
    assert state.counting_rejections == ()


# As a driver


def test_as_a_driver_refused_requests_add_replicas_that_running_and_waiting_do_not_ask_for() -> None:
    refusals = [per_pod([0.3] * 4, name) for name in ("rejectedPerSecond", GUARD)]
    full = guarded(4, per_pod([6.0] * 4), *refusals)
    assert decide(quick(), full).reason == "RejectedRequests"
    decision = decide(quick(metric(10), DRIVER), full)
    assert (decision.desired_replicas, decision.reason) == (8, "ScaleUpLimit")


def test_a_driver_that_no_engine_exports_abstains_and_in_hpa_semantics_fails() -> None:
    absent = [Reading("rejectedPerSecond"), Reading(GUARD)]
    seen_ = guarded(4, per_pod([5.0] * 4), *absent)
    assert decide(quick(metric(10), DRIVER), seen_).desired_replicas == 2
    assert decide(hpa(metric(10), DRIVER), seen_).reason == "FailedGetPodsMetric"
