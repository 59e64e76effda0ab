"""Outcome of a decision: written, or with a reason held back or failed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from autoscaler.api.models import Mode
from autoscaler.api.vocabulary import Action
from autoscaler.decision.types import Decision
from autoscaler.errors import AutoscalerError, ClusterError, ConflictError
from autoscaler.ports.policies import Conflict, ScalerConflicts, StoredPolicy
from autoscaler.ports.targets import DeletionCosts, Fence, Scale, ScaleTargets, TargetKey

CONFLICT = "Conflict"
"""The reason of an outcome: the target has changed since it was read."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """How a sync ended; ``reason`` is one word in Kubernetes' style.

    ``in_doubt``: the write failed in a way that leaves open whether it took effect.
    ``claims``: what else writes the target's replicas; None where that is unknown. ``looks_on``: the
    policy writes nothing, whatever else does. ``unanswered``: the cluster did not say how the target is, and
    may not answer for other targets either.
    """

    action: Action
    reason: str
    message: str
    in_doubt: bool = False
    claims: Sequence[Conflict] | None = ()
    looks_on: bool = False
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Actuator:
    """Carries decisions out.

    ``costs``: marks the idlest pods before a scale-down. ``dry_run``: as if every policy had
    ``mode: DryRun``.
    """

    targets: ScaleTargets
    owners: ScalerConflicts
    fence: Fence
    costs: DeletionCosts | None = None
    dry_run: bool = False

    def act(
        self,
        stored: StoredPolicy,
        key: TargetKey,
        scale: Scale,
        decision: Decision,
        costs: Mapping[str, int] = MappingProxyType({}),
    ) -> WriteOutcome:
        """Writes the decision if it changes something and nothing forbids it.

        ``costs``: what each pod's deletion costs, for a scale-down.
        """
        mode = stored.policy.spec.mode
        dry_run = self.dry_run or mode is Mode.DRY_RUN
        outcome = self._outcome(stored, key, scale, decision, costs, dry_run=dry_run)
        return replace(outcome, looks_on=dry_run or mode is Mode.PAUSED)

    def _outcome(
        self,
        stored: StoredPolicy,
        key: TargetKey,
        scale: Scale,
        decision: Decision,
        costs: Mapping[str, int],
        *,
        dry_run: bool,
    ) -> WriteOutcome:
        claims = self._claims(stored)
        wanted = decision.desired_replicas
        if wanted == decision.current_replicas:
            return WriteOutcome(Action.HELD, str(decision.reason), decision.message, claims=claims)
        if dry_run:
            return WriteOutcome(Action.DRY_RUN, "DryRun", f"would set {wanted} replicas", claims=claims)
        refusal = self._refusal(claims)
        if refusal is None and costs:
            self._mark(key.namespace, costs)
            refusal = self._refusal(claims)  # marking many pods takes time, in which the lead may go
        return refusal or self._write(key, scale, decision, claims)

    def marks(self, decision: Decision) -> bool:
        """True if the pods' deletion costs would be written before this decision."""
        return self.costs is not None and decision.desired_replicas < decision.current_replicas

    def _mark(self, namespace: str, costs: Mapping[str, int]) -> None:
        assert self.costs is not None
        try:
            self.costs.write(namespace, costs)
        except ClusterError as error:  # the scale-down may take any pod, then
            _log.warning("deletion costs not written", extra={"namespace": namespace, "error": str(error)})

    def _claims(self, stored: StoredPolicy) -> Sequence[Conflict] | None:
        try:
            return tuple(self.owners.conflicts(stored))
        except ClusterError:
            return None

    def _refusal(self, claims: Sequence[Conflict] | None) -> WriteOutcome | None:
        if claims is None:
            message = "the other owners of this target are not known yet"
            return WriteOutcome(Action.REFUSED, "OwnersUnknown", message, claims=None)
        if claims:
            return WriteOutcome(Action.REFUSED, "AnotherOwner", describe_conflicts(claims), claims=claims)
        if not self.fence.may_write():
            return WriteOutcome(
                Action.REFUSED, "NotLeading", "another process leads, or may soon", claims=claims
            )
        return None

    def _write(
        self, key: TargetKey, scale: Scale, decision: Decision, claims: Sequence[Conflict] | None
    ) -> WriteOutcome:
        replicas = decision.desired_replicas
        try:
            self.targets.write(key, scale, replicas)
        except ConflictError as error:
            return WriteOutcome(Action.FAILED, CONFLICT, str(error), claims=claims)
        except AutoscalerError as error:
            in_doubt = isinstance(error, ClusterError)
            return WriteOutcome(Action.FAILED, "FailedUpdateScale", str(error), in_doubt, claims)
        message = f"New size: {replicas}; reason: {decision.message}"
        return WriteOutcome(Action.SCALED, "SucceededRescale", message, claims=claims)


def describe_conflicts(claims: Sequence[Conflict]) -> str:
    """The other owners that write the replicas, in one sentence."""
    return f"not written, because others scale this target: {others(claims)}"


def others(claims: Sequence[Conflict]) -> str:
    """The other owners, and how each is known."""
    return "; ".join(f"{claim.owner} ({claim.evidence})" for claim in claims)
