"""One decision: (policy, observation, state, now) -> (decision, state). Start reading here.

::

    mode, zero, bounds      may settle it without a look at any metric       without_metrics.py
    metrics                 each metric proposes, the highest wins           recommend.py
      fallback              when none could be used for a while              fallback.py
    guards                  reasons not to scale down yet                    guards.py
    stabilize               what the windows of recent time agree on         stabilize.py
    rateLimit               how much may change now, and the bounds          rate_limit.py
    freeze                  one direction may be forbidden altogether

The order is that of reconcileAutoscaler in pkg/controller/podautoscaler/horizontal.go; guards
and freezes are ours. Each stage takes the context, which is the same for all (context.py), and the
draft of the stages before it; ``Draft.decided_by`` says which drafts a stage looks at. The memory of
the syncs before is in state.py. Every function here and behind it is pure: the clock is an argument
and the memory goes in and comes out.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from autoscaler.api.models import Role, ScalingPolicy, Semantics, Spec
from autoscaler.decision.bounds import ReplicaBounds, correct_to_bounds, effective_bounds
from autoscaler.decision.conditions import conditions
from autoscaler.decision.context import DecidedBy, DecisionContext, Draft
from autoscaler.decision.fallback import fall_back
from autoscaler.decision.guards import COMPLETE_DATA, FALLBACK_GUARDS, GUARDS, first_hold
from autoscaler.decision.pod_groups import group_pods
from autoscaler.decision.rate_limit import is_classic, limit_rate, limit_rate_classic
from autoscaler.decision.recommend import combine, propose_all
from autoscaler.decision.replicas import Tolerance
from autoscaler.decision.stabilize import stabilize, stabilize_classic
from autoscaler.decision.state import counts_as_recommended, failing_since, next_state, observed
from autoscaler.decision.types import Decision, Observation, Reason, ScalingState, Step
from autoscaler.decision.without_metrics import (
    settle_at_zero,
    settle_by_bounds,
    settle_by_mode,
    settle_by_selector,
)


def evaluate(
    policy: ScalingPolicy, observation: Observation, state: ScalingState, now: float
) -> tuple[Decision, ScalingState]:
    """Decides how many replicas there should be at ``now`` (seconds, any origin).

    Returns the decision and the state for the next sync. When the decision has been written,
    that state goes through ``record_scale`` first. A state without recommendations is taken for
    a fresh start.
    """
    context = _begin(policy.spec, observation, state, now)
    draft = (
        settle_by_mode(context)
        or settle_at_zero(context)
        or settle_by_bounds(context)
        or settle_by_selector(context)
        or _ask_metrics(context)
    )
    draft = _fall_back(context, draft)
    draft = _guard(context, draft)
    draft = _stabilize(context, draft)
    draft = _limit_rate(context, draft)
    draft = _wake_into_bounds(context, draft)
    draft = _freeze(context, draft)
    return _decision(context, draft), next_state(context, draft)


def _begin(spec: Spec, observation: Observation, state: ScalingState, now: float) -> DecisionContext:
    hpa_parity = spec.semantics is Semantics.HPA
    pods = group_pods(observation.pods, hpa_parity)
    return DecisionContext(
        spec=spec,
        hpa_parity=hpa_parity,
        observation=observation,
        current=observation.spec_replicas,
        pods=pods,
        bounds=effective_bounds(spec, observation.active_schedules),
        tolerance=Tolerance(spec.scale_up.tolerance, spec.scale_down.tolerance, spec.tolerance_rule),
        memory=observed(state, spec, observation, pods, now),
        now=now,
    )


def _ask_metrics(context: DecisionContext) -> Draft:
    """Where every driver abstains, the metrics work and say nothing: the replicas are kept."""
    evaluated = propose_all(context)
    drivers = [proposal for metric, proposal in evaluated if metric.role is Role.DRIVER]
    step, decided_by = combine(drivers, context.current), DecidedBy.METRICS
    if step is None:
        failed = (one for one in drivers if one.replicas is None and not one.abstains)
        cause = next(failed, drivers[0])
        step, decided_by = Step("metrics", context.current, cause.reason, cause.message), DecidedBy.NO_DATA
    return Draft((step,), decided_by, context.memory.recommendations, evaluated)


def _fall_back(context: DecisionContext, draft: Draft) -> Draft:
    if draft.decided_by is not DecidedBy.NO_DATA:
        return draft
    since = failing_since(context, draft)
    return draft.then(fall_back(context.spec, context.current, since, context.now), DecidedBy.FALLBACK)


def _guard(context: DecisionContext, draft: Draft) -> Draft:
    if draft.decided_by is DecidedBy.FALLBACK:
        return draft.then(first_hold(FALLBACK_GUARDS, context, draft))
    if draft.decided_by is not DecidedBy.METRICS:
        return draft
    held = first_hold(GUARDS, context, draft)
    lacks_data = held is not None and held.stage == COMPLETE_DATA
    return draft.then(held, DecidedBy.NO_DATA if lacks_data else DecidedBy.METRICS)


def _stabilize(context: DecisionContext, draft: Draft) -> Draft:
    """The windows hold back what metrics ask for; they remember other replicas, too."""
    if not counts_as_recommended(context, draft):
        return draft
    spec, recent = context.spec, context.memory.recommendations
    if is_classic(spec):
        step, recommendations = stabilize_classic(draft.replicas, recent, context.now)
    else:
        step, recommendations = stabilize(spec, context.current, draft.replicas, recent, context.now)
    remembered = replace(draft, recommendations=recommendations)
    return remembered.then(step) if draft.decided_by is DecidedBy.METRICS else remembered


def _limit_rate(context: DecisionContext, draft: Draft) -> Draft:
    if draft.decided_by not in (DecidedBy.METRICS, DecidedBy.FALLBACK):
        return draft
    spec, bounds, current = context.spec, context.bounds, context.current
    if is_classic(spec):
        return draft.then(limit_rate_classic(bounds, current, draft.replicas))
    return draft.then(limit_rate(spec, bounds, context.memory, current, draft.replicas, context.now))


def _wake_into_bounds(context: DecisionContext, draft: Draft) -> Draft:
    """HPA reads the metrics before it corrects its own 0 replicas up to a new minReplicas."""
    if draft.decided_by is not DecidedBy.METRICS or not context.wakes_by_metrics:
        return draft
    return draft.then(correct_to_bounds(draft.replicas, context.bounds))


def _freeze(context: DecisionContext, draft: Draft) -> Draft:
    change, freeze = draft.replicas - context.current, context.spec.freeze
    if (freeze == "ScaleUp" and change > 0) or (freeze == "ScaleDown" and change < 0):
        message = f"freeze is {freeze}, which forbids {draft.replicas}"
        return draft.then(Step("freeze", context.current, Reason.FROZEN, message))
    return draft


def _decision(context: DecisionContext, draft: Draft) -> Decision:
    steps = (*_announce_schedules(context), *draft.steps)
    decided = _deciding_step(steps)
    return Decision(
        current_replicas=context.current,
        desired_replicas=draft.replicas,
        reason=decided.reason,
        message=decided.message,
        steps=steps,
        proposals=draft.proposals,
        conditions=conditions(context, draft),
    )


def _announce_schedules(context: DecisionContext) -> tuple[Step, ...]:
    low, high = context.bounds.min_replicas, context.bounds.max_replicas
    if context.bounds == ReplicaBounds(context.spec.min_replicas, context.spec.max_replicas):
        return ()
    message = f"{', '.join(context.observation.active_schedules)}: {low} to {high}"
    return (Step("schedules", context.current, Reason.SCHEDULE_ACTIVE, message),)


def _deciding_step(steps: tuple[Step, ...]) -> Step:
    """The last stage that changed the replicas; without one, the first that judged them."""
    decided = steps[0]
    for before, after in pairwise(steps):
        if after.replicas != before.replicas or before.reason is Reason.SCHEDULE_ACTIVE:
            decided = after
    return decided
