"""A pod that is being deleted is no capacity; the requests that ended in it are demand all the same."""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate, initial_state
from autoscaler.decision.types import Observation, Pod, PodPhase, Proposal

from .builders import NOW, hpa, metric, per_pod, policy

STAY = (Pod("pod-0"), Pod("pod-1"))
LEAVES = Pod("pod-2", deleting=True)
ENDED = Pod("pod-2", PodPhase.SUCCEEDED, ready=False, deleting=True)


def proposal(scaling: ScalingPolicy, leaving: Pod, values: list[float]) -> Proposal:
    name = scaling.spec.metrics[0].name
    observation = Observation(2, 2, (*STAY, leaving), (per_pod(values, name),))
    decision, _ = evaluate(scaling, observation, initial_state(2, NOW), NOW)
    return next(one for one in decision.proposals if one.metric == name)


@pytest.mark.parametrize(
    ("signal", "kind", "leaving", "usage"),
    [
        ("requestsPerSecond", "PodsAverage", LEAVES, 6.0),  # 12 requests/s, and two replicas for them
        ("requestsPerSecond", "AverageValue", LEAVES, 6.0),
        ("rejectedPerSecond", "PodsAverage", LEAVES, 6.0),
        ("requestsPerSecond", "PodsAverage", ENDED, 4.0),
        ("running", "PodsAverage", LEAVES, 4.0),
        ("waiting", "AverageValue", LEAVES, 4.0),
        ("generationTokensPerSecond", "PodsAverage", LEAVES, 4.0),
    ],
)
def test_requests_that_ended_count_and_gauges_do_not(
    signal: str, kind: str, leaving: Pod, usage: float
) -> None:
    found = proposal(policy(metric(4, kind, signal=signal)), leaving, [4, 4, 4])
    assert found.usage_milli == usage * 1000
    assert found.missing == ()


def test_a_draining_pod_stands_for_none_that_stays() -> None:
    spec: dict[str, Any] = metric(4, signal="requestsPerSecond")
    name = "requestsPerSecond"
    observation = Observation(2, 2, (*STAY, LEAVES), (per_pod({"pod-0": 1, "pod-2": 1}, name),))
    decision, _ = evaluate(policy(spec), observation, initial_state(2, NOW), NOW)
    assert decision.proposals[0].missing == ("pod-1",)
    assert decision.desired_replicas == 2


def test_the_hpa_leaves_its_samples_aside() -> None:
    found = proposal(hpa(metric(4, signal="requestsPerSecond")), LEAVES, [4, 4, 4])
    assert found.usage_milli == 4000
