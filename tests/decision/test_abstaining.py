"""A metric that is absent because no requests came: it neither proposes nor forbids a scale-down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.decision import evaluate
from autoscaler.decision.types import Decision, Reading, Sample

from .builders import (
    NOW,
    condition,
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
    series,
    stages,
)

TTFT = metric(1, "Value", signal="ttft")
QUEUE = metric(8, "AverageValue", signal="gatewayQueue")
IDLE = "no request in the last 60 s"


def idle(name: str = "ttft") -> Reading:
    return Reading(name, idle=IDLE)


def proposal(decision: Decision, name: str) -> tuple[str, int | None, str]:
    found = next(one for one in decision.proposals if one.metric == name)
    return str(found.reason), found.replicas, found.message


@pytest.mark.parametrize("name", ["ttft", "itl", "gatewayQueue"])
def test_the_others_scale_down_without_it(name: str) -> None:
    second = QUEUE if name == "gatewayQueue" else metric(1, "Value", signal=name)
    decision = decide(quick(metric(10), second), guarded(4, per_pod([5.0] * 4), idle(name)))
    assert (decision.desired_replicas, decision.reason) == (2, "BelowTarget")
    assert proposal(decision, name) == ("NoRequests", None, f"{name}: {IDLE}")


def test_the_others_scale_up_without_it() -> None:
    assert decide(quick(metric(10), TTFT), guarded(4, per_pod([15.0] * 4), idle())).desired_replicas == 6


def test_as_a_guard_it_holds_nothing() -> None:
    decision = decide(quick(metric(10), TTFT | {"role": "Guard"}), guarded(4, per_pod([5.0] * 4), idle()))
    assert decision.desired_replicas == 2


@pytest.mark.parametrize(
    "absent",
    [
        Reading("ttft"),
        failed("ttft"),
        Reading("ttft", missing=("pod-1",)),
        Reading("ttft", (Sample(float("nan"), NOW),)),
        Reading("ttft", (Sample(0.5, NOW - 91),)),
    ],
    ids=["no reason", "failed", "a pod is missing", "not a number", "stale"],
)
def test_one_that_is_really_missing_goes_on_holding(absent: Reading) -> None:
    decision = decide(quick(metric(10), TTFT), guarded(4, per_pod([5.0] * 4), absent))
    assert decision.desired_replicas == 4
    assert proposal(decision, "ttft")[0] in ("FailedGetExternalMetric", "StaleMetric")


def test_in_hpa_semantics_an_absent_metric_is_an_error() -> None:
    decision = decide(hpa(metric(10), TTFT), guarded(4, per_pod([5.0] * 4), idle()))
    assert (decision.desired_replicas, decision.reason) == (4, "FailedGetExternalMetric")


@pytest.mark.parametrize(("choice", "expected"), [("Conservative", 2), ("Zero", 2), ("Hold", 2)])
def test_whatever_missing_data_means_no_request_is_not_missing(choice: str, expected: int) -> None:
    scaling = quick(metric(10), TTFT | {"missingData": choice})
    assert decide(scaling, guarded(4, per_pod([5.0] * 4), idle())).desired_replicas == expected


# When nothing but abstaining drivers is left


def test_when_every_driver_abstains_the_replicas_are_kept() -> None:
    decision = decide(quick(TTFT, QUEUE), guarded(4, idle(), idle("gatewayQueue")))
    assert stages(decision)[0] == ("metrics", 4, "NoRequests")
    assert (decision.desired_replicas, decision.reason) == (4, "NoRequests")
    active = condition(decision, "ScalingActive")
    assert (active.status, active.reason) == (True, "NoRequests")


def test_beside_a_failed_one_the_failure_is_the_reason() -> None:
    decision = decide(quick(TTFT, metric(10)), guarded(4, idle(), failed()))
    assert (decision.desired_replicas, decision.reason) == (4, "FailedGetPodsMetric")
    assert condition(decision, "ScalingActive").status is False


def test_no_requests_is_no_failure_that_a_fallback_would_answer() -> None:
    """At 0 replicas the pods' metric fails; the queue that nobody waits in must not order the fallback."""
    scaling = quick(metric(10), QUEUE, minReplicas=0, fallback={"replicas": 3, "afterSeconds": 60})
    state = remembering((0, 300.0), scaled_to_zero=True, failing_since=NOW - 600)
    observation = observe(0, Reading("load"), idle("gatewayQueue"))
    decision, after = evaluate(scaling, observation, state, NOW)
    assert decision.desired_replicas == 0
    assert after.failing_since is None


def test_a_hold_without_requests_is_remembered_as_any_other() -> None:
    """The window for a scale-down begins when a metric speaks again."""
    scaling = policy(TTFT)
    held, state = evaluate(scaling, guarded(4, idle()), remembering((4, 1000.0)), NOW)
    assert held.desired_replicas == 4
    spoke = guarded(4, series(0.1, name="ttft", at=NOW + 15), at=NOW + 15)
    assert evaluate(scaling, spoke, state, NOW + 15)[0].reason == "ScaleDownStabilized"


def test_a_quiet_picker_lets_a_policy_come_down_to_zero_and_its_first_queue_wakes_it() -> None:
    scaling = quick(metric(32, signal="running+waiting"), QUEUE, minReplicas=0)
    quiet = guarded(4, per_pod([0.0] * 4, "running+waiting"), idle("gatewayQueue"))
    down, state = evaluate(scaling, quiet, remembering((4, 1000.0)), NOW)
    assert down.desired_replicas == 0
    state = replace(state, scaled_to_zero=True)
    asleep = observe(0, Reading("running+waiting"), idle("gatewayQueue"))
    assert evaluate(scaling, asleep, state, NOW + 15)[0].desired_replicas == 0
    awake = observe(0, Reading("running+waiting"), series(9.0, name="gatewayQueue", at=NOW + 30))
    assert evaluate(scaling, awake, state, NOW + 30)[0].desired_replicas == 2
