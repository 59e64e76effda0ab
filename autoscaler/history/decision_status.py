"""The decisions in a status: the last one, and those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoscaler.api.models import MAX_INT32, Role, Spec
from autoscaler.api.quantity import from_milli
from autoscaler.api.status import (
    MAX_PAST_DECISIONS,
    ConditionType,
    DecisionStep,
    LastDecision,
    MetricStatus,
    PastDecision,
    PolicyStatus,
    StatusCondition,
)
from autoscaler.api.vocabulary import Action
from autoscaler.decision.types import Decision, Proposal, Reason

_GOOD: Mapping[str, str] = {
    ConditionType.ABLE_TO_SCALE: "True",
    ConditionType.SCALING_ACTIVE: "True",
    ConditionType.ACCEPTED: "True",
    ConditionType.CONTESTED: "False",
    ConditionType.PODS_KNOWN: "True",
}
"""The status of each condition while there is nothing to warn of."""


LOOKING_ON = "LookingOn"
"""The reason of ``Contested`` being False although another scaler writes to the target."""


FOREIGN_PODS, SELECTOR_ONLY = "ForeignPods", "SelectorOnly"
"""Reasons of ``PodsKnown`` being True although the selector finds pods of other workloads, or may."""


_REMARKS = {LOOKING_ON, FOREIGN_PODS, SELECTOR_ONLY}


def troubles_of(status: PolicyStatus) -> Sequence[StatusCondition]:
    """The conditions that are not as they should be; a pause is intended."""
    return [
        one
        for one in status.conditions
        if _GOOD.get(one.type, one.status) != one.status and one.reason != Reason.PAUSED
    ]


def remarks_of(status: PolicyStatus) -> Sequence[StatusCondition]:
    """The conditions to show: troubles, a policy that only observes another scaler, and foreign pods."""
    troubles = troubles_of(status)
    return [one for one in status.conditions if one in troubles or one.reason in _REMARKS]


def last_decision(spec: Spec, now: float, decision: Decision, action: Action, note: str) -> LastDecision:
    """A decision in the form of a status."""
    roles = {metric.name: metric.role for metric in spec.inputs}
    return LastDecision(
        time=now,
        current_replicas=decision.current_replicas,
        desired_replicas=decision.desired_replicas,
        action=action,
        note=note,
        reason=decision.reason,
        message=decision.message,
        steps=tuple(
            DecisionStep(
                stage=step.stage, replicas=_count(step.replicas), reason=step.reason, message=step.message
            )
            for step in decision.steps
        ),
        metrics=tuple(_metric(proposal, roles) for proposal in decision.proposals),
    )


def _count(replicas: int) -> int:
    """The replicas of a metric within the status's limits; HPA's arithmetic can be below 0."""
    return min(max(replicas, 0), MAX_INT32)


def _metric(proposal: Proposal, roles: Mapping[str, Role]) -> MetricStatus:
    return MetricStatus.model_validate(
        {
            "name": proposal.metric,
            "role": roles[proposal.metric],
            "value": None if proposal.usage_milli is None else from_milli(proposal.usage_milli),
            "target": from_milli(proposal.target_milli),
            "replicas": None if proposal.replicas is None else _count(proposal.replicas),
            "reason": proposal.reason,
            "message": proposal.message,
            "complete": proposal.complete,
            "used": proposal.used,
            "missing": len(proposal.missing),
            "rejected": len(proposal.rejected),
            "missing_pods": proposal.missing,
            "rejected_samples": proposal.rejected,
        }
    )


def append_decision(
    past: tuple[PastDecision, ...],
    now: float,
    decision: Decision,
    action: Action,
    at_most: int = MAX_PAST_DECISIONS,
) -> tuple[PastDecision, ...]:
    """The history with this decision: one more of the same, or a new line."""
    new = PastDecision(
        since=now,
        until=now,
        count=1,
        current_replicas=decision.current_replicas,
        desired_replicas=decision.desired_replicas,
        action=action,
        reason=decision.reason,
        message=decision.message,
    )
    if past and _same(past[-1], new):
        merged = new.model_copy(update={"since": past[-1].since, "count": past[-1].count + 1})
        return (*past[:-1], merged)
    return (*past, new)[-at_most:]


def _same(one: PastDecision, other: PastDecision) -> bool:
    return all(
        getattr(one, field) == getattr(other, field)
        for field in ("current_replicas", "desired_replicas", "action", "reason")
    )
