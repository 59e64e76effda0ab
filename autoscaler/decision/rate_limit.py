"""How fast replicas may change: HPA's policies over past scale events, and its bounds.

Source: convertDesiredReplicasWithBehaviorRate and convertDesiredReplicasWithRules in
pkg/controller/podautoscaler/horizontal.go. Percentages are float64 as there: 10 % on top of 50
is 56, and 80 % off 5 leaves 0. With ``semantics: HPA`` sums wrap around in int32 as there, so that
2147483647 pods more than 10 are below 10, and forbid a scale-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from autoscaler.api.models import EffectiveRules, ScalingPolicyRule, SelectPolicy, Semantics, Spec
from autoscaler.decision.bounds import ReplicaBounds
from autoscaler.decision.replicas import MAX_INT32, int32, percent_less, percent_more, saturated32
from autoscaler.decision.types import Reason, ScaleEvent, ScalingState, Step

Events = tuple[ScaleEvent, ...]
_Fit = Callable[[int], int]
"""Brings a sum of replicas into int32."""

_LIMITS = {
    Reason.SCALE_UP_LIMIT: "scaleUp allows {} for now",
    Reason.SCALE_DOWN_LIMIT: "scaleDown allows {} for now",
    Reason.TOO_MANY_REPLICAS: "maxReplicas is {}",
    Reason.TOO_FEW_REPLICAS: "minReplicas is {}",
}


def is_classic(spec: Spec) -> bool:
    """True where HPA's rules of an absent ``behavior`` hold, here and in stabilization."""
    return spec.behavior is None and spec.semantics is Semantics.HPA


def limit_rate(
    spec: Spec, bounds: ReplicaBounds, state: ScalingState, current: int, desired: int, now: float
) -> Step:
    """Applies the policies of ``behavior`` (defaults filled in) and the bounds."""
    fit = int32 if spec.semantics is Semantics.HPA else saturated32
    if desired > current:
        limit = max(_up_limit(spec.scale_up, current, state, now, fit), current)
        return _at_most(desired, limit, bounds)
    if desired < current:
        limit = min(_down_limit(spec.scale_down, current, state, now, fit), current)
        return _at_least(desired, limit, bounds)
    return _within(desired)


def limit_rate_classic(bounds: ReplicaBounds, current: int, desired: int) -> Step:
    """For an absent ``behavior``: at most the double, or 4, in one sync."""
    if desired < bounds.min_replicas:
        return _limit(bounds.min_replicas, Reason.TOO_FEW_REPLICAS)
    return _at_most(desired, min(max(2 * current, 4), MAX_INT32), bounds)


def store_event(events: Events, rules: EffectiveRules, change: int, now: float, hpa_parity: bool) -> Events:
    """storeScaleEvent: remembers a change in the last slot that is outdated, or in a new one.

    A change older than every policy's period is outdated. ``hpa_parity``: it stays outdated when a
    period is lengthened, as in HPA, which then forgets a change that the longer period would count.
    """
    cutoff = now - max(rule.period_seconds for rule in rules.policies)
    new = ScaleEvent(change, now)
    kept = [
        replace(event, outdated=event.timestamp < cutoff or (hpa_parity and event.outdated))
        for event in events
    ]
    slot = max((index for index, event in enumerate(kept) if event.outdated), default=len(kept))
    return (*kept[:slot], new, *kept[slot + 1 :])


def _at_most(desired: int, limit: int, bounds: ReplicaBounds) -> Step:
    reason = Reason.SCALE_UP_LIMIT if bounds.max_replicas > limit else Reason.TOO_MANY_REPLICAS
    most = min(limit, bounds.max_replicas)
    return _limit(most, reason) if desired > most else _within(desired)


def _at_least(desired: int, limit: int, bounds: ReplicaBounds) -> Step:
    reason = Reason.SCALE_DOWN_LIMIT if bounds.min_replicas < limit else Reason.TOO_FEW_REPLICAS
    least = max(limit, bounds.min_replicas)
    return _limit(least, reason) if desired < least else _within(desired)


def _limit(replicas: int, reason: Reason) -> Step:
    return Step("rateLimit", replicas, reason, _LIMITS[reason].format(replicas))


def _within(replicas: int) -> Step:
    return Step(
        "rateLimit", replicas, Reason.DESIRED_WITHIN_RANGE, "the desired count is within the acceptable range"
    )


def _up_limit(rules: EffectiveRules, current: int, state: ScalingState, now: float, fit: _Fit) -> int:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current
    choose: Callable[[Iterable[int]], int] = min if rules.select_policy is SelectPolicy.MIN else max
    return choose(_more(rule, _period_start(current, rule, state, now, fit), fit) for rule in rules.policies)


def _down_limit(rules: EffectiveRules, current: int, state: ScalingState, now: float, fit: _Fit) -> int:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current
    # The most change wins with Max, which on the way down is the lowest proposal.
    choose: Callable[[Iterable[int]], int] = max if rules.select_policy is SelectPolicy.MIN else min
    return choose(_less(rule, _period_start(current, rule, state, now, fit), fit) for rule in rules.policies)


def _more(rule: ScalingPolicyRule, start: int, fit: _Fit) -> int:
    return fit(start + rule.value) if rule.type == "Pods" else percent_more(start, rule.value)


def _less(rule: ScalingPolicyRule, start: int, fit: _Fit) -> int:
    return fit(start - rule.value) if rule.type == "Pods" else percent_less(start, rule.value)


def _period_start(current: int, rule: ScalingPolicyRule, state: ScalingState, now: float, fit: _Fit) -> int:
    """The replicas when the rule's period began: what happened since, in both directions, undone."""
    cutoff = now - rule.period_seconds
    return fit(current - _changes(state.up_events, cutoff) + _changes(state.down_events, cutoff))


def _changes(events: Events, cutoff: float) -> int:
    return sum(event.change for event in events if event.timestamp > cutoff)
