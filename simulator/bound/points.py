"""Plans that were replayed, and the bound that they make."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.bound.programme import Plan


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
        """True for one number of replicas throughout."""
        return len(set(self.plan)) == 1


@dataclass(frozen=True, slots=True)
class Bound:
    """The result of a search with a known future.

    ``best``: the cheapest point that reaches the goal, None where none does. ``cheapest_fixed``: the
    fewest replicas that reach it by themselves, as a point. ``points``: all that was replayed, by
    replica-hours, and nothing where no request can meet the SLO. ``unavoidable``: requests that even an
    idle replica misses, of ``requests``.
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
