"""``semantics: HPA`` through the controller: what it adds between two syncs must not show.

Gaps of half an hour, pods that have ended, failed writes, edits, and others who change the replicas.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.api.models import ScalingPolicy
from autoscaler.controller.actuator import Actuator
from autoscaler.controller.clock import Clock
from autoscaler.controller.observation import QueryRights
from autoscaler.controller.reconcile import PolicyMemory, Reconciler
from autoscaler.decision.types import Observation
from autoscaler.errors import TargetError
from autoscaler.metrics.readings import question
from autoscaler.ports.metrics import Answer, Point, Question
from autoscaler.ports.policies import StoredPolicy
from autoscaler.ports.targets import Scale, TargetKey
from simulator.run.scraped_signals import NAMESPACE
from tests.controller.fakes import FakeFence, FakeOwners, FakeSelectors

from . import scenarios
from .naive_hpa import Hpa
from .playback import Playback
from .test_exact_mode import as_policy, conditions, observation, remembered


class Refusing(Playback):
    """A world whose target may refuse a write."""

    refuses = False

    def write(self, target: TargetKey, scale: Scale, replicas: int) -> Scale:
        if self.refuses:
            raise TargetError("forbidden")
        return super().write(target, scale, replicas)


class Live:
    """A controller with one policy and nothing else."""

    def __init__(self) -> None:
        self.world = Refusing()
        self.selectors = FakeSelectors()
        clock = Clock(wall=lambda: self.world.now, steady=lambda: self.world.now)
        actor = Actuator(self.world, FakeOwners(), FakeFence())
        rights = QueryRights(frozenset("*"))
        self.reconciler = Reconciler(self.world, actor, clock, rights, self.selectors)
        self.memory = PolicyMemory()

    def sync(self, policy: ScalingPolicy, sync: scenarios.Sync, replicas: int, now: float) -> Any:
        world = self.world
        world.now, world.refuses = now, not sync.written
        world.observation = observation(sync, replicas, max(0, replicas + sync.surge))
        self.selectors.found = world.observation.selected_by
        answers = answered(policy, world.observation)
        stored = StoredPolicy(NAMESPACE, policy.metadata.name, policy)
        made = self.reconciler.sync(stored, self.memory, lambda: answers).made
        assert made is not None
        return made


def answered(policy: ScalingPolicy, seen: Observation) -> dict[Question, Answer]:
    """The answers that read as these readings; none of them is a histogram."""
    return {
        question(metric): Answer(
            points=tuple(Point(one.value, one.timestamp, NAMESPACE, one.pod) for one in reading.samples),
            error=reading.error,
        )
        for metric, reading in zip(policy.spec.inputs, seen.readings, strict=True)
    }


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_the_controller_decides_as_a_naive_reading_of_the_rules_does(rng: Random) -> None:
    play(rng, syncs=8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_controller_over_20_000_syncs_with_histories(seed: int) -> None:
    rng = Random(seed)
    for _ in range(200):
        play(rng, syncs=25)


def play(rng: Random, syncs: int) -> None:
    """One HPA and one controller live through the same."""
    spec = scenarios.spec(rng)
    hpa, policy = Hpa(spec), as_policy(spec)
    live = Live()
    now, replicas = 1000.0, rng.randint(0, 20)
    for drawn in scenarios.syncs(rng, spec, syncs):
        sync = without_gone_pods(drawn)
        if sync.spec is not hpa.spec:
            hpa.edit(sync.spec)
            policy = as_policy(sync.spec)
        now += sync.gap
        replicas = replicas if sync.replicas is None else sync.replicas
        made = live.sync(policy, sync, replicas, now)
        status = max(0, replicas + sync.surge)
        wanted = hpa.reconcile(replicas, status, sync.pods, sync.answers, now, sync.ambiguous)
        assert made.decision.desired_replicas == wanted, (sync, hpa.conditions, made.decision.steps)
        assert conditions(made.decision) == hpa.conditions
        if sync.written:
            hpa.written(replicas, wanted, now)
            replicas = wanted
        assert remembered(made.after) == (hpa.recommendations, hpa.up_events, hpa.down_events)


def without_gone_pods(sync: scenarios.Sync) -> scenarios.Sync:
    """Live, a pod that is not in the list has no sample either."""
    here = {pod["name"] for pod in sync.pods}
    answers = [
        {name: milli for name, milli in answer.items() if name in here}
        if isinstance(answer, dict)
        else answer
        for answer in sync.answers
    ]
    return replace(sync, answers=answers)
