"""The status conditions that follow from the steps of a decision, in HPA's words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from autoscaler.decision.context import DecisionContext, Draft
from autoscaler.decision.guards import lasting_gap
from autoscaler.decision.types import ABSTAINING, Condition, Reason, Step

_ABLE = Condition("AbleToScale", True, Reason.SUCCEEDED_GET_SCALE, "the scale target's replicas were read")
_CORRECTIONS = frozenset({Reason.ABOVE_MAX, Reason.BELOW_MIN})
_ANSWERS = frozenset({Reason.ABOVE_TARGET, Reason.BELOW_TARGET, Reason.WITHIN_TOLERANCE})


def conditions(context: DecisionContext, draft: Draft) -> tuple[Condition, ...]:
    """The conditions that this decision determines; HPA leaves the others at their old values."""
    return (
        _able_to_scale(draft.steps),
        *_scaling_active(draft.steps[0]),
        *_scaling_limited(draft.steps),
        *_pods_known(context),
    )


def _able_to_scale(steps: tuple[Step, ...]) -> Condition:
    stable = next((step for step in steps if step.stage == "stabilize"), None)
    return _ABLE if stable is None else _condition("AbleToScale", True, stable)


def _scaling_active(first: Step) -> Iterator[Condition]:
    """A correction to the bounds does not say whether the metrics work."""
    if first.reason in _ANSWERS:
        yield Condition("ScalingActive", True, Reason.VALID_METRIC, first.message)
    elif first.reason not in _CORRECTIONS:
        yield _condition("ScalingActive", first.reason in ABSTAINING, first)


def _scaling_limited(steps: tuple[Step, ...]) -> Iterator[Condition]:
    for before, step in pairwise(steps):
        if step.stage == "rateLimit":
            yield _condition("ScalingLimited", step.replicas != before.replicas, step)


def _pods_known(context: DecisionContext) -> Iterator[Condition]:
    """Missing pods are reported whichever way the metrics point."""
    gap = lasting_gap(context)
    if gap is not None:
        yield Condition("PodsKnown", False, Reason.FEWER_PODS, gap)


def _condition(kind: str, status: bool, step: Step) -> Condition:
    return Condition(kind, status, step.reason, step.message)
