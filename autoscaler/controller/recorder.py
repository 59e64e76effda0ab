"""Records a sync's outcome: decision log, metrics, log line, Events, status; in this order.

A status is written when it has news that a person or a restart needs, and otherwise every few minutes
to show that the policy is still synced: a thousand policies that hold cost next to nothing. Events
report scalings, and what has just gone wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

from autoscaler.api.models import Mode
from autoscaler.api.status import ConditionType, PolicyStatus, read_status
from autoscaler.api.vocabulary import Action
from autoscaler.controller.decision_log import DecisionLog
from autoscaler.controller.outage import Outage
from autoscaler.controller.reconcile import PolicyMemory, Sync, SyncDecision
from autoscaler.controller.status_builder import refused_status, status_after
from autoscaler.decision.bounds import effective_bounds
from autoscaler.decision.pod_groups import group_pods
from autoscaler.decision.types import Observation
from autoscaler.errors import ClusterError
from autoscaler.history.decision_status import troubles_of
from autoscaler.ports.policies import AnyPolicy, Events, RefusedPolicy
from autoscaler.ports.targets import Fence
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from autoscaler.telemetry.policy_metrics import PolicySnapshot

REFRESH_SECONDS = 300.0
"""A status without news is written this often; a little more or less, so that not all come at once."""

BURST = 10
"""This many new statuses of one policy may follow each other at once; see ``REGAIN_SECONDS``."""

REGAIN_SECONDS = 10.0
"""How long it takes until one more status may be written early."""

_log = logging.getLogger(__name__)


class Statuses(Protocol):
    """Where statuses go: the store itself, or a queue before it."""

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        """As ``ports.policies.PolicyStore.write_status``."""


@dataclass(slots=True)
class _Saved:
    """The status of one policy as last written, and how many more may be written early."""

    status: PolicyStatus | None = None
    at: float = float("-inf")
    seen: float = 0.0
    allowance: float = BURST


@dataclass(slots=True)
class Recorder:
    """Records syncs; thread-safe for different policies."""

    statuses: Statuses
    events: Events
    fence: Fence
    metrics: ControllerMetrics
    decisions: DecisionLog | None = None
    dry_run: bool = False
    _saved: dict[tuple[str, str], _Saved] = field(default_factory=dict)
    _outage: Outage = field(default_factory=Outage)

    def record(self, sync: Sync, memory: PolicyMemory) -> None:
        """Records this sync's outcome, and updates ``memory.status``."""
        if self.decisions is not None:
            self.decisions.append(sync)
        self._measure(sync)
        before = memory.status
        memory.status = status_after(sync, before)
        news = _news(before, memory.status)
        self._log(sync, before, news)
        self._emit(sync, news)
        urgent = sync.outcome.action is Action.SCALED
        self._save(sync.stored, before, memory.status, sync.now, urgent=urgent)

    def refuse(self, refused: RefusedPolicy, now: float) -> None:
        """Records a policy without any valid version, once for each edit."""
        saved = self._saved.get((refused.namespace, refused.name))
        before = saved.status if saved else read_status(refused.status)
        status = refused_status(refused, before, now)
        if before is None or before.conditions != status.conditions:
            self.events.emit(refused, "Warning", "InvalidPolicy", refused.problem)
            _log.warning("policy refused", extra=_names(refused) | {"problem": refused.problem})
            self.metrics.errors.labels("InvalidPolicy").inc()
        self._save(refused, before, status, now, urgent=False)

    def forget(self, namespace: str, name: str) -> None:
        """Forgets a policy that is gone, or that another process syncs now."""
        self._saved.pop((namespace, name), None)
        if self.decisions is not None:
            self.decisions.forget(namespace, name)
        self.metrics.standings.forget((namespace, name))

    def _measure(self, sync: Sync) -> None:
        made, outcome = sync.made, sync.outcome
        if outcome.action in (Action.FAILED, Action.REFUSED):
            self.metrics.errors.labels(outcome.reason).inc()
        if sync.conflicts:
            self.metrics.errors.labels("Conflict").inc(sync.conflicts)
        if made is None:
            return
        self.metrics.decisions.labels(made.decision.reason, outcome.action).inc()
        for proposal in made.decision.proposals:
            if proposal.replicas is None and not proposal.abstains:
                self.metrics.errors.labels(proposal.reason).inc()
        name = (sync.stored.namespace, sync.stored.name)
        self.metrics.standings.decided(name, self._standing(sync, made))

    def _standing(self, sync: Sync, made: SyncDecision) -> PolicySnapshot:
        spec = sync.stored.policy.spec
        bounds = effective_bounds(spec, made.observation.active_schedules)
        return PolicySnapshot(
            current=made.decision.current_replicas,
            desired=made.decision.desired_replicas,
            ready=group_pods(made.observation.pods, hpa_parity=False).available,
            min_replicas=bounds.min_replicas,
            max_replicas=bounds.max_replicas,
            reason=made.decision.reason,
            dry_run=self.dry_run or spec.mode is Mode.DRY_RUN,
            gpus_per_replica=made.scale.gpus_per_replica,
            ages=_ages(made.observation, sync.now),
            started_after_s=_started_after(made, sync.now),
        )

    def _log(self, sync: Sync, before: PolicyStatus | None, news: Mapping[str, str]) -> None:
        """INFO for what is new, DEBUG for more of the same; problems are warnings when they begin.

        A cluster that does not answer is one problem, however many policies it meets.
        """
        outcome = sync.outcome
        fields: dict[str, object] = _names(sync.stored)
        fields |= {"action": str(outcome.action), "reason": outcome.reason}
        if sync.made is not None:
            decision = sync.made.decision
            fields |= {"current": decision.current_replicas, "desired": decision.desired_replicas}
        level = logging.WARNING if outcome.reason in news else _level(sync, before)
        if outcome.unanswered:
            level = logging.WARNING if self._outage.meets(sync.stored) else logging.DEBUG
        elif sync.made is not None and (met := self._outage.ends()):
            _log.info("the cluster answers again", extra={"policies": met})
        _log.log(level, outcome.message, extra=fields)
        for reason, message in news.items():
            if reason != outcome.reason:
                _log.warning(message, extra=_names(sync.stored) | {"reason": reason})

    def _emit(self, sync: Sync, news: Mapping[str, str]) -> None:
        if sync.outcome.action is Action.SCALED:
            self.events.emit(sync.stored, "Normal", "SuccessfulRescale", sync.outcome.message)
        for reason, message in news.items():
            self.events.emit(sync.stored, "Warning", reason, message)

    def _save(
        self,
        policy: AnyPolicy,
        before: PolicyStatus | None,
        status: PolicyStatus,
        now: float,
        *,
        urgent: bool,
    ) -> None:
        """Writes a status if it has news or is due. ``before``: at first, another process's status."""
        key = (policy.namespace, policy.name)
        saved = self._saved.setdefault(key, _Saved(before, _written_at(before), now))
        saved.allowance = min(saved.allowance + max(now - saved.seen, 0.0) / REGAIN_SECONDS, BURST)
        saved.seen = now
        news = saved.status is None or _gist(saved.status) != _gist(status)
        fresh = 0 <= now - saved.at < REFRESH_SECONDS * _share(key)
        if not (urgent or not fresh or (news and saved.allowance >= 1)) or not self.fence.may_write():
            return
        try:
            self.statuses.write_status(policy, status.as_json())
        except ClusterError as error:
            _log.warning("status not written", extra=_names(policy) | {"error": str(error)})
            return
        saved.status, saved.at, saved.allowance = status, now, saved.allowance - 1


def _written_at(status: PolicyStatus | None) -> float:
    return status.last_decision.time if status and status.last_decision else float("-inf")


def _share(key: tuple[str, str]) -> float:
    """A factor from 0.75 to 1.25, fixed for each policy and different between policies."""
    return 0.75 + crc32("/".join(key).encode()) / 2**33


def _level(sync: Sync, before: PolicyStatus | None) -> int:
    """The level of a log line; a problem that is known already is less severe."""
    action, reason = sync.outcome.action, sync.outcome.reason
    if action in (Action.FAILED, Action.REFUSED):
        conditions = before.conditions if before else ()
        known = {one.reason for one in conditions if one.type == ConditionType.ABLE_TO_SCALE}
        return logging.DEBUG if reason in known else logging.WARNING
    last = before.last_decision if before else None
    decision = sync.made.decision if sync.made else None
    if action is not Action.SCALED and last and decision:
        is_old = (last.reason, last.action) == (decision.reason, action)
        return logging.DEBUG if is_old else logging.INFO
    return logging.INFO


def _gist(status: PolicyStatus) -> tuple[object, ...]:
    """The part of a status that is written at once when it changes."""
    history = status.history
    return (
        status.observed_generation,
        status.mode,
        status.current_replicas,
        status.desired_replicas,
        status.ready_replicas,
        tuple((condition.type, condition.status, condition.reason) for condition in status.conditions),
        status.last_decision and (status.last_decision.reason, status.last_decision.action),
        history and (history.failing_since is None, history.pending_since is None),
        history and (history.scaled_to_zero, history.up_events, history.down_events),
    )


def _news(before: PolicyStatus | None, after: PolicyStatus) -> Mapping[str, str]:
    """Conditions that have just gone wrong: reason -> message."""
    known = {(one.type, one.status, one.reason) for one in before.conditions} if before else set()
    return {
        one.reason: one.message
        for one in troubles_of(after)
        if (one.type, one.status, one.reason) not in known
    }


def _names(policy: AnyPolicy) -> dict[str, object]:
    return {"namespace": policy.namespace, "policy": policy.name}


def _started_after(made: SyncDecision, now: float) -> float | None:
    if made.before.pending_since is None or made.after.pending_since is not None:
        return None
    return now - made.before.pending_since


def _ages(observation: Observation, now: float) -> dict[str, float]:
    """The age of each metric's oldest sample, in seconds."""
    return {
        reading.metric: now - min(sample.timestamp for sample in reading.samples)
        for reading in observation.readings
        if reading.samples
    }
