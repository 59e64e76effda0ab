"""The goal's part of a simulation: where runs begin, the baseline, the bound and the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import TYPE_CHECKING

from simulator.report.review import Review
from simulator.run.billing import replica_seconds
from simulator.run.event_loop import simulate
from simulator.run.result import RunResult
from simulator.run.scenario import FixedScaling, Scenario
from simulator.verdict.fixed import MOST_REPLICAS, FixedReplicas, fewest_fixed
from simulator.verdict.goal import Goal, Verdict, judge
from simulator.verdict.unavoidable import IdleReplica

if TYPE_CHECKING:
    from autoscaler.api.models import ScalingPolicy
    from simulator.traces.rows import HashedRequest, Request

    Requests = Iterable[Request] | Iterable[HashedRequest]

BEGINNING_S = 600.0
"""``--initial-replicas auto`` looks at so much of the run."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Holds runs of one scenario against one goal.

    ``requests``: the requests of the first so many seconds, or all without a number. ``rereadable``:
    whether they can be read more than once.
    """

    scenario: Scenario
    goal: Goal
    idle: IdleReplica
    requests: Callable[[float | None], Requests]
    rereadable: bool

    def fewest_at_first(self) -> FixedReplicas | None:
        """The fewest fixed replicas for the first ten minutes alone; None without an avoidable request.

        They reach the goal, or where no number does, as much as can be reached. Replicas change nothing
        about unavoidable misses, so these do not count, whatever the goal counts.
        """
        if next(iter(self.requests(BEGINNING_S)), None) is None:
            return None
        replayed = cache(lambda replicas: self._replay(replicas, BEGINNING_S))

        def fewest(share: float) -> FixedReplicas | None:
            goal = Goal(share, "avoidable")
            return fewest_fixed(lambda replicas: self._held(replayed(replicas), goal), guess=2)

        if (found := fewest(self.goal.attainment)) is not None:
            return found
        best = self.verdict(replayed(MOST_REPLICAS)).attainment_of_avoidable
        return None if best is None else fewest(best)

    def baseline(self, results: Sequence[RunResult]) -> FixedReplicas | None:
        """The fewest fixed replicas within the nodes that reach the goal; the runs' mean is a first guess."""
        means = (replica_seconds(one.replicas) / one.end_s for one in results if one.end_s > 0)
        guess, nodes = ceil(min(means, default=1.0)), self.scenario.nodes
        most = MOST_REPLICAS if nodes is None else min(MOST_REPLICAS, nodes.most - nodes.warm)
        return fewest_fixed(lambda replicas: self._held(self._replay(replicas), self.goal), guess, most)

    def verdict(self, result: RunResult) -> Verdict:
        """A run against the goal."""
        return judge(result.requests, self.goal, self.idle)

    def _replay(self, replicas: int, seconds: float | None = None) -> RunResult:
        plain = replace(self.scenario, keep_requests=False, keep_decisions=False, keep_timeline=False)
        return simulate(self.requests(seconds), FixedScaling(replicas), plain)

    def _held(self, result: RunResult, goal: Goal) -> tuple[RunResult, Verdict]:
        return result, judge(result.requests, goal, self.idle)


def review(
    judge_: Judge,
    result: RunResult,
    policy: ScalingPolicy | None,
    baseline: FixedReplicas | None,
    *,
    baseline_sought: bool,
    bound_replica_hours: float | None,
) -> Review:
    """The verdict on a run, with findings where a policy decided."""
    verdict = judge_.verdict(result)
    found = []
    if policy is not None and result.counts is not None:
        from simulator.verdict.findings import Course, findings

        startup_s = judge_.scenario.startup.total_s(judge_.scenario.profile)
        found = findings(Course(policy.spec, result.counts, verdict, startup_s, result.replicas))
    return Review(verdict, found, baseline, baseline_sought, bound_replica_hours)


def initial_replicas(
    policy: ScalingPolicy, fewest: FixedReplicas | None, most_nodes: int | None, clock_start: float
) -> int:
    """Where a policy's run begins: the fewest replicas that hold at first, within the policy's bounds.

    ``clock_start``: the epoch second at which it begins, for schedules.
    """
    from autoscaler.decision.bounds import effective_bounds

    spec = policy.spec
    active: tuple[str, ...] = ()
    if spec.schedules:
        from autoscaler.api.schedule import active_schedules  # calendars are slow to import

        active = active_schedules(spec, clock_start)
    bounds = effective_bounds(spec, active)
    wanted = bounds.min_replicas if fewest is None else fewest.replicas
    within = min(max(wanted, bounds.min_replicas), bounds.max_replicas)
    return within if most_nodes is None else max(bounds.min_replicas, min(within, most_nodes))
