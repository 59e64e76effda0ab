"""Reasons not to scale down yet, where HPA's rules are wrong for LLMs.

Each guard looks at a scale-down that the draft asks for and returns a step that holds it, or None
to let it pass. No guard ever raises the replicas above the current ones. The first guard that
holds counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autoscaler.api.models import MissingData, Role
from autoscaler.decision.context import DecisionContext, Draft
from autoscaler.decision.metric_samples import is_rejection_guard
from autoscaler.decision.types import Observation, Reason, Step

Guard = Callable[[DecisionContext, Draft], Step | None]

COMPLETE_DATA = "completeData"
"""The stage of a hold because of missing data, not because of load."""

LAG_SECONDS = 5.0
"""How far the watches of a target and of its pods may be apart before they contradict each other."""


def first_hold(guards: Iterable[Guard], context: DecisionContext, draft: Draft) -> Step | None:
    """The step of the first guard that holds the draft's scale-down; None where none does."""
    if draft.replicas >= context.current:
        return None
    return next((held for guard in guards if (held := guard(context, draft)) is not None), None)


def hold_incomplete_data(context: DecisionContext, draft: Draft) -> Step | None:
    """Less load and less data look the same, so a gap in the data forbids a scale-down.

    Holds for a guard metric that failed (``combine`` does so for the drivers), and for a gap in
    any metric whose effective ``missingData`` is ``Hold``.
    """
    for metric, proposal in draft.evaluated:
        if metric.role is Role.GUARD and proposal.replicas is None and not proposal.abstains:
            return Step(COMPLETE_DATA, context.current, proposal.reason, proposal.message)
        if not proposal.complete and context.spec.missing_data(metric) is MissingData.HOLD:
            gap = (
                f"no usable sample of {', '.join(proposal.missing)}"
                if proposal.missing
                else "a series is unusable"
            )
            message = f"{metric.name}: {gap}"
            return Step(COMPLETE_DATA, context.current, Reason.INCOMPLETE_DATA, message)
    return None


def hold_unseen_pods(context: DecisionContext, _draft: Draft) -> Step | None:
    """Pods that are missing from the observation may carry load, and how much is unknown.

    A difference that may be a watch's lag holds too, because it may be the start of a lasting one.
    """
    if context.memory.unseen_since is None:
        return None
    message = lasting_gap(context) or _unseen_pods(context.observation)
    return Step(COMPLETE_DATA, context.current, Reason.FEWER_PODS, message)


def lasting_gap(context: DecisionContext) -> str | None:
    """How many replicas the pods do not account for, once that lasts; None where it does not.

    The target and its pods are watched separately and a little late, so a difference is reported only after
    ``LAG_SECONDS``. Pods that cannot start exist and are listed, and replicas for which no pod could be
    created (a quota) are not in the target's status: neither makes a gap.
    """
    since, now = context.memory.unseen_since, context.now
    if since is None or now - since < LAG_SECONDS:
        return None
    return f"{_unseen_pods(context.observation)}, for {now - since:.0f} s"


def _unseen_pods(seen: Observation) -> str:
    return (
        f"{seen.unseen_replicas} of the {seen.status_replicas} replicas in the target's status "
        "are not among its pods"
    )


def hold_pending_replicas(context: DecisionContext, _draft: Draft) -> Step | None:
    """Replicas that were ordered and are not ready yet must not be cancelled for lack of readiness.

    The credit ends ``guards.pendingReplicas.timeoutSeconds`` after they became pending.
    """
    spec, since, now = context.spec, context.memory.pending_since, context.now
    if not spec.credits_pending or since is None:
        return None
    if now - since >= spec.guards.pending_replicas.timeout_seconds:
        return None
    message = f"{context.pods.available} of {context.current} replicas are ready, for {now - since:g} s"
    return Step("pendingReplicas", context.current, Reason.PENDING_REPLICAS, message)


def hold_rejected_requests(context: DecisionContext, draft: Draft) -> Step | None:
    """A request that a full queue refused is load that no queue shows."""
    for metric, proposal in draft.evaluated:
        if is_rejection_guard(metric) and proposal.replicas:
            message = f"{(proposal.usage_milli or 0) / 1000:g} requests/s are refused"
            return Step("rejectedRequests", context.current, Reason.REJECTED_REQUESTS, message)
    return None


def hold_remaining_capacity(context: DecisionContext, draft: Draft) -> Step | None:
    """The replicas that remain must be able to carry the load that every guard metric sees now."""
    floor, name = draft.replicas, ""
    for metric, proposal in draft.evaluated:
        if metric.role is Role.GUARD and proposal.replicas is not None and proposal.replicas > floor:
            floor, name = proposal.replicas, metric.name
    if floor == draft.replicas:
        return None
    message = f"{name}: the current load needs {floor} replicas"
    return Step("remainingCapacity", min(context.current, floor), Reason.REMAINING_CAPACITY, message)


GUARDS: tuple[Guard, ...] = (
    hold_incomplete_data,
    hold_unseen_pods,
    hold_pending_replicas,
    hold_rejected_requests,
    hold_remaining_capacity,
)
FALLBACK_GUARDS: tuple[Guard, ...] = (hold_rejected_requests,)
"""The guards of a fallback: it runs without metrics, so only refused requests hold it."""
