"""What in a policy kept a run from its goal or made it dear, each finding with the field to change."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from autoscaler.api.models import Role, Spec
from autoscaler.decision.types import Reason
from simulator.run.decision_counts import DecisionCounts, Moment
from simulator.verdict.goal import Verdict

REGRET_S = 600.0
"""A replica that is ordered so soon after one was removed could have stayed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``field``: the path in the policy that would change it; ``message``: a sentence."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Course:
    """A policy's run: what it decided, how its requests did, and how long a replica takes to start."""

    spec: Spec
    counts: DecisionCounts
    verdict: Verdict
    startup_s: float


def findings(course: Course) -> list[Finding]:
    """Everything that was found, in the order in which the rules stand here."""
    rules = (
        _periods_shorter_than_a_start,
        _targets_never_reached,
        _most_replicas_reached,
        _held_back_while_requests_missed,
        _removed_too_early,
    )
    return [finding for rule in rules for finding in rule(course)]


def _periods_shorter_than_a_start(course: Course) -> Iterator[Finding]:
    """Without the credit of pending replicas each period orders again what is still on its way."""
    spec, startup_s = course.spec, course.startup_s
    if spec.credits_pending:
        return
    ups = [moment.now for moment in course.counts.course if moment.desired > moment.current]
    early = sum(later - sooner < startup_s for sooner, later in pairwise(ups))
    for index, rule in enumerate(spec.scale_up.policies):
        if early and rule.period_seconds < startup_s:
            yield Finding(
                f"spec.behavior.scaleUp.policies[{index}].periodSeconds",
                f"a replica takes {startup_s:.0f} s to start, and every {rule.period_seconds} s more may be "
                f"ordered: {_times(early)} before those of the order before served",
            )


def _targets_never_reached(course: Course) -> Iterator[Finding]:
    for index, metric in enumerate(course.spec.metrics):
        highest, target = course.counts.highest.get(metric.name, (0, 0))
        if metric.role is Role.DRIVER and highest < target:
            yield Finding(
                f"spec.metrics[{index}].target",
                f"{metric.name} never reached its target of {target / 1000:g}: "
                f"its highest value was {highest / 1000:g}",
            )


def _most_replicas_reached(course: Course) -> Iterator[Finding]:
    reached = sum(moment.held_back is Reason.TOO_MANY_REPLICAS for moment in course.counts.course)
    if reached:
        minutes = reached * course.spec.sync_period_seconds / 60
        yield Finding(
            "spec.maxReplicas",
            f"the metrics asked for more than {course.spec.max_replicas} replicas for {minutes:.0f} minutes",
        )


_FIELDS = {
    Reason.SCALE_UP_LIMIT: "spec.behavior.scaleUp.policies",
    Reason.SCALE_UP_STABILIZED: "spec.behavior.scaleUp.stabilizationWindowSeconds",
    Reason.FROZEN: "spec.freeze",
}


def _held_back_while_requests_missed(course: Course) -> Iterator[Finding]:
    missed = course.verdict.avoidable_misses_s
    period_s = float(course.spec.sync_period_seconds)
    held: Counter[Reason] = Counter()
    for moment in course.counts.course:
        reason = moment.held_back
        if reason in _FIELDS and bisect_right(missed, moment.now) > bisect_left(
            missed, moment.now - period_s
        ):
            held[reason] += 1
    for reason, count in held.most_common():
        yield Finding(_FIELDS[reason], f"{reason} held back replicas {_times(count)} while requests missed")


def _removed_too_early(course: Course) -> Iterator[Finding]:
    count = _regretted(course.counts.course)
    if count:
        yield Finding(
            "spec.behavior.scaleDown.stabilizationWindowSeconds",
            f"{_times(count)} a replica was removed and ordered again within {REGRET_S / 60:.0f} minutes",
        )


def _regretted(course: Sequence[Moment]) -> int:
    """How many scale-downs were followed by a scale-up within ``REGRET_S``."""
    changes = [moment for moment in course if moment.desired != moment.current]
    return sum(
        before.desired < before.current
        and after.desired > after.current
        and after.now - before.now <= REGRET_S
        for before, after in pairwise(changes)
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
