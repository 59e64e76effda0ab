"""A workload and its load as they really are, and what an engine with perfect eyes would order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from autoscaler.api.models import Metric, ScalingPolicy, Signal
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import Decision, Observation, Pod, PodPhase, Reading, ScalingState
from autoscaler.metrics.readings import reading
from autoscaler.ports.metrics import Answer, Buckets, Point

NAMESPACE = "chat"

CAPACITY = 20.0
"""Requests that one pod runs at a time; more of them wait."""
LATENCIES = (0.5, 1.0, 2.0, 4.0, inf)
"""The buckets of a pod's time to the first token, in seconds."""
ASKING = 3.0
"""With fewer requests for a pod all that run are long ones, and nobody waits for a first token."""


def signal_of(signal: Signal | None, requests: float) -> float:
    """What a pod with so many requests says."""
    if signal is Signal.REJECTED_RATE:
        return 0.0
    if signal is Signal.WAITING:
        return max(0.0, requests - CAPACITY)
    if signal is Signal.KV_CACHE_USAGE:
        return min(1.0, requests / (1.2 * CAPACITY))
    return min(requests, CAPACITY) if signal is Signal.RUNNING else requests


def latencies(requests: float) -> tuple[float, ...]:
    """The cumulative rates of a pod's histogram: late once requests wait, and none where nobody asks."""
    if requests < ASKING:
        return (0.0,) * len(LATENCIES)
    late = 0.0 if requests > CAPACITY else 1.0
    return (late, late, late, 1.0, 1.0)


@dataclass
class Truth:
    """Pods with their births, and the requests of all pods over time, in steps.

    Pods are ready ``start_seconds`` after they were ordered; a scale-down takes the youngest.
    """

    replicas: int
    steps: Sequence[tuple[float, float]]
    start_seconds: float = 40.0
    now: float = 0.0
    born: dict[str, float] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    _names: int = 0

    def __post_init__(self) -> None:
        self.order(self.replicas)
        self.born = dict.fromkeys(self.born, -1e6)

    def order(self, replicas: int) -> None:
        """Somebody has set the replicas."""
        self.replicas = replicas
        while len(self.born) < replicas:
            self.born[f"vllm-{self._names}"] = self.now
            self._names += 1
        while len(self.born) > replicas:
            self.gone.append(self.born.popitem()[0])

    def load(self, at: float) -> float:
        """Requests of all pods."""
        return self.steps[bisect_right(self.steps, (at, float("inf"))) - 1][1]

    def pods(self) -> tuple[Pod, ...]:
        """The pods as they are now."""
        return tuple(
            Pod(name) if self.is_ready(name, self.now) else Pod(name, PodPhase.PENDING, ready=False)
            for name in self.born
        )

    def is_ready(self, name: str, at: float) -> bool:
        """Whether a pod was ready then."""
        return name in self.born and at - self.born[name] >= self.start_seconds

    def requests(self, at: float) -> float:
        """Those of each pod that was ready then."""
        return self.load(at) / max(sum(self.is_ready(name, at) for name in self.born), 1)

    def answer(self, signal: Signal | None, at: float, stamp: float) -> Answer:
        """What the pods that are ready now said then, as of ``stamp``."""
        requests = self.requests(at)
        ready = [pod.name for pod in self.pods() if pod.ready]
        if signal is Signal.TTFT:
            rates = latencies(requests)
            return Answer(buckets=tuple(Buckets(LATENCIES, rates, stamp, NAMESPACE, pod) for pod in ready))
        value = signal_of(signal, requests)
        return Answer(tuple(Point(value, stamp, NAMESPACE, pod) for pod in ready))


@dataclass
class Oracle:
    """The engine on fresh and complete data, at every sync, whatever the controller sees.

    Data may be as old as the policy allows, so what matters is what some such age would have
    ordered; ``lags`` are the ages that are tried. Its memory knows the changes that took place.
    """

    truth: Truth
    lags: tuple[float, ...]
    states: list[ScalingState] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = [initial_state(self.truth.replicas, self.truth.now) for _ in self.lags]

    def look(self, policy: ScalingPolicy) -> None:
        """Decides on the truth as it is now."""
        self.decisions = []
        for number, lag in enumerate(self.lags):
            seen = self._observation(policy, lag)
            decision, state = evaluate(policy, seen, self.states[number], self.truth.now)
            self.decisions.append(decision)
            self.states[number] = state

    def changed(self, policy: ScalingPolicy, before: int) -> None:
        """The replicas were changed by the controller from ``before``."""
        for number, decision in enumerate(self.decisions):
            done = Decision(before, self.truth.replicas, decision.reason, "", decision.steps)
            self.states[number] = record_scale(policy, self.states[number], done, self.truth.now)

    @property
    def lowest(self) -> int:
        """The fewest replicas that good data orders."""
        return min(decision.desired_replicas for decision in self.decisions)

    def _observation(self, policy: ScalingPolicy, lag: float) -> Observation:
        truth = self.truth
        return Observation(
            truth.replicas,
            truth.replicas,
            truth.pods(),
            tuple(self._reading(metric, lag) for metric in policy.spec.inputs),
        )

    def _reading(self, metric: Metric, lag: float) -> Reading:
        truth = self.truth
        answer = truth.answer(metric.signal, truth.now - lag, truth.now)
        return reading(metric, answer, NAMESPACE, truth.pods(), truth.now)
