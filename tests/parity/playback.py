"""A recorded run as a world: the controller gets its pods and raw answers, and what it does is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.vocabulary import Action
from autoscaler.controller.actuator import Actuator
from autoscaler.controller.clock import Clock
from autoscaler.controller.observation import QueryRights
from autoscaler.controller.reconcile import PolicyMemory, Reconciler
from autoscaler.decision.types import Decision, Observation, Pod
from autoscaler.history.records import DecisionRecord
from autoscaler.history.restore import target_name
from autoscaler.ports.metrics import Answer, Question
from autoscaler.ports.policies import StoredPolicy
from autoscaler.ports.targets import Scale, TargetKey, TargetPods
from simulator.run.scraped_signals import NAMESPACE
from tests.controller.fakes import FakeFence, FakeOwners


class Playback:
    """Implements the ports of the cluster that a sync reads and writes: the pods of one observation."""

    def __init__(self) -> None:
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


Run = Sequence[tuple[DecisionRecord, Mapping[Question, Answer]]]
"""What the simulator recorded of each sync, and what its metric source had answered."""


def controlled(policy: ScalingPolicy, run: Run) -> tuple[list[Observation], list[Decision], list[int]]:
    """What a controller observes and decides that is given the same answers and pods, and what it writes."""
    world = Playback()
    clock = Clock(wall=lambda: world.now, steady=lambda: world.now)
    reconciler = Reconciler(
        world, Actuator(world, FakeOwners(), FakeFence()), clock, QueryRights(frozenset("*"))
    )
    stored = StoredPolicy(NAMESPACE, policy.metadata.name, policy)
    memory = PolicyMemory(state=run[0][0].state, target=target_name(policy.spec.scale_target_ref))
    observations, decisions = [], []
    for record, answers in run:
        world.now, world.observation = record.now, record.observation
        sync = reconciler.sync(stored, memory, partial(dict, answers))
        assert sync.made is not None
        assert sync.outcome.action is record.action
        observations.append(sync.made.observation)
        decisions.append(sync.made.decision)
    return observations, decisions, world.ordered


def simulated(run: Run) -> tuple[list[Observation], list[Decision], list[int]]:
    """What the simulator observed and decided, and what it ordered."""
    records = [record for record, _ in run]
    orders = [record.decision.desired_replicas for record in records if record.action is Action.SCALED]
    return [record.observation for record in records], [record.decision for record in records], orders
