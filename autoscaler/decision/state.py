"""The memory between two decisions: its beginning, and what an observation and a write add to it."""

from __future__ import annotations

from dataclasses import replace

from autoscaler.api.models import Mode, Role, ScalingPolicy, Semantics, Signal, Spec
from autoscaler.decision.context import DecidedBy, DecisionContext, Draft
from autoscaler.decision.guards import hold_pending_replicas, lasting_gap
from autoscaler.decision.pod_groups import PodGroups
from autoscaler.decision.rate_limit import is_classic, store_event
from autoscaler.decision.types import Decision, Observation, Reason, Recommendation, ScalingState
from autoscaler.decision.zero import is_own_zero, keeps_mark


def initial_state(current_replicas: int, now: float) -> ScalingState:
    """The memory of a controller that just started: it recommends the present replicas.

    So a restart never scales down before the scaleDown window has passed.
    """
    return ScalingState(recommendations=(Recommendation(current_replicas, now),))


def record_scale(policy: ScalingPolicy, state: ScalingState, decision: Decision, now: float) -> ScalingState:
    """The state after ``decision`` has been written to the scale target; unchanged by a hold.

    The rate limits count the change from now on (HPA's storeScaleEvent; with ``semantics: HPA``
    and no ``behavior`` nothing looks at it, and nothing is stored). Added replicas start the
    credit of pending replicas again.
    """
    spec = policy.spec
    change = decision.desired_replicas - decision.current_replicas
    if change == 0:
        return state
    state = replace(state, scaled_to_zero=is_own_zero(spec, decision.desired_replicas))
    if change > 0:
        state = replace(state, pending_since=now)
    if is_classic(spec):
        return state
    parity = spec.semantics is Semantics.HPA
    if change > 0:
        return replace(state, up_events=store_event(state.up_events, spec.scale_up, change, now, parity))
    return replace(state, down_events=store_event(state.down_events, spec.scale_down, -change, now, parity))


def observed(
    state: ScalingState, spec: Spec, observation: Observation, pods: PodGroups, now: float
) -> ScalingState:
    """The state with what this observation adds to it, before anything is decided.

    Without recommendations it is a fresh start.
    """
    current = observation.spec_replicas
    pending = pods.available < current
    # HPA does not compare the target with its pods.
    unseen = bool(observation.unseen_replicas) and spec.semantics is not Semantics.HPA
    return ScalingState(
        recommendations=state.recommendations or initial_state(current, now).recommendations,
        up_events=state.up_events,
        down_events=state.down_events,
        failing_since=state.failing_since,
        pending_since=_since(state.pending_since, now) if pending else None,
        scaled_to_zero=state.scaled_to_zero and keeps_mark(spec, current),
        unseen_since=_since(state.unseen_since, now) if unseen else None,
        counting_rejections=_counting_rejections(state, spec, observation, pods),
    )


def next_state(context: DecisionContext, draft: Draft) -> ScalingState:
    """The state after a decision, for the next sync."""
    return replace(
        context.memory,
        recommendations=draft.recommendations,
        failing_since=failing_since(context, draft),
    )


def failing_since(context: DecisionContext, draft: Draft) -> float | None:
    """The time since which no driver answers; one that abstains has answered.

    While the first replicas are still starting, none can answer: no failure.
    """
    if context.spec.mode is Mode.PAUSED:
        return None  # a pause ends like a restart
    since = context.memory.failing_since
    if not draft.evaluated:
        return since
    if any(
        proposal.replicas is not None or proposal.abstains
        for metric, proposal in draft.evaluated
        if metric.role is Role.DRIVER
    ):
        return None
    starting = context.pods.available == 0 and hold_pending_replicas(context, draft) is not None
    return None if starting else _since(since, context.now)


def counts_as_recommended(context: DecisionContext, draft: Draft) -> bool:
    """True where the draft's replicas enter the windows of recent time as recommended.

    Replicas kept for lack of data do: the need meanwhile is unknown, so the window for a scale-down
    begins when data is back. HPA remembers nothing then, and scales down at once after an outage that was
    longer than its window. Pods that a watch has not shown yet count as missing data only if that lasts.
    Replicas that a pause keeps count, so that it ends like a restart.
    """
    if draft.decided_by is DecidedBy.RULE:
        return context.spec.mode is Mode.PAUSED
    if draft.decided_by is DecidedBy.NO_DATA:
        lags = draft.steps[-1].reason is Reason.FEWER_PODS and lasting_gap(context) is None
        return not context.hpa_parity and not lags
    return True


def _since(before: float | None, now: float) -> float:
    return now if before is None else before


def _counting_rejections(
    state: ScalingState, spec: Spec, observation: Observation, pods: PodGroups
) -> tuple[str, ...]:
    """The serving pods that show a counter of refused requests, or did while they were ready."""
    names = {metric.name for metric in spec.inputs if metric.signal is Signal.REJECTED_RATE}
    shown = set(state.counting_rejections)
    for reading in observation.readings:
        if reading.metric in names:
            shown.update(sample.pod for sample in reading.samples if sample.pod is not None)
    return tuple(pod for pod in pods.serving if pod in shown) if shown else ()
