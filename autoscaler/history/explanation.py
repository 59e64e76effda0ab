"""Decisions explained to people: the last one stage by stage, and those before it, a line each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.quantity import parse_quantity
from autoscaler.api.status import (
    ConditionType,
    LastDecision,
    MetricStatus,
    PastDecision,
    PolicyStatus,
    StatusCondition,
)
from autoscaler.api.vocabulary import Action, Role
from autoscaler.decision.types import ABSTAINING
from autoscaler.errors import Diagnostic, InputError
from autoscaler.history.decision_status import append_decision, last_decision, remarks_of
from autoscaler.history.records import DecisionRecord, LogGap, LogLine
from autoscaler.ports.policies import AnyPolicy, StoredPolicy
from autoscaler.timestamps import to_rfc3339

_A_YEAR = 366 * 86400.0
_WORDS = {
    Action.SCALED: "scaled",
    Action.HELD: "held",
    Action.DRY_RUN: "would scale",
    Action.REFUSED: "not written",
    Action.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The known decisions of one policy. ``policy`` None: only the decisions are known.

    ``problem``: why the newest edit is not in force. ``gaps``: where the log lost decisions, of any policy.
    """

    name: str
    policy: ScalingPolicy | None
    last: LastDecision
    past: Sequence[PastDecision] = ()
    remarks: Sequence[StatusCondition] = ()
    problem: str | None = None
    gaps: Sequence[LogGap] = ()


def explanation_of_status(name: str, policy: AnyPolicy, status: PolicyStatus) -> Explanation | None:
    """The explanation from a status; None before the first decision."""
    if status.last_decision is None:
        return None
    in_force = policy.policy if isinstance(policy, StoredPolicy) else None
    past, remarks = status.past_decisions, remarks_of(status)
    return Explanation(name, in_force, status.last_decision, past, remarks, policy.problem)


def explanation_of_log(records: Iterable[LogLine], name: str, at_most: int, file: str) -> Explanation:
    """The explanation of one policy from a log, in at most ``at_most`` lines.

    Raises:
        InputError: the log has no decision of it, or none after the line that holds the policy.
    """
    policy: ScalingPolicy | None = None
    past: tuple[PastDecision, ...] = ()
    newest: DecisionRecord | None = None
    others: set[str] = set()
    gaps: list[LogGap] = []
    before: tuple[PastDecision, ...] = ()
    for record in records:
        if isinstance(record, LogGap):
            gaps.append(record)
            before, past = (*before, *past)[-at_most:], ()  # equal decisions on both sides are not in a row
            continue
        if record.policy_name != name:
            others.add(record.policy_name)
            continue
        policy, newest = record.policy or policy, record
        past = append_decision(past, record.now, record.decision, record.action, at_most)
    if newest is None:
        raise InputError([Diagnostic(file, None, "", without_decision(name, others))])
    if policy is None:
        whose = f" of {name}" if name else ""
        message = f"holds no line with the policy{whose}: was its beginning cut off?"
        raise InputError([Diagnostic(file, None, "", message)])
    last = last_decision(policy.spec, newest.now, newest.decision, newest.action, newest.note)
    return Explanation(name, policy, last, (*before, *past)[-at_most:], gaps=gaps)


def without_decision(name: str, others: Collection[str]) -> str:
    """The error of a log without a decision of a policy; ``others``: the policies that it has."""
    if not others:
        return "is empty: it holds no decision"
    there = ", ".join(sorted(others))
    if not name:
        return f"holds no decision without a policy's name: name one of {there}"
    return f"holds no decision of {name}" + (f": there are {there}" if there else "")


def render(story: Explanation) -> Iterator[str]:
    """The explanation, line by line."""
    yield from _head(story)
    yield ""
    *before, now = story.past or (None,)
    yield from _decision(story.last, now)
    if before:
        yield ""
        yield "before that:"
        yield from (f"  {_line(one)}" for one in reversed(before) if one)


def _head(story: Explanation) -> Iterator[str]:
    title = story.name or "the policy"
    if story.policy is not None:
        spec = story.policy.spec
        ref = spec.scale_target_ref
        title += f": {ref.kind} {ref.name}, {spec.min_replicas} to {spec.max_replicas} replicas, {spec.mode}"
    yield title
    if story.problem is not None:
        yield f"  the newest edit is not in force: {story.problem}"
    for one in story.remarks:
        if one.type == ConditionType.ACCEPTED and one.message == story.problem:
            continue
        since = to_rfc3339(one.last_transition_time)
        yield f"  {one.type} is {one.status} since {since}: {one.reason}: {one.message}"
    for gap in story.gaps:
        until = shown_time(gap.now)
        yield f"  until {until} the log lost {gap.lost} decisions of all policies: {gap.reason}"


def _decision(decision: LastDecision, run: PastDecision | None) -> Iterator[str]:
    """The newest decision; ``run``: those before it with the same outcome, and itself."""
    times = f" ({run.count} times since {shown_time(run.since)})" if run and run.count > 1 else ""
    yield (
        f"{shown_time(decision.time)}  {_change(decision.current_replicas, decision.desired_replicas)}"
        f"  {_WORDS[decision.action]}{times}: {decision.reason}: {decision.message}"
    )
    width = max([len(metric.name) for metric in decision.metrics] + [10])
    for metric in decision.metrics:
        yield f"  {metric.name:<{width}}  {_metric(metric)}"
        yield from (f"  {'':<{width}}    {line}" for line in _gaps(metric))
    for step in decision.steps:
        yield f"  {step.stage:<{width}}  {step.replicas:>3}  {step.reason}: {step.message}"
    if decision.note:
        yield f"  {'then':<{width}}  {decision.note}"


def _metric(metric: MetricStatus) -> str:
    if metric.replicas is None and metric.reason in ABSTAINING:
        return f"abstains: {metric.reason}: {metric.message}"
    if metric.replicas is None:
        return f"unusable: {metric.reason}: {metric.message}"
    samples = f"{metric.used} sample{'' if metric.used == 1 else 's'}"
    if metric.role is Role.GUARD and not parse_quantity(metric.target):  # guards.rejectedRequests
        return f"{_number(metric.value)}: holds {metric.replicas or 'nothing'} ({samples})"
    verb = "could be carried by" if metric.role is Role.GUARD else "wants"
    return f"{_number(metric.value)} against {_number(metric.target)}: {verb} {metric.replicas} ({samples})"


def _number(quantity: str | None) -> str:
    return "nothing" if quantity is None else f"{float(parse_quantity(quantity)):g}"


def _gaps(metric: MetricStatus) -> Iterator[str]:
    if metric.missing:
        yield f"{metric.missing} without a usable sample: {_some(metric.missing_pods, metric.missing)}"
    if metric.rejected:
        yield f"{metric.rejected} rejected: {_some(metric.rejected_samples, metric.rejected)}"


def _some(names: Sequence[str], count: int) -> str:
    return ", ".join(names) + (" …" if count > len(names) else "")


def _line(past: PastDecision) -> str:
    when = shown_time(past.since)
    times = ""
    if past.count > 1:
        times = f" ({past.count} times, until {shown_time(past.until)})"
    change = _change(past.current_replicas, past.desired_replicas)
    return f"{when}  {change}  {_WORDS[past.action]}{times}: {past.reason}: {past.message}"


def _change(current: int, desired: int) -> str:
    return f"{current} -> {desired}" if current != desired else f"{current}"


def shown_time(seconds: float) -> str:
    """A date, or for a simulator's second its hours, minutes and seconds."""
    if seconds >= _A_YEAR:
        return to_rfc3339(seconds)
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02d}:{minutes:02d}:{rest:04.1f}"
