"""A recorded run as a world: the controller sees what was observed, and what it orders is compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import inf

from autoscaler.controller.action import Actor
from autoscaler.controller.clock import Clock
from autoscaler.controller.memory import target_name
from autoscaler.controller.observation import QueryRights
from autoscaler.controller.reconcile import Memory, Reconciler
from autoscaler.decision.types import Decision, Observation, Pod, Reading
from autoscaler.observe import question
from autoscaler.policy.models import DEFAULT_QUANTILE, QUANTILE_SIGNALS, Metric, ScalingPolicy
from autoscaler.policy.vocabulary import Action
from autoscaler.ports import Answer, Buckets, Point, Question, Scale, StoredPolicy, TargetKey, TargetPods
from autoscaler.records import DecisionRecord
from tests.controller.fakes import FakeFence, FakeOwners

NAMESPACE = "chat"


class Playback:
    """Implements the ports that a sync reads and writes, from one observation at a time."""

    def __init__(self, policy: ScalingPolicy) -> None:
        self.policy = policy
        self.now = 0.0
        self.observation = Observation(0, 0, (), ())
        self.ordered: list[int] = []

    def read(self, _target: TargetKey, *, fresh: bool = False) -> Scale:  # noqa: ARG002
        seen = self.observation
        return Scale(seen.spec_replicas, seen.status_replicas, "app=chat", str(self.now))

    def write(self, _target: TargetKey, scale: Scale, replicas: int) -> Scale:
        assert scale.resource_version == str(self.now)
        self.ordered.append(replicas)
        return replace(scale, replicas=replicas)

    def pods(self, _namespace: str, _selector: str) -> Sequence[Pod]:
        return self.observation.pods

    def own_pods(self, target: TargetKey, selector: str) -> TargetPods:
        return TargetPods(tuple(self.pods(target.namespace, selector)))

    def answers(self, questions: Collection[Question]) -> Mapping[Question, Answer]:
        readings = {reading.metric: reading for reading in self.observation.readings}
        inputs = {question(metric): metric for metric in reversed(self.policy.spec.inputs)}
        return {asked: self._answer(inputs[asked], readings[inputs[asked].name]) for asked in questions}

    def _answer(self, metric: Metric, reading: Reading) -> Answer:
        """The answer that reads as this reading."""
        if reading.error is not None:
            return Answer(error=reading.error)
        if metric.signal in QUANTILE_SIGNALS:
            return Answer(buckets=tuple(self._buckets(metric.quantile or DEFAULT_QUANTILE, reading)))
        return Answer(
            points=tuple(
                Point(sample.value, sample.timestamp, NAMESPACE, sample.pod) for sample in reading.samples
            )
        )

    def _buckets(self, quantile: float, reading: Reading) -> Iterator[Buckets]:
        """One bucket in every pod, such that the quantile over all is the sample; empty without one."""
        for pod in self.observation.pods:
            sample = next(iter(reading.samples), None)
            value, count = (sample.value, 1.0) if sample else (1.0, 0.0)
            time = sample.timestamp if sample else self.now
            yield Buckets((value / quantile, inf), (count, count), time, NAMESPACE, pod.name)


def controlled(policy: ScalingPolicy, records: Sequence[DecisionRecord]) -> tuple[list[Decision], list[int]]:
    """What a controller decides that sees what these records saw, and what it writes."""
    world = Playback(policy)
    clock = Clock(wall=lambda: world.now, steady=lambda: world.now)
    reconciler = Reconciler(
        world, Actor(world, FakeOwners(), FakeFence()), clock, QueryRights(frozenset("*"))
    )
    stored = StoredPolicy(NAMESPACE, policy.metadata.name, policy)
    memory = Memory(state=records[0].state, target=target_name(policy.spec.scale_target_ref))
    decisions = []
    for record in records:
        world.now, world.observation = record.now, record.observation
        asked = {question(metric) for metric in policy.spec.inputs}
        sync = reconciler.sync(stored, memory, partial(world.answers, asked))
        assert sync.made is not None
        assert sync.outcome.action is record.action
        decisions.append(without_gone_pods(sync.made.decision))
    return decisions, world.ordered


def simulated(records: Sequence[DecisionRecord]) -> tuple[list[Decision], list[int]]:
    """What the simulator decided, and what it ordered."""
    orders = [record.decision.desired_replicas for record in records if record.action is Action.SCALED]
    return [without_gone_pods(record.decision) for record in records], orders


def without_gone_pods(decision: Decision) -> Decision:
    """The simulator shows the engine what pods have said that are gone; live nobody asks for it."""
    return replace(
        decision,
        proposals=tuple(
            replace(
                proposal,
                rejected=tuple(text for text in proposal.rejected if not text.endswith(": pod is gone")),
            )
            for proposal in decision.proposals
        ),
    )
