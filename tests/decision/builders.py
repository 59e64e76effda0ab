"""Short words for what a decision is made of, so that a test shows its own facts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoscaler.api.models import Metric, ScalingPolicy
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import (
    Condition,
    Decision,
    Observation,
    Pod,
    PodPhase,
    Reading,
    Recommendation,
    Sample,
    ScalingState,
)

NOW = 100_000.0
FAST = {"scaleDown": {"stabilizationWindowSeconds": 0}}


def metric(
    target: float | str,
    kind: str = "PodsAverage",
    signal: str | None = None,
    query: str | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A metric called ``load`` unless it says otherwise; by default a query, so any target fits."""
    if signal is None and query is None:
        query = "load"
    source = {"signal": signal} if signal else {"query": query}
    name = {"name": "load"} if query == "load" else {}
    key = "value" if kind == "Value" else "averageValue"
    return {**name, **source, "target": {"type": kind, key: target}, **fields}


def policy(*metrics: Mapping[str, Any] | Metric, **spec: Any) -> ScalingPolicy:
    """A policy of 1 to 100 replicas in the default (LLM) semantics."""
    return ScalingPolicy.model_validate(
        {
            "apiVersion": "vllm-autoscaler.io/v1alpha1",
            "kind": "ScalingPolicy",
            "metadata": {"name": "chat"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
                "maxReplicas": 100,
                "metrics": list(metrics) or [metric(10)],
                **spec,
            },
        }
    )


def hpa(*metrics: Mapping[str, Any], **spec: Any) -> ScalingPolicy:
    """The same in HPA semantics."""
    return policy(*metrics, **{"semantics": "HPA", **spec})


def quick(*metrics: Mapping[str, Any] | Metric, **spec: Any) -> ScalingPolicy:
    """A policy that nothing but its guards keeps from scaling down at once."""
    return policy(*metrics, **{"behavior": FAST, **spec})


def pods(count: int, ready: int | None = None, phase: str = "Running") -> tuple[Pod, ...]:
    """``count`` pods of which the first ``ready`` (default all) are ready, the others in ``phase``."""
    ready = count if ready is None else ready
    return tuple(
        Pod(f"pod-{i}") if i < ready else Pod(f"pod-{i}", PodPhase(phase), ready=False) for i in range(count)
    )


def per_pod(values: Sequence[float] | Mapping[str, float], name: str = "load", at: float = NOW) -> Reading:
    """One sample per pod; a sequence belongs to pod-0, pod-1 …"""
    if not isinstance(values, Mapping):
        values = {f"pod-{i}": value for i, value in enumerate(values)}
    return Reading(name, tuple(Sample(value, at, pod) for pod, value in values.items()))


def series(*values: float, name: str = "load", at: float = NOW) -> Reading:
    """Series without a pod."""
    return Reading(name, tuple(Sample(value, at) for value in values))


def failed(name: str = "load") -> Reading:
    """A source that did not answer."""
    return Reading(name, error="connection refused")


def observe(
    replicas: int,
    *readings: Reading,
    pods_: tuple[Pod, ...] | None = None,
    status: int | None = None,
    schedules: tuple[str, ...] = (),
) -> Observation:
    """``replicas`` ordered and, unless told otherwise, all there and ready."""
    return Observation(
        spec_replicas=replicas,
        status_replicas=replicas if status is None else status,
        pods=pods(replicas) if pods_ is None else pods_,
        readings=readings,
        active_schedules=schedules,
    )


def remembering(*recommendations: tuple[int, float], now: float = NOW, **fields: Any) -> ScalingState:
    """A state of ``(replicas, age in seconds)``; without any, one whose windows are all empty."""
    kept = tuple(Recommendation(replicas, now - age) for replicas, age in recommendations)
    return ScalingState(recommendations=kept or (Recommendation(1, now - 1e6),), **fields)


def decide(
    policy_: ScalingPolicy, observation: Observation, state: ScalingState | None = None, now: float = NOW
) -> Decision:
    """One decision, by default with a memory in which nothing is recent."""
    return evaluate(policy_, observation, state or remembering(now=now), now)[0]


def guard_readings(pods_: Sequence[Pod], at: float = NOW, **values: float) -> tuple[Reading, ...]:
    """Readings of the remaining-capacity guards: ``kv`` and ``waiting`` per pod, by default 0."""
    names = [pod.name for pod in pods_ if pod.ready]
    return (
        per_pod(dict.fromkeys(names, values.get("kv", 0.0)), "remainingCapacity/kvCacheUsage", at),
        per_pod(dict.fromkeys(names, values.get("waiting", 0.0)), "remainingCapacity/waiting", at),
    )


def guarded(
    replicas: int, *readings: Reading, there: tuple[Pod, ...] | None = None, at: float = NOW, **load: float
) -> Observation:
    """An observation whose remaining-capacity readings (``kv``, ``waiting``) are complete."""
    there = pods(replicas) if there is None else there
    return observe(replicas, *readings, *guard_readings(there, at, **load), pods_=there)


def condition(decision: Decision, kind: str) -> Condition:
    """The condition of a type; fails if the decision did not determine it."""
    return next(found for found in decision.conditions if found.type == kind)


def stages(decision: Decision) -> list[tuple[str, int, str]]:
    """The steps as (stage, replicas, reason)."""
    return [(step.stage, step.replicas, str(step.reason)) for step in decision.steps]


class Timeline:
    """Plays a policy over time: order, wait, observe; every change is written and takes effect at once."""

    def __init__(self, policy_: ScalingPolicy, replicas: int) -> None:
        self.policy = policy_
        self.replicas = replicas
        self.ready = replicas
        self.now = 0.0
        self.state = initial_state(replicas, self.now)
        self.last: Decision | None = None

    def sync(self, load: float | None, after: float = 15.0, ready: int | None = None) -> int:
        """``after`` seconds later every ready pod shows ``load`` (None: no answer); the new replicas."""
        self.now += after
        self.ready = self.replicas if ready is None else ready
        there = pods(self.replicas, self.ready, "Pending")
        readings = [failed() if load is None else per_pod([load] * self.ready, at=self.now)]
        observation = guarded(self.replicas, *readings, there=there, at=self.now)
        decision, state = evaluate(self.policy, observation, self.state, self.now)
        self.state = record_scale(self.policy, state, decision, self.now)
        self.replicas = decision.desired_replicas
        self.last = decision
        return self.replicas
