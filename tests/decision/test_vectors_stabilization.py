"""Stabilization over time, and what is remembered of it.

Facts of kubernetes pkg/controller/podautoscaler/horizontal_test.go: TestNormalizeDesiredReplicas
(no behavior) and TestNormalizeDesiredReplicasWithBehavior.
"""

from __future__ import annotations

import pytest

from autoscaler.decision.stabilize import Recommendations, stabilize, stabilize_classic

from .builders import NOW, hpa, remembering

Kept = list[tuple[int, float]]


def kept(recommendations: Kept) -> Recommendations:
    return remembering(*recommendations).recommendations if recommendations else ()


OLD: Kept = [(10, 600), (9, 540)]
MIXED: Kept = [(10, 600), (4, 60), (5, 120), (9, 540)]


@pytest.mark.parametrize(
    ("recommendations", "desired", "replicas", "length"),
    [
        pytest.param([], 5, 5, 1, id="empty log"),
        pytest.param([(4, 120), (5, 60)], 3, 5, 3, id="stabilize"),
        pytest.param([(1, 120), (2, 60)], 3, 3, 3, id="no stabilize"),
        pytest.param(OLD, 3, 3, 2, id="no stabilize, old recommendations"),
        pytest.param(MIXED, 3, 5, 4, id="stabilize, old recommendations"),
        pytest.param([(9, 300)], 3, 9, 2, id="exactly 300 s old still counts"),
        pytest.param([(9, 300.5)], 3, 3, 1, id="older does not"),
    ],
)
def test_without_behavior(recommendations: Kept, desired: int, replicas: int, length: int) -> None:
    step, memory = stabilize_classic(desired, kept(recommendations), NOW)
    assert (step.replicas, len(memory)) == (replicas, length)
    assert step.reason == ("ReadyForNewScale" if replicas == desired else "ScaleDownStabilized")


# (name, recommendations, current, desired, up window, down window, replicas, replicas remembered)
WITH_BEHAVIOR = [
    ("nothing remembered", [], 100, 5, 0, 0, 5, [5]),
    ("down", [(4, 120), (5, 60)], 100, 3, 0, 180, 5, [4, 5, 3]),
    ("up", [(4, 120), (5, 60)], 1, 7, 300, 0, 4, [4, 5, 7]),
    ("not down", [(1, 120), (2, 60)], 100, 3, 300, 0, 3, [1, 2, 3]),
    ("not up", [(4, 120), (5, 60)], 1, 3, 0, 300, 3, [4, 5, 3]),
    ("down, reuses the last old slot", OLD, 100, 3, 0, 0, 3, [10, 3]),
    ("up, reuses the last old slot", OLD, 1, 100, 0, 0, 100, [10, 100]),
    ("down, reuses one old slot", MIXED, 100, 3, 0, 180, 5, [10, 4, 5, 3]),
    ("up, reuses one old slot", [(10, 6000), (6, 60), (5, 120), (9, 180)], 1, 100, 300, 0, 5, [100, 6, 5, 9]),
    ("both windows, not up on the way down", [(2, 6000), (3, 180)], 2, 1, 300, 300, 2, [1, 3]),
    ("both windows, not down on the way up", [(2, 6000), (1, 180)], 2, 3, 300, 300, 2, [3, 1]),
    ("a slot stays while either window needs it", [(4, 200)], 5, 5, 100, 300, 5, [4, 5]),
    ("down, exactly as old as the window is too old", [(9, 300)], 9, 3, 0, 300, 3, [9, 3]),
    ("up, exactly as old as the window is too old", [(2, 300)], 2, 9, 300, 0, 9, [2, 9]),
]


@pytest.mark.parametrize(
    ("recommendations", "current", "desired", "up", "down", "replicas", "remembered"),
    [pytest.param(*case[1:], id=case[0]) for case in WITH_BEHAVIOR],
)
def test_with_behavior(
    recommendations: Kept,
    current: int,
    desired: int,
    up: int,
    down: int,
    replicas: int,
    remembered: list[int],
) -> None:
    windows = {
        "scaleUp": {"stabilizationWindowSeconds": up},
        "scaleDown": {"stabilizationWindowSeconds": down},
    }
    spec = hpa(behavior=windows).spec
    step, memory = stabilize(spec, current, desired, kept(recommendations), NOW)
    assert step.replicas == replicas
    assert [stored.replicas for stored in memory] == remembered
    assert [stored.replicas for stored in memory if stored.timestamp == NOW] == [desired]


@pytest.mark.parametrize(
    ("current", "desired", "recommendation", "reason"),
    [(2, 9, 3, "ScaleUpStabilized"), (9, 2, 8, "ScaleDownStabilized"), (5, 5, 7, "ReadyForNewScale")],
)
def test_the_reason_names_the_direction_that_was_held(
    current: int, desired: int, recommendation: int, reason: str
) -> None:
    windows = {"stabilizationWindowSeconds": 300}
    spec = hpa(behavior={"scaleUp": windows, "scaleDown": windows}).spec
    step, _ = stabilize(spec, current, desired, kept([(recommendation, 60)]), NOW)
    assert step.reason == reason


def test_with_both_windows_low_load_can_scale_up_once_old_lows_expire() -> None:
    """A quirk to keep (kubernetes issues 98174, 96671, 101371): at desired 3 and current 2."""
    windows = {"stabilizationWindowSeconds": 300}
    spec = hpa(behavior={"scaleUp": windows, "scaleDown": windows}).spec
    memory = kept([(1, 290), (5, 200)])
    assert stabilize(spec, 2, 3, memory, NOW)[0].replicas == 2
    assert stabilize(spec, 2, 3, memory, NOW + 15)[0].replicas == 3
