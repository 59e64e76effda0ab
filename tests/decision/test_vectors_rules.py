"""Rate limits over scale events.

Facts of kubernetes pkg/controller/podautoscaler/horizontal_test.go: TestScalingWithRules (all of
its cases, also those that its focus flag leaves out), TestConvertDesiredReplicasWithRules,
TestCalculateScaleUpLimitWithScalingRules, TestCalculateScaleDownLimitWithBehaviors and
TestStoreScaleEvents; the cases without stabilization of TestDecideTargetReplicasByBehavior in
jthomperoo/predictive-horizontal-pod-autoscaler internal/scalebehavior/scalebehavior_test.go.
"""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.api.models import Spec
from autoscaler.decision import record_scale
from autoscaler.decision.bounds import ReplicaBounds
from autoscaler.decision.rate_limit import limit_rate, limit_rate_classic
from autoscaler.decision.types import Decision, Reason, ScaleEvent, ScalingState

from .builders import NOW, hpa, policy

RANGE, FEW, MANY = "DesiredWithinRange", "TooFewReplicas", "TooManyReplicas"
UP, DOWN = "ScaleUpLimit", "ScaleDownLimit"


def rules(pods: int, pods_period: int, percent: int, percent_period: int, **more: Any) -> dict[str, Any]:
    policies = []
    if pods:
        policies.append({"type": "Pods", "value": pods, "periodSeconds": pods_period})
    if percent:
        policies.append({"type": "Percent", "value": percent, "periodSeconds": percent_period})
    return {"policies": policies, **more}


def behaving(up: dict[str, Any] | None = None, down: dict[str, Any] | None = None) -> Spec:
    given = {name: half for name, half in (("scaleUp", up), ("scaleDown", down)) if half}
    return hpa(maxReplicas=2000, behavior=given).spec


def spread(changes: list[int], period: int) -> tuple[ScaleEvent, ...]:
    """Events in the middle of equal parts of the last ``period`` seconds, the oldest first."""
    part = period / len(changes)
    return tuple(
        ScaleEvent(change, NOW - (period - part * (i + 1) + part / 2)) for i, change in enumerate(changes)
    )


# (name, min, max, current, desired, up rules, down rules, up events, down events, replicas, reason)
NO: dict[str, Any] | None = None
SCALING_WITH_RULES = [
    ("within range", 3, 8, 5, 7, NO, NO, [], [], 7, RANGE),
    ("below min", 2, 8, 3, 1, NO, NO, [], [], 2, FEW),
    ("to zero", 0, 10, 1, 0, NO, NO, [], [], 0, RANGE),
    ("above max", 1, 10, 20, 1000, NO, NO, [], [], 10, MANY),
    ("more than max", 100, 150, 100, 1000, NO, NO, [], [], 150, MANY),
    ("1 % up", 1, 2000, 3, 1000, rules(0, 0, 1, 60), NO, [], [], 4, UP),
    ("20 pods down", 3, 2000, 1000, 3, NO, rules(20, 60, 0, 0), [], [], 980, DOWN),
    ("default up", 1, 1000, 10, 50, NO, NO, [], [], 20, UP),
    ("pods over percent up", 1, 1000, 10, 500, rules(100, 60, 100, 60), NO, [], [], 110, UP),
    ("percent over pods up", 1, 1000, 10, 500, rules(2, 60, 100, 60), NO, [], [], 20, UP),
    ("100 pods up", 1, 1000, 10, 50, rules(100, 60, 0, 0), NO, [], [], 50, RANGE),
    ("10000 pods up", 1, 1000, 10, 50, rules(10000, 60, 0, 0), NO, [], [], 50, RANGE),
    ("30 pods up", 1, 1000, 10, 50, rules(30, 60, 0, 0), NO, [], [], 40, UP),
    ("200 % up", 1, 1000, 10, 50, rules(0, 0, 200, 60), NO, [], [], 30, UP),
    ("percent over pods down", 1, 1000, 100, 2, NO, rules(20, 60, 1, 60), [], [], 80, DOWN),
    ("pods over percent down", 1, 1000, 100, 2, NO, rules(2, 60, 1, 60), [], [], 98, DOWN),
    ("100 pods down", 1, 1000, 10, 0, NO, rules(100, 60, 0, 0), [], [], 1, FEW),
    ("100 % down", 5, 1000, 10, 2, NO, rules(0, 0, 100, 60), [], [], 5, FEW),
    ("5 pods down", 1, 1000, 10, 2, NO, rules(5, 60, 0, 0), [], [], 5, DOWN),
    ("50 % down", 1, 1000, 10, 5, NO, rules(0, 0, 50, 60), [], [], 5, RANGE),
    ("events, 300 pods up", 1, 200, 100, 500, rules(300, 60, 0, 0), NO, [1, 5, 9], [], 200, MANY),
    ("events, 10000 % up", 1, 200, 100, 500, rules(0, 0, 10000, 60), NO, [1, 5, 9], [], 200, MANY),
    ("events exceed 5 pods up", 1, 1000, 100, 500, rules(5, 120, 0, 0), NO, [1, 5, 9], [], 100, UP),
    ("events, 150 pods up", 1, 1000, 100, 500, rules(150, 120, 0, 0), NO, [1, 5, 9], [], 235, UP),
    ("events, 200 % up", 1, 1000, 100, 500, rules(0, 0, 200, 120), NO, [1, 5, 9], [], 255, UP),
    ("events both ways, up", 1, 1000, 6, 24, rules(0, 0, 300, 300), NO, [4], [2], 16, UP),
    ("events, default down", 1, 1000, 10, 5, NO, NO, [], [1, 5, 9], 5, RANGE),
    ("events, 115 pods down", 1, 1000, 100, 0, NO, rules(115, 120, 0, 0), [], [1, 5, 9], 1, FEW),
    ("events, 130 pods down", 5, 1000, 100, 0, NO, rules(130, 120, 0, 0), [], [1, 5, 9], 5, FEW),
    ("events, 100 % down", 5, 1000, 100, 2, NO, rules(0, 0, 100, 120), [], [1, 5, 9], 5, FEW),
    ("events exceed 5 pods down", 1, 1000, 100, 2, NO, rules(5, 120, 0, 0), [], [1, 5, 9], 100, DOWN),
    ("events, 50 % down", 1, 1000, 100, 0, NO, rules(0, 0, 50, 120), [], [2, 4, 6], 56, DOWN),
    ("events both ways, down", 1, 1000, 10, 1, NO, rules(0, 0, 50, 180), [2], [4], 6, DOWN),
    ("events exceed 10 % down", 1, 1000, 100, 0, NO, rules(0, 0, 10, 120), [], [10, 10, 10], 100, DOWN),
    ("events, below zero", 1, 1000, 10, 5, NO, rules(0, 0, 1000, 120), [], [10, 10, 10], 5, RANGE),
    ("1000 pods of 60 s up", 1, 1000, 100, 200, rules(1000, 60, 0, 0), NO, [8, 12, 9, 11], [], 200, RANGE),
    ("of 120 and 60 s up", 1, 1000, 100, 200, rules(1000, 120, 100, 60), NO, [8, 12, 9, 11], [], 200, RANGE),
    ("of 30 and 60 s up", 1, 1000, 100, 200, rules(1000, 30, 100, 60), NO, [8, 12, 9, 11], [], 200, RANGE),
    ("1000 pods of 60 s down", 1, 1000, 100, 5, NO, rules(1000, 60, 0, 0), [], [8, 12, 9, 11], 5, RANGE),
    ("of 120 and 60 s down", 1, 1000, 100, 5, NO, rules(1000, 120, 100, 60), [], [8, 12, 9, 11], 5, RANGE),
    ("of 30 and 60 s down", 1, 1000, 100, 5, NO, rules(1000, 30, 100, 60), [], [8, 12, 9, 11], 5, RANGE),
    # where both limits meet, it is the bound that limits
    ("limit and max", 1, 20, 10, 50, NO, NO, [], [], 20, MANY),
    ("limit and min", 5, 100, 10, 2, NO, rules(5, 60, 0, 0), [], [], 5, FEW),
    # predictive-horizontal-pod-autoscaler
    ("no change", 1, 10, 3, 3, NO, NO, [], [], 3, RANGE),
    ("3 to 5", 1, 10, 3, 5, NO, NO, [], [], 5, RANGE),
    ("14 to 16 of 15", 1, 15, 14, 16, NO, NO, [], [], 15, MANY),
    ("5 to 3", 1, 10, 5, 3, NO, NO, [], [], 3, RANGE),
    ("5 to 3 with min 4", 4, 10, 5, 3, NO, NO, [], [], 4, FEW),
]


@pytest.mark.parametrize(
    ("low", "high", "current", "desired", "up", "down", "ups", "downs", "replicas", "reason"),
    [pytest.param(*case[1:], id=case[0]) for case in SCALING_WITH_RULES],
)
def test_scaling_with_rules(
    low: int,
    high: int,
    current: int,
    desired: int,
    up: dict[str, Any] | None,
    down: dict[str, Any] | None,
    ups: list[int],
    downs: list[int],
    replicas: int,
    reason: str,
) -> None:
    state = ScalingState(
        up_events=spread(ups, 120) if ups else (), down_events=spread(downs, 120) if downs else ()
    )
    step = limit_rate(behaving(up, down), ReplicaBounds(low, high), state, current, desired, NOW)
    assert (step.replicas, step.reason) == (replicas, reason)


@pytest.mark.parametrize(
    ("select", "current", "desired", "replicas"),
    [
        ("Max", 1, 9, 3),
        ("Min", 1, 9, 2),
        ("Max", 5, 1, 2),
        ("Min", 5, 1, 3),
        ("Disabled", 5, 1, 5),
        ("Disabled", 5, 9, 5),
    ],
)
def test_select_policy(select: str, current: int, desired: int, replicas: int) -> None:
    half = rules(2, 60, 50, 60, selectPolicy=select)
    step = limit_rate(behaving(half, half), ReplicaBounds(1, 100), ScalingState(), current, desired, NOW)
    assert step.replicas == replicas
    assert step.reason == (UP if desired > current else DOWN)


@pytest.mark.parametrize(
    ("current", "desired", "low", "high", "replicas", "reason"),
    [
        (5, 7, 3, 8, 7, RANGE),
        (3, 1, 2, 8, 2, FEW),
        (1, 0, 0, 10, 0, RANGE),
        (20, 1000, 1, 10, 10, MANY),
        (3, 1000, 1, 2000, 6, UP),
        (1, 1000, 1, 2000, 4, UP),
        (0, 1000, 0, 2000, 4, UP),
        (2**30, 2**31 - 1, 1, 2**31 - 1, 2**31 - 1, RANGE),
    ],
)
def test_without_behavior_a_sync_at_most_doubles_or_makes_four(
    current: int, desired: int, low: int, high: int, replicas: int, reason: str
) -> None:
    step = limit_rate_classic(ReplicaBounds(low, high), current, desired)
    assert (step.replicas, step.reason) == (replicas, reason)


def test_an_event_counts_until_it_is_exactly_as_old_as_the_period() -> None:
    spec = behaving(rules(5, 60, 0, 0))
    for age, replicas in ((60.0, 15), (59.9, 11)):
        state = ScalingState(up_events=(ScaleEvent(4, NOW - age),))
        assert limit_rate(spec, ReplicaBounds(1, 100), state, 10, 50, NOW).replicas == replicas


def test_from_zero_a_percentage_stays_zero_for_ever() -> None:
    step = limit_rate(behaving(rules(0, 0, 1000, 15)), ReplicaBounds(0, 100), ScalingState(), 0, 50, NOW)
    assert (step.replicas, step.reason) == (0, UP)


# (events before as (change, age), rules, changes after)
STORE_SCALE_EVENTS = [
    ("nothing without behavior", [], None, []),
    ("the first", [], rules(10, 60, 100, 60), [5]),
    ("an outdated one stays without behavior", [(7, 61)], None, [7]),
    ("an outdated one is replaced", [(7, 61)], rules(10, 60, 100, 60), [5]),
    ("an actual one stays", [(7, 58)], rules(10, 60, 100, 60), [7, 5]),
    ("one of two is replaced", [(7, 61), (6, 59)], rules(10, 60, 0, 0), [5, 6]),
    (
        "the last of several outdated ones is replaced",
        [(8, 29), (6, 59), (7, 61), (9, 61)],
        rules(10, 60, 100, 30),
        [8, 6, 7, 5],
    ),
    ("exactly as old as the period is not outdated", [(7, 60)], rules(10, 60, 0, 0), [7, 5]),
    ("the longest period counts", [(7, 58), (6, 59)], rules(10, 120, 100, 30), [7, 6, 5]),
]


def change(by: int) -> Decision:
    return Decision(10, 10 + by, Reason.ABOVE_TARGET, "", ())


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize(
    ("before", "half", "after"), [pytest.param(*case[1:], id=case[0]) for case in STORE_SCALE_EVENTS]
)
def test_store_scale_events(
    before: list[tuple[int, float]], half: dict[str, Any] | None, after: list[int], direction: str
) -> None:
    events = tuple(ScaleEvent(change_, NOW - age) for change_, age in before)
    name = "scaleUp" if direction == "up" else "scaleDown"
    policy_ = hpa(behavior={name: half}) if half else hpa()
    state = ScalingState(up_events=events, down_events=events)
    recorded = record_scale(policy_, state, change(5 if direction == "up" else -5), NOW)
    touched, other = recorded.up_events, recorded.down_events
    if direction == "down":
        touched, other = other, touched
    assert [event.change for event in touched] == after
    assert other == events


def test_in_llm_semantics_absent_behavior_means_its_defaults_and_events_are_stored() -> None:
    recorded = record_scale(policy(), ScalingState(), change(5), NOW)
    assert recorded.up_events == (ScaleEvent(5, NOW),)


def test_a_hold_records_nothing() -> None:
    state = ScalingState(up_events=(ScaleEvent(5, NOW - 1000),))
    assert record_scale(policy(), state, change(0), NOW) is state
