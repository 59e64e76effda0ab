"""A plan replayed in full: its cost and misses with real start-ups, queues and drains."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from simulator.bound.programme import Plan
from simulator.bound.trace_windows import WINDOW_S
from simulator.bound.workload import BoundWorkload, avoidable_misses
from simulator.run.billing import replica_seconds
from simulator.run.event_loop import simulate
from simulator.run.scenario import FixedScaling, PlannedScaling


@dataclass(frozen=True, slots=True)
class Followed:
    """A full replay of a plan. ``misses_by_window``: avoidable misses by the window of their arrival.

    ``attainment``: the share of the avoidable requests that met the SLO; ``attainment_of_all``: of
    all requests.
    """

    attainment: float
    attainment_of_all: float
    replica_s: float
    end_s: float
    misses_by_window: array[int]

    @property
    def mean_replicas(self) -> float:
        """Billed replicas, averaged over the run."""
        return self.replica_s / self.end_s if self.end_s else 0.0


def orders(plan: Plan, startup_s: float) -> tuple[tuple[float, int], ...]:
    """The orders and their times: a rise a start-up before its window, a fall when its window begins.

    While a later rise is on its way, nothing is taken away.
    """
    boundaries = {index * WINDOW_S for index in range(len(plan))}
    moments = sorted(boundaries | {max(0.0, boundary - startup_s) for boundary in boundaries})
    found: list[tuple[float, int]] = []
    for moment in moments:
        first = _window_at(plan, moment)
        wanted = max(plan[first : _window_at(plan, moment + startup_s) + 1])
        if not found or found[-1][1] != wanted:
            found.append((moment, wanted))
    return tuple(found)


def _window_at(plan: Plan, moment: float) -> int:
    return min(len(plan) - 1, int(moment / WINDOW_S + 1e-9))


def follow(workload: BoundWorkload, plan: Plan) -> Followed:
    """Replays a workload with avoidable requests under a plan; one number throughout needs no orders."""
    constant = len(set(plan)) == 1
    scaling = FixedScaling(plan[0]) if constant else PlannedScaling(orders(plan, workload.startup_s))
    result = simulate(workload.requests, scaling, workload.scenario)
    by_window = array("q", [0]) * len(plan)
    for arrival_s in avoidable_misses(result.requests, workload.hopeless):
        by_window[_window_at(plan, arrival_s)] += 1
    return Followed(
        attainment=1.0 - sum(by_window) / workload.avoidable,
        attainment_of_all=1.0 - len(result.requests.missed_arrival_s) / len(workload.requests),
        replica_s=replica_seconds(result.replicas),
        end_s=result.end_s,
        misses_by_window=by_window,
    )
