"""Stabilization over time: HPA's two paths, with and without ``behavior``.

Both compare the new recommendation with the stored ones and then store the new one as it was
before stabilization and before any limit. A slot that no window needs any more is overwritten,
so that the memory stays as short as HPA's (and of the same length).
"""

from __future__ import annotations

from autoscaler.api.models import Spec
from autoscaler.decision.types import Reason, Recommendation, Step

CLASSIC_WINDOW_SECONDS = 300.0
"""``--horizontal-pod-autoscaler-downscale-stabilization``."""

Recommendations = tuple[Recommendation, ...]


def stabilize(
    spec: Spec, current: int, desired: int, recommendations: Recommendations, now: float
) -> tuple[Step, Recommendations]:
    """stabilizeRecommendationWithBehaviors: the smallest change that both windows agree on.

    A stored recommendation counts while it is strictly younger than its direction's window.
    """
    up_cutoff = now - spec.scale_up.stabilization_window_seconds
    down_cutoff = now - spec.scale_down.stabilization_window_seconds
    low = high = desired
    free_slot = None
    for index, stored in enumerate(recommendations):
        timestamp = stored.timestamp
        if timestamp > up_cutoff and stored.replicas < low:
            low = stored.replicas
        if timestamp > down_cutoff and stored.replicas > high:
            high = stored.replicas
        if timestamp < up_cutoff and timestamp < down_cutoff:
            free_slot = index
    replicas = min(max(current, low), high)
    held = Reason.SCALE_UP_STABILIZED if desired >= current else Reason.SCALE_DOWN_STABILIZED
    return _step(replicas, desired, held), _remember(recommendations, free_slot, desired, now)


def stabilize_classic(
    desired: int, recommendations: Recommendations, now: float
) -> tuple[Step, Recommendations]:
    """stabilizeRecommendation, for an absent ``behavior``: the highest of the last 300 s.

    A recommendation that is exactly 300 s old still counts here.
    """
    cutoff = now - CLASSIC_WINDOW_SECONDS
    high = desired
    free_slot = None
    for index, stored in enumerate(recommendations):
        if stored.timestamp < cutoff:
            free_slot = index
        elif stored.replicas > high:
            high = stored.replicas
    step = _step(high, desired, Reason.SCALE_DOWN_STABILIZED)
    return step, _remember(recommendations, free_slot, desired, now)


def _step(replicas: int, desired: int, held: Reason) -> Step:
    if replicas == desired:
        return Step(
            "stabilize",
            replicas,
            Reason.READY_FOR_NEW_SCALE,
            f"no recent recommendation speaks against {desired}",
        )
    message = f"recent recommendations allow {replicas}, not yet {desired}"
    return Step("stabilize", replicas, held, message)


def _remember(
    recommendations: Recommendations, slot: int | None, replicas: int, now: float
) -> Recommendations:
    new = Recommendation(replicas, now)
    if slot is None:
        return (*recommendations, new)
    return (*recommendations[:slot], new, *recommendations[slot + 1 :])
