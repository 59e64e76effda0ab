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

from autoscaler.decision.bounds import Bounds, correct_to_bounds, effective_bounds
from autoscaler.decision.fallback import fall_back
from autoscaler.decision.fleet import Fleet, survey
from autoscaler.decision.guards import hold_incomplete_data, hold_pending_replicas, hold_remaining_capacity
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
from autoscaler.policy.models import Metric, Mode, Role, ScalingPolicy, Semantics, Spec

Judged = tuple[tuple[Metric, Proposal], ...]


@dataclass(frozen=True, slots=True)
class _Sync:
    """What is known when a decision begins. ``exact``: HPA's rules to the bit."""

    spec: Spec
    exact: bool
    observation: Observation
    fleet: Fleet
    bounds: Bounds
    state: ScalingState
    now: float

    @property
    def current(self) -> int:
        """The replicas that are ordered; what every stage starts from."""
        return self.observation.spec_replicas


@dataclass(frozen=True, slots=True)
class _Course:
    """The stages that a decision went through, and the memory after them."""

    steps: tuple[Step, ...]
    state: ScalingState
    proposals: tuple[Proposal, ...] = ()
    conditions: tuple[Condition, ...] = ()


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
        conditions=course.conditions,
    )
    return decision, course.state


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
    state = replace(state, scaled_to_zero=decision.desired_replicas == 0)
    if change > 0:
        state = replace(state, pending_since=now)
    if _is_classic(spec):
        return state
    if change > 0:
        return replace(state, up_events=store_event(state.up_events, spec.scale_up, change, now))
    return replace(state, down_events=store_event(state.down_events, spec.scale_down, -change, now))


def _is_classic(spec: Spec) -> bool:
    return spec.behavior is None and spec.semantics is Semantics.HPA


def _begin(spec: Spec, observation: Observation, state: ScalingState, now: float) -> _Sync:
    exact = spec.semantics is Semantics.HPA
    current = observation.spec_replicas
    fleet = survey(observation.pods, exact)
    pending_since = None
    if fleet.available < current:
        pending_since = now if state.pending_since is None else state.pending_since
    state = ScalingState(
        recommendations=state.recommendations or (Recommendation(current, now),),
        up_events=state.up_events,
        down_events=state.down_events,
        failing_since=state.failing_since,
        pending_since=pending_since,
        scaled_to_zero=state.scaled_to_zero and current == 0,
    )
    bounds = effective_bounds(spec, observation.active_schedules)
    return _Sync(spec, exact, observation, fleet, bounds, state, now)


# What needs no metric


def _without_metrics(sync: _Sync) -> _Course | None:
    current = sync.current
    if sync.spec.mode is Mode.PAUSED:
        return _paused(sync)
    if _is_disabled(sync):
        message = "scaling is disabled since the replica count of the target is zero"
        step = Step("bounds", current, Reason.SCALING_DISABLED, message)
        return _Course((step,), sync.state, (), (_ABLE, _condition("ScalingActive", False, step)))
    if _wakes_by_metrics(sync):
        return None
    correction = correct_to_bounds(current, sync.bounds)
    return _Course((correction,), sync.state, (), (_ABLE,)) if correction else None


def _paused(sync: _Sync) -> _Course:
    """A pause ends like a restart: what was kept during it counts as recommended."""
    step = Step("mode", sync.current, Reason.PAUSED, "mode is Paused")
    _, recommendations = _stabilized(sync, sync.current)
    state = replace(sync.state, recommendations=recommendations, failing_since=None)
    return _Course((step,), state, (), (_ABLE, _condition("ScalingActive", False, step)))


def _is_disabled(sync: _Sync) -> bool:
    """Whether somebody else's 0 replicas switch scaling off, which minReplicas 0 prevents."""
    return sync.current == 0 and sync.spec.min_replicas != 0 and not sync.state.scaled_to_zero


def _wakes_by_metrics(sync: _Sync) -> bool:
    """HPA reads the metrics before it corrects its own 0 replicas up to a new minReplicas."""
    return sync.exact and sync.current == 0 and sync.state.scaled_to_zero


# What the metrics say


def _from_metrics(sync: _Sync) -> _Course:
    judged = _judge(sync)
    drivers = tuple(proposal for metric, proposal in judged if metric.role is Role.DRIVER)
    sync = replace(sync, state=replace(sync.state, failing_since=_failing_since(sync, drivers)))
    step = combine(drivers, sync.current)
    course = _without_answer(sync, drivers) if step is None else _with_answer(sync, judged, step)
    return replace(course, proposals=tuple(proposal for _, proposal in judged))


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
    )
    readings = {reading.metric: reading for reading in observation.readings}
    return tuple(
        (metric, propose(metric, readings.get(metric.name), basis))
        for metric in spec.inputs
        if sync.current or metric.role is Role.DRIVER
    )


def _failing_since(sync: _Sync, drivers: tuple[Proposal, ...]) -> float | None:
    """While the first replicas are still on their way, nobody is there to answer: no failure."""
    starting = sync.fleet.available == 0 and _pending(sync) is not None
    if starting or any(proposal.replicas is not None for proposal in drivers):
        return None
    return sync.now if sync.state.failing_since is None else sync.state.failing_since


def _pending(sync: _Sync) -> Step | None:
    since = sync.state.pending_since
    return hold_pending_replicas(sync.spec, sync.current, sync.fleet.available, since, sync.now)


def _without_answer(sync: _Sync, drivers: tuple[Proposal, ...]) -> _Course:
    """Holds and remembers nothing, as HPA does; or falls back, if that is due."""
    failed = next(proposal for proposal in drivers if proposal.replicas is None)
    hold = Step("metrics", sync.current, failed.reason, failed.message)
    conditions = (_ABLE, _condition("ScalingActive", False, hold))
    fallback = fall_back(sync.spec, sync.current, sync.state.failing_since, sync.now)
    if fallback is None:
        return _Course((hold,), sync.state, (), conditions)
    _, recommendations = _stabilized(sync, fallback.replicas)
    limited = _limited(sync, fallback.replicas)
    state = replace(sync.state, recommendations=recommendations)
    return _Course((hold, fallback, limited), state, (), (*conditions, _limiting(fallback, limited)))


def _with_answer(sync: _Sync, judged: Judged, step: Step) -> _Course:
    active = Condition("ScalingActive", True, Reason.VALID_METRIC, step.message)
    steps: tuple[Step, ...] = (step,)
    if step.replicas < sync.current:
        held = hold_incomplete_data(sync.spec, judged, sync.current)
        if held is not None:
            return _Course((step, held), sync.state, (), (_ABLE, active))
        guarded = _pending(sync) or hold_remaining_capacity(judged, sync.current, step.replicas)
        steps += (guarded,) if guarded else ()
    stable, recommendations = _stabilized(sync, steps[-1].replicas)
    limited = _limited(sync, stable.replicas)
    state = replace(sync.state, recommendations=recommendations)
    conditions = (_condition("AbleToScale", True, stable), active, _limiting(stable, limited))
    return _Course((*steps, stable, limited, *_wake(sync, limited)), state, (), conditions)


def _stabilized(sync: _Sync, desired: int) -> tuple[Step, Recommendations]:
    recommendations = sync.state.recommendations
    if _is_classic(sync.spec):
        return stabilize_classic(desired, recommendations, sync.now)
    return stabilize(sync.spec, sync.current, desired, recommendations, sync.now)


def _limited(sync: _Sync, desired: int) -> Step:
    if _is_classic(sync.spec):
        return limit_rate_classic(sync.bounds, sync.current, desired)
    return limit_rate(sync.spec, sync.bounds, sync.state, sync.current, desired, sync.now)


def _wake(sync: _Sync, limited: Step) -> tuple[Step, ...]:
    if not _wakes_by_metrics(sync) or limited.replicas >= sync.bounds.min_replicas:
        return ()
    correction = correct_to_bounds(limited.replicas, sync.bounds)
    return (correction,) if correction else ()


# What frames a decision


def _announce_schedules(sync: _Sync) -> tuple[Step, ...]:
    bounds = sync.bounds
    if bounds == Bounds(sync.spec.min_replicas, sync.spec.max_replicas):
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
