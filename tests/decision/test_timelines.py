"""Stories over time: set the load, let time pass, expect replicas. Target: 10 requests per replica."""

from __future__ import annotations

from .builders import Timeline, hpa, metric, policy


def test_load_rises_and_falls_in_the_default_mode() -> None:
    """100, 70 and 14 requests at 10 per replica; the scaleDown window is 300 s."""
    story = Timeline(policy(), replicas=10)
    sizes = {}
    for sync in range(1, 61):
        demand = 100.0 if sync <= 2 else 70.0 if sync <= 17 else 14.0
        sizes[sync * 15] = story.sync(demand / story.replicas)
    assert sizes[30] == 10
    assert {time: size for time, size in sizes.items() if size != sizes.get(time - 15, 10)} == {
        330: 7,  # 300 s after the last 10
        555: 2,  # 300 s after the last 7
    }


def test_a_spike_is_met_as_fast_as_the_policies_allow() -> None:
    story = Timeline(policy(), replicas=1)
    sizes = [story.sync(200.0 / story.replicas) for _ in range(5)]
    assert sizes == [5, 10, 20, 20, 20]


def test_more_pods_are_not_ordered_twice_while_the_first_ones_start() -> None:
    """4 replicas at double load order 8; until those are ready, the same load orders no more."""
    story = Timeline(policy(), replicas=4)
    assert story.sync(20.0) == 8
    assert [story.sync(20.0, ready=4) for _ in range(20)] == [8] * 20
    assert story.sync(10.0, ready=8) == 8


def test_a_pending_scale_up_survives_a_lull_until_its_time_is_up() -> None:
    rules = policy(
        guards={"pendingReplicas": {"timeoutSeconds": 120}},
        behavior={"scaleDown": {"stabilizationWindowSeconds": 60}},
    )
    story = Timeline(rules, replicas=4)
    assert story.sync(20.0) == 8
    lull = [story.sync(2.0, ready=4) for _ in range(11)]
    assert lull == [8] * 10 + [1]  # 120 s of credit, then 60 s of stabilization
    assert story.now == 180.0


def test_a_restart_does_not_scale_down_before_its_window_has_passed() -> None:
    story = Timeline(policy(), replicas=10)
    sizes = [story.sync(1.0) for _ in range(20)]
    assert sizes == [10] * 19 + [1]
    assert story.now == 300.0


def test_an_outage_of_the_metrics_holds_and_then_falls_back() -> None:
    story = Timeline(policy(fallback={"replicas": 6, "afterSeconds": 60}), replicas=4)
    assert story.sync(10.0) == 4
    assert [story.sync(None) for _ in range(5)] == [4, 4, 4, 4, 6]
    assert story.last is not None
    assert story.last.reason == "Fallback"
    assert [story.sync(5.0) for _ in range(20)] == [6] * 19 + [3]


def test_rate_limits_count_what_happened_within_their_period() -> None:
    slowly = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    story = Timeline(policy(behavior=slowly), replicas=2)
    sizes = [story.sync(50.0) for _ in range(10)]
    assert sizes == [4, 4, 4, 4, 6, 6, 6, 6, 8, 8]


def test_gradual_scale_down() -> None:
    gently = {
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 30}],
        }
    }
    story = Timeline(policy(behavior=gently), replicas=16)
    assert [story.sync(0.0) for _ in range(9)] == [8, 8, 4, 4, 2, 2, 1, 1, 1]


def test_hpa_without_behavior_doubles_and_remembers_five_minutes() -> None:
    story = Timeline(hpa(metric(10)), replicas=1)
    assert [story.sync(200.0 / story.replicas) for _ in range(5)] == [4, 8, 16, 20, 20]
    # At exactly 300 s the last 20 still counts, so the change comes one sync later than with behavior.
    assert [story.sync(1.0) for _ in range(21)] == [20] * 20 + [2]


def test_a_steady_load_leaves_the_memory_at_a_bounded_length() -> None:
    story = Timeline(policy(), replicas=5)
    for _ in range(200):
        story.sync(10.0)
    assert len(story.state.recommendations) <= 300 / 15 + 1
