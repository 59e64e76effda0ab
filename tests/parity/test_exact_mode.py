"""``semantics: HPA`` against a second reading of the HPA's rules, decision by decision."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.quantity import from_milli
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import Decision, Observation, Pod, PodPhase, Reading, Sample, ScalingState

from . import scenarios
from .naive_hpa import Hpa


@given(st.randoms(use_true_random=False))
def test_exact_mode_decides_as_a_naive_reading_of_the_rules_does(rng):
    play(rng, syncs=6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_exact_mode_over_120_000_syncs_with_histories(seed):
    rng = Random(seed)
    for _ in range(400):
        play(rng, syncs=25)


def play(rng: Random, syncs: int) -> None:
    """One HPA and one policy live through the same; after each sync they agree in everything."""
    spec = scenarios.spec(rng)
    hpa, policy = Hpa(spec), as_policy(spec)
    state = None
    now, replicas = 1000.0, rng.randint(0, 20)
    for sync in scenarios.syncs(rng, spec, syncs):
        if sync.spec is not hpa.spec:
            hpa.edit(sync.spec)
            policy = as_policy(sync.spec)
        now += sync.gap
        replicas = replicas if sync.replicas is None else sync.replicas
        status = max(0, replicas + sync.surge)
        state = state or initial_state(replicas, now)
        decision, state = evaluate(policy, observation(sync, replicas, status), state, now)
        wanted = hpa.reconcile(replicas, status, sync.pods, sync.answers, now, sync.ambiguous)
        assert decision.desired_replicas == wanted, (sync, hpa.conditions, decision.steps)
        assert conditions(decision) == hpa.conditions
        assert usages(decision) == hpa.usages
        if sync.written:
            hpa.written(replicas, wanted, now)
            state = record_scale(policy, state, decision, now)
            replicas = wanted
        assert remembered(state) == (hpa.recommendations, hpa.up_events, hpa.down_events)
        assert sync.spec["zeroRule"] == "v1.36" or state.scaled_to_zero == hpa.scaled_to_zero


def as_policy(spec: dict[str, Any]) -> ScalingPolicy:
    behavior = {} if spec["behavior"] is None else {"behavior": as_behavior(spec["behavior"])}
    return ScalingPolicy.model_validate(
        {
            "apiVersion": "vllm-autoscaler.io/v1alpha1",
            "kind": "ScalingPolicy",
            "metadata": {"name": "chat"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
                "semantics": "HPA",
                "minReplicas": spec["minReplicas"],
                "maxReplicas": spec["maxReplicas"],
                "toleranceRule": spec["toleranceRule"],
                "zeroRule": spec["zeroRule"],
                "metrics": [as_metric(index, metric) for index, metric in enumerate(spec["metrics"])],
                **behavior,
            },
        }
    )


def as_behavior(behavior: dict[str, Any]) -> dict[str, Any]:
    return {
        side: {name: from_milli(value) if name == "tolerance" else value for name, value in fields.items()}
        for side, fields in behavior.items()
    }


def as_metric(index: int, metric: dict[str, Any]) -> dict[str, Any]:
    of_pods = metric["type"] == "Pods"
    kind = "PodsAverage" if of_pods else metric["by"]
    field = "value" if kind == "Value" else "averageValue"
    target = {"type": kind, field: from_milli(metric["target"])}
    named = {} if of_pods else {"type": metric["type"]}
    return {"name": f"m{index}", "query": f"load_{index}", "target": target, **named}


def observation(sync: scenarios.Sync, replicas: int, status: int) -> Observation:
    return Observation(
        spec_replicas=replicas,
        status_replicas=status,
        pods=tuple(
            Pod(pod["name"], PodPhase(pod["phase"]), pod["ready"], pod["deleting"]) for pod in sync.pods
        ),
        readings=tuple(reading(f"m{index}", answer) for index, answer in enumerate(sync.answers)),
        selected_by=("HorizontalPodAutoscaler chat/other",) if sync.ambiguous else (),
    )


def reading(name: str, answer: Any) -> Reading:
    if answer is None:
        return Reading(name, error="no answer")
    series = answer.items() if isinstance(answer, dict) else ((None, milli) for milli in answer)
    return Reading(name, tuple(Sample(milli / 1000, 0.0, pod) for pod, milli in series))


def conditions(decision: Decision) -> dict[str, tuple[bool, str]]:
    return {found.type: (found.status, str(found.reason)) for found in decision.conditions}


def usages(decision: Decision) -> list[int | None]:
    return [proposal.usage_milli for proposal in decision.proposals]


def remembered(state: ScalingState) -> tuple[list, list, list]:
    """Recommendations, up events and down events in plain data."""
    return (
        [(kept.replicas, kept.timestamp) for kept in state.recommendations],
        [[event.change, event.timestamp, event.outdated] for event in state.up_events],
        [[event.change, event.timestamp, event.outdated] for event in state.down_events],
    )
