"""One policy, one sync: observe, evaluate, act. recorder.py records the outcome.

A conflict means that the target is not what the decision was made for: read its scale again, from the
API and not from the copy that misled us, and decide for that. Scale events are remembered only for writes
that took place; where the answer to a write never came, a later sync looks whether it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from autoscaler.api.status import PolicyStatus
from autoscaler.api.vocabulary import Action, Semantics
from autoscaler.controller.actuator import CONFLICT, Actuator, WriteOutcome
from autoscaler.controller.clock import Clock
from autoscaler.controller.deletion import RUNNING, deletion_costs
from autoscaler.controller.observation import QueryResults, QueryRights, observed
from autoscaler.decision import evaluate, record_scale
from autoscaler.decision.types import Decision, Observation, ScalingState
from autoscaler.errors import AutoscalerError, ClusterError
from autoscaler.history.restore import begin, resume, shift, target_name, wait_out
from autoscaler.ports.metrics import Question
from autoscaler.ports.policies import Selectors, StoredPolicy
from autoscaler.ports.targets import Scale, ScaleTargets, TargetKey, TargetPods

ATTEMPTS = 3
"""Decisions in one sync, when the target keeps changing under it."""

JUMP_SECONDS = 1.0
"""A wall clock that moves by more than this against the steady one has jumped."""

BLIND_PERIODS, BLIND_SECONDS = 1.5, 10.0
"""After more sync periods than this without a decision it is unknown what was needed meanwhile; but no
metric changes faster than it is scraped."""


@dataclass(frozen=True, slots=True)
class SyncDecision:
    """A decision and what it was made from; ``before`` and ``after`` are the engine's memory.

    ``found``: the pods, and what is known of their owners.
    """

    now: float
    scale: Scale
    observation: Observation
    decision: Decision
    before: ScalingState
    after: ScalingState
    found: TargetPods


@dataclass(frozen=True, slots=True)
class Sync:
    """Outcome of one sync.

    ``made`` is None where nothing could be observed; ``conflicts``: how often it was decided again.
    """

    stored: StoredPolicy
    now: float
    outcome: WriteOutcome
    made: SyncDecision | None = None
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class _UnconfirmedWrite:
    """A write whose answer never came."""

    decision: Decision
    at: float
    resource_version: str


@dataclass(slots=True)
class PolicyMemory:
    """State that one policy's syncs hand on; one sync at a time may use it.

    ``status``: the last one known, at first the one that was stored.
    """

    status: PolicyStatus | None = None
    state: ScalingState | None = None
    target: str = ""
    _clock_offset: float = 0.0
    _kept_at: float = 0.0
    _doubt: _UnconfirmedWrite | None = None

    def load(self, stored: StoredPolicy, scale: Scale, clock: Clock, now: float) -> ScalingState:
        """The engine's memory for a decision at ``now``."""
        target = target_name(stored.policy.spec.scale_target_ref)
        if self.state is None or self.target != target:
            self.state = begin(self.status, target, scale.replicas, now)
            self.target, self._clock_offset, self._doubt = target, clock.offset, None
            self._kept_at = clock.steady()
        jump = clock.offset - self._clock_offset
        if abs(jump) > JUMP_SECONDS:
            self.state = shift(self.state, jump)
        self._clock_offset = clock.offset
        blind = max(BLIND_PERIODS * stored.policy.spec.sync_period_seconds, BLIND_SECONDS)
        unseen = clock.steady() - self._kept_at
        if unseen > blind:
            self.state = _after_gap(stored, self.state, scale.replicas, now, unseen)
            self._kept_at = clock.steady()
        self.state = self._settle(stored, scale, self.state)
        return self.state

    def _settle(self, stored: StoredPolicy, scale: Scale, state: ScalingState) -> ScalingState:
        doubt = self._doubt
        if doubt is None or scale.resource_version == doubt.resource_version:
            return state  # unchanged, or not seen to have changed yet
        self._doubt = None
        if scale.replicas != doubt.decision.desired_replicas:
            return state
        return record_scale(stored.policy, state, doubt.decision, doubt.at)

    def save(self, made: SyncDecision, outcome: WriteOutcome, clock: Clock) -> None:
        """Keeps the state that the next sync starts from."""
        self.state = made.after
        self._kept_at = clock.steady()
        if outcome.in_doubt:
            self._doubt = _UnconfirmedWrite(made.decision, made.now, made.scale.resource_version)


def _after_gap(
    stored: StoredPolicy, state: ScalingState, current: int, now: float, unseen: float
) -> ScalingState:
    if stored.policy.spec.semantics is Semantics.HPA:
        return wait_out(state, now, unseen)
    return resume(state, current, now, unseen)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Syncs policies, each with a memory of its own; different ones may run side by side.

    ``selectors``: finds other autoscalers that select the pods under ``semantics: HPA``; None: none exist.
    """

    targets: ScaleTargets
    actor: Actuator
    clock: Clock
    rights: QueryRights
    selectors: Selectors | None = None

    @property
    def asks(self) -> tuple[Question, ...]:
        """The questions besides the policies' own."""
        return (RUNNING,) if self.actor.costs is not None else ()

    def sync(self, stored: StoredPolicy, memory: PolicyMemory, ask: Callable[[], QueryResults]) -> Sync:
        """One sync. What the cluster refuses or fails to do is an outcome.

        ``ask`` gives the answers for a decision, and is called when the target was read: reading it may
        take longer than answers stay fresh.
        """
        for conflicts in range(ATTEMPTS):
            try:
                made, answers = self._decide(stored, memory, ask, fresh=conflicts > 0)
            except AutoscalerError as error:
                unanswered = type(error) is ClusterError  # a refusal is this policy's own affair
                failed = WriteOutcome(Action.FAILED, "FailedGetScale", str(error), unanswered=unanswered)
                return Sync(stored, self.clock.wall(), failed, conflicts=conflicts)
            outcome = self._act(stored, made, answers)
            if outcome.reason != CONFLICT:
                break
        if outcome.action is Action.SCALED:
            made = replace(made, after=record_scale(stored.policy, made.after, made.decision, made.now))
        memory.save(made, outcome, self.clock)
        return Sync(stored, made.now, outcome, made, conflicts)

    def _decide(
        self, stored: StoredPolicy, memory: PolicyMemory, ask: Callable[[], QueryResults], *, fresh: bool
    ) -> tuple[SyncDecision, QueryResults]:
        """A decision about the target as it is now, and the answers behind it."""
        scale = self.targets.read(_key(stored), fresh=fresh)
        found = self._pods(stored, scale)
        answers = ask()
        now = self.clock.wall()
        before = memory.load(stored, scale, self.clock, now)
        observation = observed(stored, scale, found.pods, answers, self.rights, now)
        observation = replace(observation, selected_by=self._selected_by(stored, scale))
        decision, after = evaluate(stored.policy, observation, before, now)
        return SyncDecision(now, scale, observation, decision, before, after, found), answers

    def _pods(self, stored: StoredPolicy, scale: Scale) -> TargetPods:
        """The target's own pods; with ``semantics: HPA`` whatever the selector finds, as HPA does."""
        if stored.policy.spec.semantics is Semantics.HPA:
            return TargetPods(tuple(self.targets.pods(stored.namespace, scale.selector)))
        return self.targets.own_pods(_key(stored), scale.selector)

    def _selected_by(self, stored: StoredPolicy, scale: Scale) -> tuple[str, ...]:
        if self.selectors is None or stored.policy.spec.semantics is not Semantics.HPA:
            return ()
        return tuple(self.selectors.selecting(stored, scale.selector))

    def _act(self, stored: StoredPolicy, made: SyncDecision, answers: QueryResults) -> WriteOutcome:
        costs: Mapping[str, int] = {}
        if self.actor.marks(made.decision):
            costs = deletion_costs(stored.namespace, made.observation.pods, answers)
        return self.actor.act(stored, _key(stored), made.scale, made.decision, costs)


def _key(stored: StoredPolicy) -> TargetKey:
    return TargetKey(stored.namespace, stored.policy.spec.scale_target_ref)
