"""The fewest replica-hours for a goal: prices of a miss are tried until full replays reach it.

Each point is a full replay of its plan. What a replay saw corrects the table for the next price, so
that later plans know what start-ups and leftover queues did to earlier ones. Fixed numbers of replicas
are candidates too, so that the bound is never dearer than the cheapest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import sqrt

from simulator.bound.fixed_plans import ROUGHLY, next_number
from simulator.bound.follow import Followed
from simulator.bound.miss_prices import CHEAPEST, DEAREST, bracket, next_price, pair, usual_price
from simulator.bound.points import Bound, FrontierPoint
from simulator.bound.processes import WorkerProcesses, workers
from simulator.bound.programme import Passage, Plan, Programme, passages
from simulator.bound.table import Table
from simulator.bound.trace_windows import WINDOW_S, window_count
from simulator.bound.workload import BoundWorkload

_ROUNDS, _SPLICES = 5, 3
"""Rounds of two replays each towards the goal: by price, then between the two plans nearest to it."""

_WEIGHTS = (0.5, 1.0, 1.0, 1.0)
"""Of what a round taught about the next one: a replay for each further goal of the frontier. The first one
corrects the table for most of the next plan."""

_PROMISE = 1.5
"""Before anything was replayed plans promise too much: a price so many times dearer is tried as well."""

_CLOSE = 1.05
"""Prices whose ratio is below this give plans that differ by luck alone."""

_NEAR = 1.01
"""Plans whose cost differs by less are not worth piecing together."""

_TINY = 1e-7

_SETTLED = 0.04
"""A further goal is reached closely when so small a part of the allowed misses is left."""

FRONTIER = (0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 0.9999)

Progress = Callable[[str, float], None]
"""Receives the name of the stage and the share of it that is done."""


def search_bound(
    workload: BoundWorkload,
    goals: Sequence[float],
    *,
    processes: int | None = None,
    progress: Progress = lambda _stage, _share: None,
) -> Bound:
    """The bound at the first of ``goals`` (attainments over avoidable requests, 0 to 1).

    Further goals add points to the frontier. Where no request can meet the SLO there are no points.
    ``processes``: None takes all processors. Equal arguments give equal results, whatever the number of
    processes.
    """
    goal, *others = dict.fromkeys(goals)
    if not workload.avoidable:  # no plan would be better than another
        return Bound(goal, None, None, (), len(workload.requests), workload.unavoidable)
    with workers(workload, processes) as crew:
        table = Table(crew, window_count(workload), usual_price(goal), partial(progress, "windows"))
        search = _Search(workload, crew, table)
        search.approach(goal)
        search.fixed(goal)
        search.outline(others)
        progress("plans", 1.0)
    return search.result(goal)


class _Search:
    """The points so far, and the experience from them."""

    def __init__(self, workload: BoundWorkload, crew: WorkerProcesses, table: Table) -> None:
        self._workload = workload
        self._crew = crew
        self._table = table
        self._programme = Programme(table.misses, workload.startup_s)
        self._windows = len(table.misses)
        self._seen: dict[Passage, float] = {}
        self._points: dict[Plan, FrontierPoint] = {}
        self._attained: dict[float, float] = {}

    def approach(self, goal: float) -> None:
        """Tries prices until the cheapest one that reaches the goal is found closely."""
        price = self._expected_price(goal, usual_price(goal))
        prices = [price, price * _PROMISE]
        for _ in range(_ROUNDS):
            self._try(prices)
            low, high = bracket(self._attained, goal)
            if low is not None and high is not None and high / low < _CLOSE:
                break
            prices = pair(next_price(self._attained, goal))
        self._splice(goal)

    def outline(self, goals: Sequence[float]) -> None:
        """Points near to further goals, with few replays for each; all goals are tried together.

        What one attained less than its plan promised, the next one has to promise more.
        """
        aims = {goal: goal for goal in goals if self._promises(DEAREST, goal)}
        prices = {goal: usual_price(goal) for goal in goals}
        for weight in _WEIGHTS:
            aims = {goal: aim for goal, aim in aims.items() if not self._is_settled(goal)}
            for goal, aim in aims.items():
                prices[goal] = self._expected_price(aim, prices[goal])
            points = self._try([prices[goal] for goal in aims])
            for goal, point in zip(aims, points, strict=True):
                aims[goal] = 1.0 - (1.0 - aims[goal]) * _excess(goal, point) ** -weight
        for goal in goals:
            self._fixed_below(goal)

    def _is_settled(self, goal: float) -> bool:
        reached = self._reached(goal)
        return reached is not None and reached.attainment - goal <= _SETTLED * (1.0 - goal)

    def _reached(self, goal: float) -> FrontierPoint | None:
        """The cheapest point that reaches a goal."""
        return min((one for one in self._points.values() if one.attainment >= goal), key=_cost, default=None)

    def _try(self, prices: Sequence[float]) -> list[FrontierPoint]:
        points = self._replay([self._plan(price) for price in prices])
        for price, point in zip(prices, points, strict=True):
            self._attained[price] = point.attainment
        return points

    def _plan(self, price: float) -> Plan:
        if self._table.cover(price):
            self._programme.learn(self._table.misses)
        return self._programme.cheapest(price, self._seen)

    def _expected_price(self, goal: float, price: float) -> float:
        """The price whose plan is expected to reach the goal, near to another one."""
        while not self._promises(price, goal) and price < DEAREST:
            price *= 2
        while price > CHEAPEST and self._promises(price / 2, goal):
            price /= 2
        low, high = price / 2, price
        while high / low > _CLOSE:
            middle = sqrt(low * high)
            low, high = (low, middle) if self._promises(middle, goal) else (middle, high)
        return high

    def _promises(self, price: float, goal: float) -> bool:
        return self._expected(self._plan(price)) >= goal

    def fixed(self, goal: float) -> None:
        """Finds the fewest replicas that reach the goal by themselves."""
        numbers = range(1, self._programme.most + 1)
        guess = next((n for n in numbers if self._expected(self._constant(n)) >= goal), numbers[-1])
        reached = self._reached(goal)
        if reached is not None:
            guess = min(guess, max(reached.plan))
        self._try_numbers(goal, guess, 2 * self._programme.most)

    def _fixed_below(self, goal: float) -> None:
        """Tries fixed numbers that would be cheaper than the plans that reach a further goal."""
        reached = self._reached(goal)
        most = 2 * self._programme.most if reached is None else int(reached.replicas)
        self._try_numbers(goal, most, most, near=ROUGHLY)

    def _try_numbers(self, goal: float, guess: int, most: int, near: float = 0.0) -> None:
        while (number := next_number(self._numbers(), goal, guess=guess, most=most, near=near)) is not None:
            self._replay([self._constant(number)])

    def _numbers(self) -> dict[int, float]:
        return {point.plan[0]: point.attainment for point in self._points.values() if point.fixed}

    def _splice(self, goal: float) -> None:
        """Pieces two equally dear plans together: no price reaches a plan between them.

        Up to some window the plan that just fails is followed, from there on the one that reaches the
        goal; the window is found by trying.
        """
        for _ in range(_SPLICES):
            reached = self._reached(goal)
            if reached is None:
                return
            below = (p for p in self._points.values() if p.attainment < goal and _cost(p) < _cost(reached))
            failed = max(below, key=lambda one: (one.attainment, -one.replica_hours), default=None)
            if failed is None or reached.replica_hours < _NEAR * failed.replica_hours:
                return
            self._replay(list(_pieced(failed.plan, reached.plan)))

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
        """The attainment; 0 where the table does not go down to so few replicas."""
        return max(0.0, 1.0 - self._programme.misses(plan, self._seen) / self._workload.avoidable)

    def _constant(self, replicas: int) -> Plan:
        return (replicas,) * self._windows

    def result(self, goal: float) -> Bound:
        """The best points found."""
        points = sorted(self._points.values(), key=_cost)
        return Bound(
            goal=goal,
            best=self._reached(goal),
            cheapest_fixed=next(
                (point for point in points if point.fixed and point.attainment >= goal), None
            ),
            points=tuple(points),
            requests=len(self._workload.requests),
            unavoidable=self._workload.unavoidable,
        )


def _cost(point: FrontierPoint) -> tuple[float, Plan]:
    return point.replica_hours, point.plan


def _excess(goal: float, point: FrontierPoint) -> float:
    """The misses as a multiple of those of a point a little above the goal."""
    return max(1.0 - point.attainment, _TINY) / ((1.0 - _SETTLED / 2) * (1.0 - goal))


def _pieced(failed: Plan, reached: Plan) -> Iterator[Plan]:
    """Two plans that go over from the one to the other after a third and two thirds of what differs."""
    different = [index for index in range(len(failed)) if failed[index] != reached[index]]
    for part in (1, 2):
        seam = different[len(different) * part // 3]
        yield failed[:seam] + reached[seam:]
