"""The engine's memory across restarts: saved in a policy's status, restored, moved in time.

A controller that starts or takes over resumes from the saved history as if the target's present
replicas had just been recommended: events since the last save are unknown, and the unknown never
scales down. For the same reason unobserved time never counts as failed metrics or pending pods.
With ``semantics: HPA`` a gap between two syncs leaves no trace, as in HPA: a restart alone does.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from autoscaler.api.models import ScaleTargetRef, Spec
from autoscaler.api.status import History, PastChange, PastRecommendation, PolicyStatus
from autoscaler.api.vocabulary import Action
from autoscaler.decision import initial_state
from autoscaler.decision.stabilize import CLASSIC_WINDOW_SECONDS, Recommendations
from autoscaler.decision.types import Recommendation, ScaleEvent, ScalingState

Events = tuple[ScaleEvent, ...]


def target_name(ref: ScaleTargetRef) -> str:
    """The target of a history: ``apps/v1/Deployment/vllm``."""
    return f"{ref.api_version}/{ref.kind}/{ref.name}"


def begin(status: PolicyStatus | None, target: str, current: int, now: float) -> ScalingState:
    """The memory of a controller that has just taken over ``target`` with ``current`` replicas."""
    history = status.history if status else None
    if status is None or history is None or history.target != target:
        return initial_state(current, now)
    saved = ScalingState(
        recommendations=tuple(
            Recommendation(one.replicas, min(one.time, now)) for one in history.recommendations
        ),
        up_events=_events(history.up_events, now),
        down_events=_events(history.down_events, now) + _unsaved(status, current, now),
        failing_since=history.failing_since,
        pending_since=history.pending_since,
        scaled_to_zero=history.scaled_to_zero or (current == 0 and _ordered_zero(status)),
    )
    last = status.last_decision
    return resume(saved, current, now, unseen=now - last.time if last else inf)


def resume(state: ScalingState, current: int, now: float, unseen: float) -> ScalingState:
    """The memory after ``unseen`` seconds without decisions: the present replicas count as recommended."""
    others = tuple(one for one in state.recommendations if one.replicas != current)
    recommendations = others + initial_state(current, now).recommendations
    return replace(wait_out(state, now, unseen), recommendations=recommendations)


def wait_out(state: ScalingState, now: float, unseen: float) -> ScalingState:
    """The memory without ``unseen`` seconds of failed metrics and pending pods."""
    return replace(
        state,
        failing_since=_later(state.failing_since, unseen, now),
        pending_since=_later(state.pending_since, unseen, now),
        unseen_since=_later(state.unseen_since, unseen, now),
    )


def _events(changes: tuple[PastChange, ...], now: float) -> Events:
    return tuple(ScaleEvent(one.change, min(one.time, now), bool(one.outdated)) for one in changes)


def _later(time: float | None, seconds: float, now: float) -> float | None:
    return None if time is None else min(time + max(seconds, 0.0), now)


def _unsaved(status: PolicyStatus, current: int, now: float) -> Events:
    """A scale-down that was not saved in time counts from now on, so that it is not repeated."""
    last = status.last_decision
    if last is None:
        return ()
    known = last.desired_replicas if last.action is Action.SCALED else last.current_replicas
    return (ScaleEvent(known - current, now),) if current < known else ()


def _ordered_zero(status: PolicyStatus) -> bool:
    """True if 0 replicas may be our own: the write got no answer. A hold at 0 ordered nothing."""
    last = status.last_decision
    return last is not None and last.action is Action.FAILED and last.desired_replicas == 0


def save(state: ScalingState, spec: Spec, now: float) -> History:
    """The part of the memory that can still matter to a later decision."""
    window = max(
        spec.scale_up.stabilization_window_seconds,
        spec.scale_down.stabilization_window_seconds,
        CLASSIC_WINDOW_SECONDS,
    )
    periods = [rule.period_seconds for rules in (spec.scale_up, spec.scale_down) for rule in rules.policies]
    return History(
        target=target_name(spec.scale_target_ref),
        recommendations=tuple(
            PastRecommendation(replicas=one.replicas, time=one.timestamp)
            for one in _extremes(state.recommendations, now - window)
        ),
        up_events=_changes(state.up_events, now - max(periods)),
        down_events=_changes(state.down_events, now - max(periods)),
        failing_since=state.failing_since,
        pending_since=state.pending_since,
        scaled_to_zero=state.scaled_to_zero,
    )


def _changes(events: Events, since: float) -> tuple[PastChange, ...]:
    return tuple(
        PastChange(change=one.change, time=one.timestamp, outdated=one.outdated or None)
        for one in events
        if one.timestamp >= since
    )


def _extremes(recommendations: Recommendations, since: float) -> Recommendations:
    """The recommendations that are the highest or the lowest from their time on.

    A window reaches from some time up to now and asks for its highest or lowest, so the others
    decide nothing, and a busy hour stays small.
    """
    kept: list[Recommendation] = []
    for one in sorted(recommendations, key=lambda one: one.timestamp, reverse=True):
        if one.timestamp < since:
            break
        known = [other.replicas for other in kept] or [one.replicas + 1]
        if not min(known) <= one.replicas <= max(known):
            kept.append(one)
    return tuple(reversed(kept))


def shift(state: ScalingState, seconds: float) -> ScalingState:
    """The memory after the wall clock has jumped: all ages stay the same."""
    return replace(
        state,
        recommendations=tuple(
            replace(one, timestamp=one.timestamp + seconds) for one in state.recommendations
        ),
        up_events=_shifted(state.up_events, seconds),
        down_events=_shifted(state.down_events, seconds),
        failing_since=None if state.failing_since is None else state.failing_since + seconds,
        pending_since=None if state.pending_since is None else state.pending_since + seconds,
        unseen_since=None if state.unseen_since is None else state.unseen_since + seconds,
    )


def _shifted(events: Events, seconds: float) -> Events:
    return tuple(replace(one, timestamp=one.timestamp + seconds) for one in events)
