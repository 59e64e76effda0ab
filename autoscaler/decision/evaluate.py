"""One decision: (policy, observation, state, now) -> (decision, state). Start reading here.

::

    mode, zero, bounds      may settle it without a look at any metric
    metrics                 each metric proposes, the highest wins           recommend.py
      fallback              when none could be used for a while              fallback.py
    guards                  reasons not to scale down yet                    guards.py
    stabilize               what the windows of recent time agree on         stabilize.py
    rateLimit               how much may change now, and the bounds          rate.py
    freeze                  one direction may be forbidden altogether

The order is that of reconcileAutoscaler in pkg/controller/podautoscaler/horizontal.go; guards
and freezes are ours. Every function here and behind it is pure: the clock is an argument and the
memory goes in and comes out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from autoscaler.api.models import Metric, Mode, Role, ScalingPolicy, Semantics, Signal, Spec
from autoscaler.decision.bounds import ReplicaBounds, correct_to_bounds, effective_bounds
from autoscaler.decision.fallback import fall_back
from autoscaler.decision.fleet import Fleet, survey
from autoscaler.decision.guards import (
    hold_incomplete_data,
    hold_pending_replicas,
    hold_rejected_requests,
    hold_remaining_capacity,
    lasting_gap,
    unseen_pods,
)
from autoscaler.decision.rate import limit_rate, limit_rate_classic, store_event
from autoscaler.decision.recommend import Basis, combine, propose
from autoscaler.decision.replicas import Tolerance
from autoscaler.decision.stabilize import Recommendations, stabilize, stabilize_classic
from autoscaler.decision.types import (
    Condition,
    Decision,
    Observation,
    Proposal,
    Reason,
    Recommendation,
    ScalingState,
    Step,
)
from autoscaler.decision.zero import is_disabled, is_own_zero, keeps_mark, wakes_by_metrics

Judged = tuple[tuple[Metric, Proposal], ...]


@dataclass(frozen=True, slots=True)
class _Sync:
    """What is known when a decision begins.

    ``exact``: HPA's rules to the bit. ``current``: the replicas that are ordered, which every
    stage starts from. ``recommendations``: the state's, or a fresh start's. ``counting``: the serving
    pods whose engines count refused requests.
    """

    spec: Spec
    exact: bool
    observation: Observation
    current: int
    fleet: Fleet
    bounds: ReplicaBounds
    state: ScalingState
    recommendations: Recommendations
    now: float
    counting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Course:
    """The stages that a decision went through, and what of the memory they changed."""

    steps: tuple[Step, ...]
    conditions: tuple[Condition, ...]
    recommendations: Recommendations
    failing_since: float | None
    proposals: tuple[Proposal, ...] = ()


def initial_state(current_replicas: int, now: float) -> ScalingState:
    """The memory of a controller that just started: it recommends what is there.

    So a restart never scales down before the scaleDown window has passed.
    """
    return ScalingState(recommendations=(Recommendation(current_replicas, now),))


def evaluate(
    policy: ScalingPolicy, observation: Observation, state: ScalingState, now: float
) -> tuple[Decision, ScalingState]:
    """Decides how many replicas there should be at ``now`` (seconds, any origin).

    Returns the decision and the state for the next sync. When the decision has been written,
    that state goes through ``record_scale`` first. A state without recommendations is taken for
    a fresh start.
    """
    sync = _begin(policy.spec, observation, state, now)
    course = _without_metrics(sync) or _from_metrics(sync)
    steps = _announce_schedules(sync) + course.steps
    steps += _freeze(sync, steps[-1])
    settled = _settled(steps)
    decision = Decision(
        current_replicas=sync.current,
        desired_replicas=steps[-1].replicas,
        reason=settled.reason,
        message=settled.message,
        steps=steps,
        proposals=course.proposals,
        conditions=course.conditions + _doubts(sync),
    )
    return decision, _remembered(sync, course)


def record_scale(policy: ScalingPolicy, state: ScalingState, decision: Decision, now: float) -> ScalingState:
    """The state after ``decision`` has been written to the scale target; unchanged by a hold.

    The rate limits count the change from now on (HPA's storeScaleEvent; with ``semantics: HPA``
    and no ``behavior`` nothing looks at it, and nothing is stored). Added replicas start the
    credit of pending replicas anew.
    """
    spec = policy.spec
    change = decision.desired_replicas - decision.current_replicas
    if change == 0:
        return state
    state = replace(state, scaled_to_zero=is_own_zero(spec, decision.desired_replicas))
    if change > 0:
        state = replace(state, pending_since=now)
    if _is_classic(spec):
        return state
    exact = spec.semantics is Semantics.HPA
    if change > 0:
        return replace(state, up_events=store_event(state.up_events, spec.scale_up, change, now, exact))
    return replace(state, down_events=store_event(state.down_events, spec.scale_down, -change, now, exact))


def _is_classic(spec: Spec) -> bool:
    return spec.behavior is None and spec.semantics is Semantics.HPA


def _begin(spec: Spec, observation: Observation, state: ScalingState, now: float) -> _Sync:
    exact = spec.semantics is Semantics.HPA
    fleet = survey(observation.pods, exact)
    return _Sync(
        spec=spec,
        exact=exact,
        observation=observation,
        current=observation.spec_replicas,
        fleet=fleet,
        bounds=effective_bounds(spec, observation.active_schedules),
        state=state,
        recommendations=state.recommendations or (Recommendation(observation.spec_replicas, now),),
        now=now,
        counting=_counting(spec, observation, state, fleet),
    )


def _counting(spec: Spec, observation: Observation, state: ScalingState, fleet: Fleet) -> tuple[str, ...]:
    """The serving pods that show a counter of refused requests, or did while they were ready."""
    names = {metric.name for metric in spec.inputs if metric.signal is Signal.REJECTED_RATE}
    shown = set(state.counting_rejections)
    for reading in observation.readings:
        if reading.metric in names:
            shown.update(sample.pod for sample in reading.samples if sample.pod is not None)
    return tuple(pod for pod in fleet.serving if pod in shown) if shown else ()


def _remembered(sync: _Sync, course: _Course) -> ScalingState:
    state = sync.state
    return ScalingState(
        recommendations=course.recommendations,
        up_events=state.up_events,
        down_events=state.down_events,
        failing_since=course.failing_since,
        pending_since=_pending_since(sync),
        scaled_to_zero=state.scaled_to_zero and keeps_mark(sync.spec, sync.current),
        unseen_since=_unseen_since(sync),
        counting_rejections=sync.counting,
    )


def _pending_since(sync: _Sync) -> float | None:
    if sync.fleet.available >= sync.current:
        return None
    return sync.now if sync.state.pending_since is None else sync.state.pending_since


def _unseen_since(sync: _Sync) -> float | None:
    """HPA does not compare the target with its pods."""
    if sync.exact or not sync.observation.unseen_replicas:
        return None
    return sync.now if sync.state.unseen_since is None else sync.state.unseen_since


def _gap(sync: _Sync) -> str | None:
    seen = sync.observation
    return lasting_gap(seen.unseen_replicas, seen.status_replicas, _unseen_since(sync), sync.now)


def _doubts(sync: _Sync) -> tuple[Condition, ...]:
    """Whichever way the metrics point, pods that are missing from sight are reported."""
    gap = _gap(sync)
    return () if gap is None else (Condition("PodsKnown", False, Reason.FEWER_PODS, gap),)


# What needs no metric


def _without_metrics(sync: _Sync) -> _Course | None:
    if sync.spec.mode is Mode.PAUSED:
        return _paused(sync)
    if is_disabled(sync.spec, sync.current, sync.state.scaled_to_zero):
        message = "scaling is disabled since the replica count of the target is zero"
        step = Step("bounds", sync.current, Reason.SCALING_DISABLED, message)
        return _hold(sync, step, _condition("ScalingActive", False, step))
    if wakes_by_metrics(sync.spec, sync.current, sync.state.scaled_to_zero):
        return None
    correction = correct_to_bounds(sync.current, sync.bounds)
    return _hold(sync, correction) if correction else None


def _hold(sync: _Sync, step: Step, *conditions: Condition) -> _Course:
    """One step, and the memory as it is."""
    return _Course((step,), (_ABLE, *conditions), sync.recommendations, sync.state.failing_since)


def _paused(sync: _Sync) -> _Course:
    """A pause ends like a restart: what was kept during it counts as recommended."""
    step = Step("mode", sync.current, Reason.PAUSED, "mode is Paused")
    _, recommendations = _stabilized(sync, sync.current)
    return _Course((step,), (_ABLE, _condition("ScalingActive", False, step)), recommendations, None)


# What the metrics say


def _from_metrics(sync: _Sync) -> _Course:
    if sync.exact and sync.observation.selected_by:
        return _ambiguous(sync)
    judged = _judge(sync)
    drivers = tuple(proposal for metric, proposal in judged if metric.role is Role.DRIVER)
    step = combine(drivers, sync.current)
    if step is None:
        return _without_answer(sync, judged, drivers)
    return _with_answer(sync, judged, step)


def _ambiguous(sync: _Sync) -> _Course:
    """HPA reads no metric of pods that another HPA would scale as well, and remembers nothing."""
    message = f"pods of the target are selected by {', '.join(sync.observation.selected_by)} as well"
    step = Step("metrics", sync.current, Reason.AMBIGUOUS_SELECTOR, message)
    return _hold(sync, step, _condition("ScalingActive", False, step))


def _judge(sync: _Sync) -> Judged:
    spec, observation = sync.spec, sync.observation
    basis = Basis(
        spec=spec,
        exact=sync.exact,
        current=sync.current,
        divisor=sync.current if spec.credits_pending else observation.status_replicas,
        fleet=sync.fleet,
        tolerance=Tolerance(spec.scale_up.tolerance, spec.scale_down.tolerance, spec.tolerance_rule),
        now=sync.now,
        counting=sync.counting,
    )
    readings = {reading.metric: reading for reading in observation.readings}
    return tuple(
        (metric, propose(metric, readings.get(metric.name), basis))
        for metric in spec.inputs
        if sync.current or metric.role is Role.DRIVER
    )


def _proposals(judged: Judged) -> tuple[Proposal, ...]:
    return tuple(proposal for _, proposal in judged)


def _pending(sync: _Sync) -> Step | None:
    return hold_pending_replicas(
        sync.spec, sync.current, sync.fleet.available, _pending_since(sync), sync.now
    )


def _without_answer(sync: _Sync, judged: Judged, drivers: tuple[Proposal, ...]) -> _Course:
    """Holds; or falls back, if that is due. Where every driver abstains, the metrics work: it holds."""
    failed = next((one for one in drivers if one.replicas is None and not one.abstains), None)
    told = failed or drivers[0]
    steps: tuple[Step, ...] = (Step("metrics", sync.current, told.reason, told.message),)
    conditions: tuple[Condition, ...] = (_ABLE, _condition("ScalingActive", failed is None, steps[0]))
    recommendations = _kept(sync)
    failing_since = _failing_since(sync, drivers)
    fallback = fall_back(sync.spec, sync.current, failing_since, sync.now)
    if fallback is not None:
        guarded = fallback.replicas < sync.current and hold_rejected_requests(judged, sync.current)
        steps += (fallback, guarded) if guarded else (fallback,)
        last = steps[-1]
        _, recommendations = _stabilized(sync, last.replicas)
        limited = _limited(sync, last.replicas)
        steps += (limited,)
        conditions += (_limiting(last, limited),)
    return _Course(steps, conditions, recommendations, failing_since, _proposals(judged))


def _failing_since(sync: _Sync, drivers: tuple[Proposal, ...]) -> float | None:
    """Since when no driver answers; one that abstains has answered.

    While the first replicas are still on their way, nobody is there to answer: no failure.
    """
    starting = sync.fleet.available == 0 and _pending(sync) is not None
    if starting or any(one.replicas is not None or one.abstains for one in drivers):
        return None
    return sync.now if sync.state.failing_since is None else sync.state.failing_since


def _with_answer(sync: _Sync, judged: Judged, step: Step) -> _Course:
    active = Condition("ScalingActive", True, Reason.VALID_METRIC, step.message)
    steps: tuple[Step, ...] = (step,)
    if step.replicas < sync.current:
        held = hold_incomplete_data(sync.spec, judged, sync.current) or _hold_unseen(sync)
        if held is not None:
            lags = held.reason is Reason.FEWER_PODS and _gap(sync) is None
            kept = sync.recommendations if lags else _kept(sync)
            return _Course((step, held), (_ABLE, active), kept, None, _proposals(judged))
        guarded = (
            _pending(sync)
            or hold_rejected_requests(judged, sync.current)
            or hold_remaining_capacity(judged, sync.current, step.replicas)
        )
        steps += (guarded,) if guarded else ()
    stable, recommendations = _stabilized(sync, steps[-1].replicas)
    limited = _limited(sync, stable.replicas)
    steps += (stable, limited, *_wake(sync, limited))
    conditions = (_condition("AbleToScale", True, stable), active, _limiting(stable, limited))
    return _Course(steps, conditions, recommendations, None, _proposals(judged))


def _hold_unseen(sync: _Sync) -> Step | None:
    """Pods that are not in sight may carry load: without them nobody knows how much.

    A difference that may be a watch's lag holds as well, for it may be the first look at a lasting one.
    """
    seen = sync.observation
    if _unseen_since(sync) is None:
        return None
    message = _gap(sync) or unseen_pods(seen.unseen_replicas, seen.status_replicas)
    return Step("completeData", sync.current, Reason.FEWER_PODS, message)


def _kept(sync: _Sync) -> Recommendations:
    """What a hold for lack of data leaves behind: the replicas that were kept, as recommended.

    Nobody knows what was needed meanwhile, so the window for a scale-down begins when data is back.
    HPA remembers nothing, and scales down at once after an outage that was longer than its window.
    """
    return sync.recommendations if sync.exact else _stabilized(sync, sync.current)[1]


def _stabilized(sync: _Sync, desired: int) -> tuple[Step, Recommendations]:
    if _is_classic(sync.spec):
        return stabilize_classic(desired, sync.recommendations, sync.now)
    return stabilize(sync.spec, sync.current, desired, sync.recommendations, sync.now)


def _limited(sync: _Sync, desired: int) -> Step:
    if _is_classic(sync.spec):
        return limit_rate_classic(sync.bounds, sync.current, desired)
    return limit_rate(sync.spec, sync.bounds, sync.state, sync.current, desired, sync.now)


def _wake(sync: _Sync, limited: Step) -> tuple[Step, ...]:
    """HPA reads the metrics before it corrects its own 0 replicas up to a new minReplicas."""
    if not wakes_by_metrics(sync.spec, sync.current, sync.state.scaled_to_zero):
        return ()
    correction = correct_to_bounds(limited.replicas, sync.bounds)
    return (correction,) if correction else ()


# What frames a decision


def _announce_schedules(sync: _Sync) -> tuple[Step, ...]:
    bounds = sync.bounds
    if bounds == ReplicaBounds(sync.spec.min_replicas, sync.spec.max_replicas):
        return ()
    message = (
        f"{', '.join(sync.observation.active_schedules)}: {bounds.min_replicas} to {bounds.max_replicas}"
    )
    return (Step("schedules", sync.current, Reason.SCHEDULE_ACTIVE, message),)


def _freeze(sync: _Sync, last: Step) -> tuple[Step, ...]:
    freeze, current = sync.spec.freeze, sync.current
    if (freeze == "ScaleUp" and last.replicas > current) or (
        freeze == "ScaleDown" and last.replicas < current
    ):
        return (Step("freeze", current, Reason.FROZEN, f"freeze is {freeze}, which forbids {last.replicas}"),)
    return ()


def _settled(steps: tuple[Step, ...]) -> Step:
    """The last stage that changed the replicas; without one, the first that judged them."""
    settled = steps[0]
    for before, after in pairwise(steps):
        if after.replicas != before.replicas or before.reason is Reason.SCHEDULE_ACTIVE:
            settled = after
    return settled


_ABLE = Condition("AbleToScale", True, Reason.SUCCEEDED_GET_SCALE, "the scale target's replicas were read")


def _condition(kind: str, status: bool, step: Step) -> Condition:
    return Condition(kind, status, step.reason, step.message)


def _limiting(stable: Step, limited: Step) -> Condition:
    return _condition("ScalingLimited", limited.replicas != stable.replicas, limited)
