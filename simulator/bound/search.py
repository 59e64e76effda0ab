"""The fewest replica-hours for a goal: prices of a miss are tried until full replays reach it.

Each point is a full replay of its plan. What a replay saw corrects the table for the next price, so
that later plans know what start-ups and leftover queues did to earlier ones. Fixed numbers of replicas
are candidates too, so that the bound is never dearer than the cheapest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from typing import NamedTuple

from simulator.bound.follow import Followed
from simulator.bound.processes import WorkerProcesses, workers
from simulator.bound.programme import Passage, Plan, Programme, passages
from simulator.bound.trace_windows import WINDOW_S, Misses, windows
from simulator.bound.workload import BoundWorkload


class Rounds(NamedTuple):
    """Rounds of two replays each towards one goal: by price, then between the two plans nearest to it."""

    prices: int
    splices: int


TO_THE_GOAL, TO_THE_FRONTIER = Rounds(6, 3), Rounds(2, 1)
"""The first goal is asked for; the others are points of the frontier and have its replays behind them."""

CLOSE = 1.05
"""Prices whose ratio is below this give plans that differ by luck alone."""

_CHEAPEST, _DEAREST = 0.01, 1e6
"""Prices of a miss in replica-seconds beyond which no plan changes."""

FRONTIER = (0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 0.9999)

Progress = Callable[[str, float], None]
"""Told the name of the stage and the share of it that is done."""


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One plan and its full replay.

    ``planned``: the attainment that the programme expected, over avoidable requests as
    ``attainment``. ``replicas``: the mean. ``fixed``: one number of replicas throughout.
    """

    attainment: float
    attainment_of_all: float
    planned: float
    replica_hours: float
    replicas: float
    plan: Plan

    @property
    def fixed(self) -> bool:
        """Whether it is one number of replicas throughout."""
        return len(set(self.plan)) == 1


@dataclass(frozen=True, slots=True)
class Bound:
    """What a known future reaches.

    ``best``: the cheapest point that reaches the goal, None where none does. ``cheapest_fixed``: the
    fewest replicas that reach it by themselves, as a point. ``points``: all that was replayed, by
    replica-hours. ``unavoidable``: requests that even an idle replica misses, of ``requests``.
    """

    goal: float
    best: FrontierPoint | None
    cheapest_fixed: FrontierPoint | None
    points: tuple[FrontierPoint, ...]
    requests: int
    unavoidable: int

    @property
    def frontier(self) -> tuple[FrontierPoint, ...]:
        """The points that no other one beats in both attainment and replica-hours, cheapest first."""
        found: list[FrontierPoint] = []
        for point in sorted(self.points, key=lambda one: (one.replica_hours, -one.attainment)):
            if not found or point.attainment > found[-1].attainment:
                found.append(point)
        return tuple(found)


def search_bound(
    workload: BoundWorkload,
    goals: Sequence[float],
    *,
    processes: int | None = None,
    progress: Progress = lambda _stage, _share: None,
) -> Bound:
    """The bound at the first of ``goals`` (attainments over avoidable requests, 0 to 1).

    Further goals add points to the frontier. ``processes``: None takes all processors. Equal
    arguments give equal results, whatever the number of processes.
    """
    with workers(workload, processes) as crew:
        search = _Search(workload, crew, _table(workload, crew, progress))
        for index, goal in enumerate(goals):
            progress("plans", index / len(goals))
            search.fixed(goal)
            search.approach(goal, TO_THE_FRONTIER if index else TO_THE_GOAL)
        progress("plans", 1.0)
    return search.result(goals[0])


def _table(workload: BoundWorkload, crew: WorkerProcesses, progress: Progress) -> list[Misses]:
    parts = windows(workload)
    table = []
    for misses in crew.table(parts):
        table.append(misses)
        progress("windows", len(table) / len(parts))
    return table


class _Search:
    """The points so far, and what they taught."""

    def __init__(self, workload: BoundWorkload, crew: WorkerProcesses, table: list[Misses]) -> None:
        self._workload = workload
        self._crew = crew
        self._programme = Programme(table, workload.startup_s)
        self._windows = len(table)
        self._seen: dict[Passage, float] = {}
        self._points: dict[Plan, FrontierPoint] = {}
        self._attained: dict[float, float] = {}

    def fixed(self, goal: float) -> None:
        """Finds the fewest replicas that reach the goal by themselves."""
        low, high = 0, self._programme.most
        expected = next((n for n in range(1, high + 1) if self._expected(self._constant(n)) >= goal), high)
        low, high = max(1, expected - 1), expected
        while self._replay([self._constant(high)])[0].attainment < goal and high < 2 * self._programme.most:
            low, high = high + 1, high + max(1, high // 8)
        while low > 1 and self._replay([self._constant(low)])[0].attainment >= goal:
            low, high = low - max(1, low // 8), low
        while high - low > 1:
            middle = (low + high) // 2
            if self._replay([self._constant(middle)])[0].attainment >= goal:
                high = middle
            else:
                low = middle

    def approach(self, goal: float, rounds: Rounds) -> None:
        """Tries prices until the cheapest one that reaches the goal is known closely."""
        low, high = self._bracket(goal)
        for _ in range(rounds.prices):
            prices = _between(low, high, goal)
            for price, point in zip(prices, self._replay(self._plans(prices)), strict=True):
                self._attained[price] = point.attainment
            low, high = self._bracket(goal)
            if low is not None and high is not None and high / low < CLOSE:
                break
        self._splice(goal, rounds.splices)

    def _splice(self, goal: float, rounds: int) -> None:
        """Prices reach no plan between two that are equally dear, so those are pieced together.

        Up to some window the plan that just fails is followed, from there on the one that reaches the
        goal; the window is found by trying.
        """
        for _ in range(rounds):
            reached = min(
                (one for one in self._points.values() if one.attainment >= goal), key=_cost, default=None
            )
            below = (
                one
                for one in self._points.values()
                if one.attainment < goal and reached and _cost(one) < _cost(reached)
            )
            failed = max(below, key=lambda one: (one.attainment, -one.replica_hours), default=None)
            if reached is None or failed is None:
                return
            self._replay(list(_pieced(failed.plan, reached.plan)))

    def _bracket(self, goal: float) -> tuple[float | None, float | None]:
        """The dearest price that failed and the cheapest dearer one that reached the goal."""
        reached = [price for price, attained in self._attained.items() if attained >= goal]
        high = min(reached, default=None)
        failed = [p for p, a in self._attained.items() if a < goal and (high is None or p < high)]
        return max(failed, default=None), high

    def _plans(self, prices: Iterable[float]) -> list[Plan]:
        return [self._programme.cheapest(price, self._seen) for price in prices]

    def _replay(self, plans: Sequence[Plan]) -> list[FrontierPoint]:
        """Full replays of plans; a plan that was replayed before is not replayed again."""
        new = [plan for plan in dict.fromkeys(plans) if plan not in self._points]
        for plan, followed in zip(new, self._crew.follow(new), strict=True):
            self._points[plan] = self._learn(plan, followed)
        return [self._points[plan] for plan in plans]

    def _learn(self, plan: Plan, followed: Followed) -> FrontierPoint:
        planned = self._expected(plan)
        self._programme.drain_s = self._drain_s(plan, followed)
        for step, missed in zip(passages(plan), followed.misses_by_window, strict=True):
            self._seen[step] = missed
        return FrontierPoint(
            attainment=followed.attainment,
            attainment_of_all=followed.attainment_of_all,
            planned=planned,
            replica_hours=followed.replica_s / 3600.0,
            replicas=followed.mean_replicas,
            plan=plan,
        )

    def _drain_s(self, plan: Plan, followed: Followed) -> float:
        """Seconds that a replica was still billed for after it was taken away, averaged with before."""
        ups = sum(max(0, after - before) for before, after in pairwise(plan))
        downs = sum(max(0, before - after) for before, after in pairwise(plan))
        if not downs:
            return self._programme.drain_s
        served_s = sum(plan[:-1]) * WINDOW_S + plan[-1] * (followed.end_s - (len(plan) - 1) * WINDOW_S)
        drain_s = max(0.0, followed.replica_s - served_s - self._workload.startup_s * ups) / downs
        return drain_s if not self._programme.drain_s else (self._programme.drain_s + drain_s) / 2

    def _expected(self, plan: Plan) -> float:
        avoidable = self._workload.avoidable
        return 1.0 - self._programme.misses(plan, self._seen) / avoidable if avoidable else 1.0

    def _constant(self, replicas: int) -> Plan:
        return (replicas,) * self._windows

    def result(self, goal: float) -> Bound:
        """What was found."""
        points = sorted(self._points.values(), key=lambda point: (point.replica_hours, point.plan))
        reached = [point for point in points if point.attainment >= goal]
        return Bound(
            goal=goal,
            best=next(iter(reached), None),
            cheapest_fixed=next((point for point in reached if point.fixed), None),
            points=tuple(points),
            requests=len(self._workload.requests),
            unavoidable=self._workload.unavoidable,
        )


def _cost(point: FrontierPoint) -> tuple[float, Plan]:
    return point.replica_hours, point.plan


def _pieced(failed: Plan, reached: Plan) -> Iterator[Plan]:
    """Two plans that go over from the one to the other after a third and two thirds of what differs."""
    different = [index for index in range(len(failed)) if failed[index] != reached[index]]
    for part in (1, 2):
        seam = different[len(different) * part // 3]
        yield failed[:seam] + reached[seam:]


def _between(low: float | None, high: float | None, goal: float) -> list[float]:
    """Two prices to try next, evenly apart on a logarithmic scale."""
    if low is None and high is None:
        usual = 0.25 / max(1.0 - goal, 1e-5)
        return [usual / 2, usual * 2]
    if low is None:
        assert high is not None
        return [max(_CHEAPEST, high / 6), max(_CHEAPEST, high / 2.5)]
    if high is None:
        return [min(_DEAREST, low * 2.5), min(_DEAREST, low * 6)]
    third = log(high / low) / 3
    return [low * exp(third), low * exp(2 * third)]
