"""minReplicas and maxReplicas as they hold now, and the corrections that need no metric."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from autoscaler.api.models import Spec
from autoscaler.decision.types import Reason, Step


@dataclass(frozen=True, slots=True)
class ReplicaBounds:
    """The replicas that a decision may result in, both ends included."""

    min_replicas: int
    max_replicas: int


def effective_bounds(spec: Spec, active_schedules: Collection[str]) -> ReplicaBounds:
    """The policy's bounds, with those that open schedules put in their place.

    Of several open schedules the highest minReplicas and the highest maxReplicas count. Where one
    schedule's minReplicas is above another's maxReplicas, minReplicas wins.
    """
    if not active_schedules:
        return ReplicaBounds(spec.min_replicas, spec.max_replicas)
    is_open = [schedule for schedule in spec.schedules if schedule.name in active_schedules]
    lows = [schedule.min_replicas for schedule in is_open if schedule.min_replicas is not None]
    highs = [schedule.max_replicas for schedule in is_open if schedule.max_replicas is not None]
    low = max(lows, default=spec.min_replicas)
    high = max(highs, default=spec.max_replicas)
    return ReplicaBounds(low, max(low, high))


def correct_to_bounds(current: int, bounds: ReplicaBounds) -> Step | None:
    """The step back into the bounds, at once and whatever the metrics say; None when inside."""
    if current > bounds.max_replicas:
        message = f"current {current} is above maxReplicas {bounds.max_replicas}"
        return Step("bounds", bounds.max_replicas, Reason.ABOVE_MAX, message)
    if current < bounds.min_replicas:
        message = f"current {current} is below minReplicas {bounds.min_replicas}"
        return Step("bounds", bounds.min_replicas, Reason.BELOW_MIN, message)
    return None
