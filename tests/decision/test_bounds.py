"""Bounds, schedules, modes and freezes: what holds whatever the metrics say."""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.decision import evaluate
from autoscaler.decision.bounds import ReplicaBounds, effective_bounds

from .builders import (
    NOW,
    condition,
    decide,
    failed,
    metric,
    observe,
    per_pod,
    policy,
    remembering,
    series,
    stages,
)


def schedule(name: str, low: int | None = None, high: int | None = None) -> dict[str, Any]:
    given = {"minReplicas": low, "maxReplicas": high}
    window = {"name": name, "cron": "0 8 * * *", "durationSeconds": 3600}
    return window | {key: value for key, value in given.items() if value is not None}


DAY, PEAK, NIGHT = schedule("day", low=4), schedule("peak", 8, 40), schedule("night", high=3)
CAP, LOW_MIN = schedule("cap", high=5), schedule("low", low=1)
BUSY = schedule("busy", low=9)


@pytest.mark.parametrize(
    ("open_schedules", "bounds"),
    [
        ((), (3, 20)),
        (("unknown",), (3, 20)),
        (("day",), (4, 20)),
        (("peak",), (8, 40)),
        (("night",), (3, 3)),
        (("low",), (1, 20)),  # replaces the base, downwards too
        (("day", "peak"), (8, 40)),  # the highest of each
        (("night", "cap"), (3, 5)),
        (("low", "day"), (4, 20)),
        (("cap", "busy"), (9, 9)),  # they contradict each other: minReplicas wins
    ],
)
def test_open_schedules_replace_the_bounds_they_name(
    open_schedules: tuple[str, ...], bounds: tuple[int, int]
) -> None:
    spec = policy(minReplicas=3, maxReplicas=20, schedules=[DAY, PEAK, NIGHT, CAP, LOW_MIN, BUSY]).spec
    assert effective_bounds(spec, open_schedules) == ReplicaBounds(*bounds)


def test_an_opening_schedule_scales_at_once_and_says_so() -> None:
    decision = decide(policy(schedules=[DAY]), observe(2, failed(), schedules=("day",)))
    assert stages(decision) == [("schedules", 2, "ScheduleActive"), ("bounds", 4, "BelowMinReplicas")]
    assert decision.steps[0].message == "day: 4 to 100"
    assert (decision.desired_replicas, decision.reason) == (4, "BelowMinReplicas")


def test_a_schedule_that_changes_nothing_does_not_settle_a_decision() -> None:
    decision = decide(policy(schedules=[DAY]), observe(5, per_pod([10.0] * 5), schedules=("day",)))
    assert (decision.desired_replicas, decision.reason) == (5, "WithinTolerance")


def test_a_schedules_minimum_wakes_a_policy_that_allows_zero() -> None:
    rules = policy(minReplicas=0, schedules=[DAY])
    assert decide(rules, observe(0, failed(), schedules=("day",))).desired_replicas == 4


@pytest.mark.parametrize(("current", "desired"), [(25, 20), (1, 3)])
def test_bounds_are_orders_and_wait_for_no_guard(current: int, desired: int) -> None:
    rules = policy(minReplicas=3, maxReplicas=20)
    state = remembering((current, 1), pending_since=NOW)
    assert decide(rules, observe(current, failed(), pods_=()), state).desired_replicas == desired


# Zero


def test_zero_replicas_under_a_minimum_of_zero_always_wake_by_metrics() -> None:
    """Whoever scaled to zero; mode: Paused is how one pauses."""
    rules = policy(metric(10, "AverageValue", signal="gatewayQueue"), minReplicas=0)
    assert decide(rules, observe(0, series(0.0, name="gatewayQueue"))).desired_replicas == 0
    decision = decide(rules, observe(0, series(35.0, name="gatewayQueue")))
    assert decision.desired_replicas == 4
    assert [proposal.metric for proposal in decision.proposals] == ["gatewayQueue"]  # no guard at zero


def test_somebody_elses_zero_under_a_positive_minimum_switches_off() -> None:
    decision = decide(policy(minReplicas=2), observe(0))
    assert (decision.desired_replicas, decision.reason) == (0, "ScalingDisabled")
    assert not condition(decision, "ScalingActive").status


def test_own_zero_rises_to_a_new_minimum_at_once() -> None:
    state = remembering(scaled_to_zero=True)
    decision = decide(policy(minReplicas=2), observe(0, failed()), state)
    assert (decision.desired_replicas, decision.reason) == (2, "BelowMinReplicas")


# Modes and freezes


@pytest.mark.parametrize(("current", "load"), [(5, 50.0), (5, 1.0), (500, 10.0), (0, 50.0)])
def test_paused_holds_whatever_happens(current: int, load: float) -> None:
    decision = decide(policy(mode="Paused", minReplicas=1), observe(current, per_pod([load] * current)))
    assert (decision.desired_replicas, decision.reason) == (current, "Paused")
    assert decision.proposals == ()


def test_a_pause_ends_like_a_restart() -> None:
    """What was kept during the pause counts as recommended, so that it does not end in a scale-down."""
    _, state = evaluate(policy(mode="Paused"), observe(5), remembering(), NOW)
    decision = decide(policy(), observe(5, per_pod([1.0] * 5)), state, NOW + 15)
    assert decision.desired_replicas == 5


def test_a_dry_run_decides_as_an_active_policy() -> None:
    observation = observe(5, per_pod([50.0] * 5))
    assert decide(policy(mode="DryRun"), observation) == decide(policy(), observation)


@pytest.mark.parametrize(
    ("freeze", "current", "load", "desired", "reason"),
    [
        ("ScaleUp", 5, 50.0, 5, "Frozen"),
        ("ScaleDown", 5, 50.0, 10, "ScaleUpLimit"),
        ("ScaleUp", 2, 50.0, 2, "Frozen"),  # the correction to minReplicas as well
        ("ScaleDown", 120, 1.0, 120, "Frozen"),
        ("ScaleUp", 120, 1.0, 100, "AboveMaxReplicas"),
        ("None", 5, 50.0, 10, "ScaleUpLimit"),
    ],
)
def test_a_freeze_forbids_one_direction_altogether(
    freeze: str, current: int, load: float, desired: int, reason: str
) -> None:
    rules = policy(freeze=freeze, minReplicas=3)
    decision = decide(rules, observe(current, per_pod([load] * current)))
    assert (decision.desired_replicas, decision.reason) == (desired, reason)
