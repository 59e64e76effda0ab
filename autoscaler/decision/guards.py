"""What HPA gets wrong for LLMs: reasons not to scale down yet.

Each guard looks at a scale-down that the metrics ask for and returns a step that holds it, or
None to let it pass. None of them ever raises the replicas above the current ones.
"""

from __future__ import annotations

from collections.abc import Iterable

from autoscaler.api.models import Metric, MissingData, Role, Spec
from autoscaler.decision.recommend import is_rejection_guard
from autoscaler.decision.types import Proposal, Reason, Step

LAG_SECONDS = 5.0
"""How far the watches of a target and of its pods may be apart before they contradict each other."""


def hold_incomplete_data(spec: Spec, judged: Iterable[tuple[Metric, Proposal]], current: int) -> Step | None:
    """Less load and less data look the same, so a gap in the data forbids to scale down.

    Holds for a guard metric that failed (``combine`` does so for the drivers), and for a gap in
    any metric whose effective ``missingData`` is ``Hold``.
    """
    for metric, proposal in judged:
        if metric.role is Role.GUARD and proposal.replicas is None and not proposal.abstains:
            return Step("completeData", current, proposal.reason, proposal.message)
        if not proposal.complete and spec.missing_data(metric) is MissingData.HOLD:
            gap = (
                f"no usable sample of {', '.join(proposal.missing)}"
                if proposal.missing
                else "a series is unusable"
            )
            return Step("completeData", current, Reason.INCOMPLETE_DATA, f"{metric.name}: {gap}")
    return None


def lasting_gap(unseen: int, status_replicas: int, since: float | None, now: float) -> str | None:
    """What to say of replicas that the pods do not account for, once that lasts; None where it does not.

    The target and its pods are watched apart and a little late, so for ``LAG_SECONDS`` a difference is no
    trouble to report. Pods that cannot start are there and are seen, and replicas for which no pod could be
    made (a quota) are not in the target's status: neither makes a gap.
    """
    if since is None or now - since < LAG_SECONDS:
        return None
    return f"{unseen_pods(unseen, status_replicas)}, for {now - since:.0f} s"


def unseen_pods(unseen: int, status_replicas: int) -> str:
    """How many of a target's replicas the pods do not account for, in a sentence."""
    return f"{unseen} of the {status_replicas} replicas in the target's status are not among its pods"


def hold_pending_replicas(
    spec: Spec, current: int, available: int, pending_since: float | None, now: float
) -> Step | None:
    """Replicas that were ordered and are not ready yet must not be cancelled by what they lack.

    The credit ends ``guards.pendingReplicas.timeoutSeconds`` after ``pending_since``.
    """
    if not spec.credits_pending or pending_since is None:
        return None
    if now - pending_since >= spec.guards.pending_replicas.timeout_seconds:
        return None
    message = f"{available} of {current} replicas are ready, for {now - pending_since:g} s"
    return Step("pendingReplicas", current, Reason.PENDING_REPLICAS, message)


def hold_rejected_requests(judged: Iterable[tuple[Metric, Proposal]], current: int) -> Step | None:
    """A request that a full queue refused is load that no queue shows."""
    for metric, proposal in judged:
        if is_rejection_guard(metric) and proposal.replicas:
            message = f"{(proposal.usage_milli or 0) / 1000:g} requests/s are refused"
            return Step("rejectedRequests", current, Reason.REJECTED_REQUESTS, message)
    return None


def hold_remaining_capacity(
    judged: Iterable[tuple[Metric, Proposal]], current: int, desired: int
) -> Step | None:
    """The replicas that remain must be able to carry the load that every guard metric sees now."""
    floor, name = desired, ""
    for metric, proposal in judged:
        if metric.role is Role.GUARD and proposal.replicas is not None and proposal.replicas > floor:
            floor, name = proposal.replicas, metric.name
    if floor == desired:
        return None
    message = f"{name}: the current load needs {floor} replicas"
    return Step("remainingCapacity", min(current, floor), Reason.REMAINING_CAPACITY, message)
