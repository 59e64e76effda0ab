"""0 replicas: whether they are this policy's own doing, and whether metrics are read there.

With ``semantics: HPA`` by the rules of one release (``spec.zeroRule``; reconcileAutoscaler in
pkg/controller/podautoscaler/horizontal.go). Up to ``v1.36`` minReplicas alone decides. Since
``v1.37`` the HPA marks with a condition, ScaledToZero, that it scaled to zero itself, until it
changes the replicas again; any other 0 is a pause. Schedules, which no HPA has, may raise
minReplicas over a 0 that they allowed, so with them an own 0 always comes back.
"""

from __future__ import annotations

from autoscaler.api.models import Semantics, Spec, TargetType


def is_own_zero(spec: Spec, desired: int) -> bool:
    """True if a change to ``desired`` replicas makes a 0 that counts as the policy's own."""
    if desired != 0:
        return False
    return not follows_condition(spec) or bool(spec.schedules) or _has_metric_at_zero(spec)


def keeps_mark(spec: Spec, current: int) -> bool:
    """True if a 0 that was the policy's own still counts as its own at ``current`` replicas.

    HPA does not check for other writers that have scaled up meanwhile.
    """
    return current == 0 or follows_condition(spec)


def is_disabled(spec: Spec, current: int, own: bool) -> bool:
    """True if 0 replicas switch scaling off; ``own``: the policy itself scaled to 0."""
    if current != 0:
        return False
    comes_back = spec.min_replicas != 0 or bool(spec.schedules)
    if follows_condition(spec):
        return not own or not (comes_back or _has_metric_at_zero(spec))
    counts = own and (spec.semantics is Semantics.LLM or bool(spec.schedules))
    return spec.min_replicas != 0 and not counts


def wakes_by_metrics(spec: Spec, current: int, own: bool) -> bool:
    """True if metrics are read before an own 0 is corrected up to a minReplicas that was raised."""
    return current == 0 and own and follows_condition(spec) and not spec.schedules


def follows_condition(spec: Spec) -> bool:
    """True if the condition ScaledToZero decides."""
    return spec.semantics is Semantics.HPA and spec.zero_rule == "v1.37"


def _has_metric_at_zero(spec: Spec) -> bool:
    """True if the policy has a metric of HPA's types Object or External."""
    return any(metric.target.type is not TargetType.PODS_AVERAGE for metric in spec.metrics)
