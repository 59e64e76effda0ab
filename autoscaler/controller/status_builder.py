"""A policy's status after a sync: conditions with the times of their changes, and the story so far."""

from __future__ import annotations

from collections.abc import Iterator

from autoscaler.api.models import Mode, Spec
from autoscaler.api.status import (
    ConditionType,
    PolicyStatus,
    StatusCondition,
)
from autoscaler.api.vocabulary import Action, Semantics
from autoscaler.controller.actuator import WriteOutcome, describe_conflicts, others
from autoscaler.controller.reconcile import Sync, SyncDecision
from autoscaler.decision.pod_groups import group_pods
from autoscaler.decision.zero import follows_condition
from autoscaler.history.decision_status import (
    FOREIGN_PODS,
    LOOKING_ON,
    SELECTOR_ONLY,
    append_decision,
    last_decision,
)
from autoscaler.history.restore import save
from autoscaler.ports.policies import AnyPolicy, RefusedPolicy
from autoscaler.ports.targets import TargetPods

Verdict = tuple[ConditionType, str, str, str]
"""A condition's type, status, reason and message."""


def status_after(sync: Sync, previous: PolicyStatus | None) -> PolicyStatus:
    """The status to be kept; unknown parts stay as they were."""
    old = previous or PolicyStatus(mode=sync.stored.policy.spec.mode)
    changed: dict[str, object] = {
        "observed_generation": sync.stored.generation,
        "mode": sync.stored.policy.spec.mode,
        "conditions": _merge(old, list(_verdicts(sync)), sync),
    }
    if sync.made is None:
        changed["current_replicas"] = None
    else:
        changed |= _decided(old, sync, sync.made)
    return old.model_copy(update=changed)


def refused_status(refused: RefusedPolicy, previous: PolicyStatus | None, now: float) -> PolicyStatus:
    """The status of a policy without any valid version."""
    old = previous or PolicyStatus(mode=Mode.PAUSED)
    verdicts = [_accepted(refused)]
    conditions = _conditions(old, verdicts, refused.generation, now)
    return old.model_copy(update={"observed_generation": refused.generation, "conditions": conditions})


def _decided(old: PolicyStatus, sync: Sync, made: SyncDecision) -> dict[str, object]:
    spec, decision = sync.stored.policy.spec, made.decision
    scaled = sync.outcome.action is Action.SCALED
    return {
        "current_replicas": decision.current_replicas,
        "desired_replicas": decision.desired_replicas,
        "ready_replicas": group_pods(made.observation.pods, hpa_parity=False).available,
        "last_scale_time": sync.now if scaled else old.last_scale_time,
        "last_decision": last_decision(spec, sync.now, decision, sync.outcome.action, _note(sync.outcome)),
        "past_decisions": append_decision(old.past_decisions, sync.now, decision, sync.outcome.action),
        "history": save(made.after, spec, sync.now),
    }


def _note(outcome: WriteOutcome) -> str:
    return "" if outcome.action is Action.HELD else outcome.message


# Conditions


def _verdicts(sync: Sync) -> Iterator[Verdict]:
    if sync.made is not None:
        yield _pods_known(sync.stored.policy.spec, sync.made.found)
        for condition in sync.made.decision.conditions:
            kind = ConditionType(condition.type)
            yield kind, str(condition.status), condition.reason, condition.message
        if follows_condition(sync.stored.policy.spec):
            yield _zero(sync.made.after.scaled_to_zero)
        yield _contested(sync.outcome)
    yield from _ability(sync.outcome)
    yield _accepted(sync.stored)


def _ability(outcome: WriteOutcome) -> Iterator[Verdict]:
    """Conditions from the write; they override those of the engine."""
    if outcome.action is Action.SCALED:
        yield ConditionType.ABLE_TO_SCALE, "True", outcome.reason, outcome.message
    elif outcome.action in (Action.FAILED, Action.REFUSED):
        yield ConditionType.ABLE_TO_SCALE, "False", outcome.reason, outcome.message


def _pods_known(spec: Spec, found: TargetPods) -> Verdict:
    """Which pods were counted; the engine overrides it where they are fewer than the target's status says."""
    kind = ConditionType.PODS_KNOWN
    if spec.semantics is Semantics.HPA:
        return kind, "True", "SelectedPods", "semantics: HPA counts every pod that the selector finds"
    if found.selector_only:
        return kind, "True", SELECTOR_ONLY, f"every pod that the selector finds counts: {found.selector_only}"
    if found.foreign:
        message = f"not counted, though the selector finds them: {', '.join(found.foreign)}"
        return kind, "True", FOREIGN_PODS, message
    return kind, "True", "OwnPods", "the pods that are counted are the target's own"


def _zero(own: bool) -> Verdict:
    """The condition in HPA's words, which an HPA sets from its first change of the replicas on."""
    if own:
        return ConditionType.SCALED_TO_ZERO, "True", "ScaledToZero", "this policy scaled the target to zero"
    message = "this policy did not scale the target to zero"
    return ConditionType.SCALED_TO_ZERO, "False", "NotScaledToZero", message


def _contested(outcome: WriteOutcome) -> Verdict:
    if outcome.looks_on and outcome.claims:
        message = f"nothing is written, because others scale this target: {others(outcome.claims)}"
        return ConditionType.CONTESTED, "False", LOOKING_ON, message
    if outcome.claims is None:
        message = "the other owners of this target are not known yet"
        return ConditionType.CONTESTED, "Unknown", "OwnersUnknown", message
    if outcome.claims:
        return ConditionType.CONTESTED, "True", "AnotherOwner", describe_conflicts(outcome.claims)
    return ConditionType.CONTESTED, "False", "SoleOwner", "this policy alone scales the target"


def _accepted(policy: AnyPolicy) -> Verdict:
    if policy.problem is None:
        return ConditionType.ACCEPTED, "True", "Valid", "the policy is in force"
    return ConditionType.ACCEPTED, "False", "InvalidPolicy", policy.problem


def _merge(old: PolicyStatus, verdicts: list[Verdict], sync: Sync) -> tuple[StatusCondition, ...]:
    if not follows_condition(sync.stored.policy.spec):
        kept = tuple(one for one in old.conditions if one.type != ConditionType.SCALED_TO_ZERO)
        old = old.model_copy(update={"conditions": kept})
    return _conditions(old, verdicts, sync.stored.generation, sync.now)


def _conditions(
    old: PolicyStatus, verdicts: list[Verdict], generation: int, now: float
) -> tuple[StatusCondition, ...]:
    """The old ones with the verdicts over them, in the order of ConditionType."""
    known = {condition.type: condition for condition in old.conditions}
    last = {verdict[0]: verdict for verdict in verdicts}  # of two about one thing the later outweighs
    for kind, status, reason, message in last.values():
        before = known.get(kind)
        since = before.last_transition_time if before and before.status == status else now
        known[kind] = StatusCondition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            last_transition_time=since,
            observed_generation=generation,
        )
    return tuple(known[kind] for kind in ConditionType if kind in known)
