"""Settings of a policy that kept a run from its goal or made it dear, each with the field to change."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from autoscaler.api.models import Role, Spec
from autoscaler.decision.types import Reason
from simulator.number_formats import counted, latency
from simulator.run.decision_counts import DecisionCounts, Moment
from simulator.startup.replica_life import ReplicaLife
from simulator.verdict.goal import Verdict

REGRET_S = 600.0
"""A replica that is ordered so soon after one was removed could have stayed."""

BLIND_S = 60.0
"""A fallback after less time is not a finding: before the first scrapes there are no metrics."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``field``: the path in the policy that would change it; ``message``: a sentence."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Course:
    """A policy's run: its decisions, its requests, and the start-up time of a replica.

    ``lives``: the replicas that were ordered.
    """

    spec: Spec
    counts: DecisionCounts
    verdict: Verdict
    startup_s: float
    lives: Sequence[ReplicaLife] = ()

    def missed_between(self, begin_s: float, end_s: float) -> bool:
        """True if avoidable requests that arrived in this time missed."""
        missed = self.verdict.avoidable_misses_s
        return bisect_right(missed, end_s) > bisect_left(missed, begin_s)

    def would_have_helped(self, moment: Moment) -> bool:
        """True if requests missed while a replica of this sync would serve, and one of the next not yet."""
        ready_s = moment.now + self.startup_s
        return self.missed_between(ready_s, ready_s + self.spec.sync_period_seconds)


def findings(course: Course) -> list[Finding]:
    """All findings, in the order of the rules in this file.

    Without writing, nothing is ordered or removed: what came of that is not asked.
    """
    of_decisions = (_targets_never_reached, _most_replicas_reached, _held_back, _without_metrics)
    of_orders = (_periods_shorter_than_a_start, _waited_for_nodes, _removed_too_early)
    rules = of_decisions + (of_orders if course.counts.written else ())
    return [finding for rule in rules for finding in rule(course)]


def _periods_shorter_than_a_start(course: Course) -> Iterator[Finding]:
    """Without the credit of pending replicas each period orders replicas again that are still starting."""
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
    """Targets that are too high; a run that holds its goal does not need a lower one."""
    if course.verdict.holds:
        return
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
        asked = "asked" if course.counts.written else "would have asked"
        minutes = counted(max(1.0, reached * course.spec.sync_period_seconds / 60), "minute")
        yield Finding(
            "spec.maxReplicas",
            f"the metrics {asked} for more than {counted(course.spec.max_replicas, 'replica')} for {minutes}",
        )


_FIELDS = {
    Reason.SCALE_UP_LIMIT: "spec.behavior.scaleUp.policies",
    Reason.SCALE_UP_STABILIZED: "spec.behavior.scaleUp.stabilizationWindowSeconds",
    Reason.FROZEN: "spec.freeze",
}


def _held_back(course: Course) -> Iterator[Finding]:
    held = Counter(
        moment.held_back
        for moment in course.counts.course
        if moment.held_back in _FIELDS and course.would_have_helped(moment)
    )
    kept = "held back" if course.counts.written else "would have held back"
    for reason, count in held.most_common():
        if reason is not None:
            message = (
                f"{reason} {kept} replicas {_times(count)}, and requests missed when they would have served"
            )
            yield Finding(_FIELDS[reason], message)


_UNREAD = frozenset(
    {
        *(Reason.FAILED_PODS_METRIC, Reason.FAILED_OBJECT_METRIC, Reason.FAILED_EXTERNAL_METRIC),
        *(Reason.STALE_METRIC, Reason.AMBIGUOUS_SELECTOR),
    }
)


def _without_metrics(course: Course) -> Iterator[Finding]:
    """At 0 replicas no pod has metrics; elsewhere the policy's fallback could say how many to run."""
    blind = [
        moment
        for moment in course.counts.course
        if moment.reason in _UNREAD and moment.desired <= moment.current and course.would_have_helped(moment)
    ]
    at_zero = sum(moment.current == 0 for moment in blind)
    if at_zero:
        yield Finding(
            "spec.metrics",
            f"{_times(at_zero)} at 0 replicas no metric could be read, and requests missed: a metric from "
            "outside of the pods, such as gatewayQueue, sees those that wait there; or set minReplicas to 1",
        )
    others = len(blind) - at_zero
    if others * course.spec.sync_period_seconds >= BLIND_S:
        yield Finding(
            "spec.fallback",
            f"{_times(others)} no metric could be read and the replicas were kept, and requests missed",
        )


def _waited_for_nodes(course: Course) -> Iterator[Finding]:
    waits = [
        life.start.waiting_s
        for life in course.lives
        if life.start is not None and _missed_in_wait(course, life)
    ]
    if waits:
        yield Finding(
            "--nodes",
            f"{counted(len(waits), 'replica')} waited for a node, up to {latency(max(waits))}, and requests "
            "missed when they would have served: the cluster has too few nodes",
        )


def _missed_in_wait(course: Course, life: ReplicaLife) -> bool:
    """True if requests missed that a replica would have served without its wait for a node."""
    if life.start is None or life.start.waiting_s <= 0.0:
        return False
    ready_s = life.ordered_s + course.startup_s
    return course.missed_between(ready_s, ready_s + life.start.waiting_s)


def _removed_too_early(course: Course) -> Iterator[Finding]:
    count = _regretted(course.counts.course)
    if count:
        yield Finding(
            "spec.behavior.scaleDown.stabilizationWindowSeconds",
            f"{_times(count)} a replica was removed and ordered again "
            f"within {counted(REGRET_S / 60, 'minute')}",
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
