"""The stages that may settle a decision before any metric is read. None: the next one is asked."""

from __future__ import annotations

from autoscaler.api.models import Mode
from autoscaler.decision.bounds import correct_to_bounds
from autoscaler.decision.context import DecidedBy, DecisionContext, Draft
from autoscaler.decision.types import Reason, Step
from autoscaler.decision.zero import is_disabled


def settle_by_mode(context: DecisionContext) -> Draft | None:
    """A paused policy keeps the present replicas."""
    if context.spec.mode is not Mode.PAUSED:
        return None
    return _settle(context, Step("mode", context.current, Reason.PAUSED, "mode is Paused"))


def settle_at_zero(context: DecisionContext) -> Draft | None:
    """0 replicas that are not the policy's own doing switch it off."""
    if not is_disabled(context.spec, context.current, context.memory.scaled_to_zero):
        return None
    message = "scaling is disabled since the replica count of the target is zero"
    return _settle(context, Step("bounds", context.current, Reason.SCALING_DISABLED, message))


def settle_by_bounds(context: DecisionContext) -> Draft | None:
    """Replicas outside the bounds come back at once."""
    if context.wakes_by_metrics:
        return None
    correction = correct_to_bounds(context.current, context.bounds)
    return _settle(context, correction) if correction else None


def settle_by_selector(context: DecisionContext) -> Draft | None:
    """HPA reads no metric of pods that another HPA also selects."""
    others = context.observation.selected_by
    if not context.hpa_parity or not others:
        return None
    message = f"pods of the target are also selected by {', '.join(others)}"
    return _settle(context, Step("metrics", context.current, Reason.AMBIGUOUS_SELECTOR, message))


def _settle(context: DecisionContext, step: Step) -> Draft:
    return Draft((step,), DecidedBy.RULE, context.memory.recommendations)
