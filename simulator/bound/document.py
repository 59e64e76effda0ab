"""A bound as the JSON document that is printed, written and cached."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from simulator.bound.points import Bound, FrontierPoint
from simulator.bound.trace_windows import WINDOW_S
from simulator.bound.workload import BoundWorkload
from simulator.number_formats import rounded

Document = dict[str, Any]


def bound_document(bound: Bound, workload: BoundWorkload) -> Document:
    """All figures of a bound, JSON-ready; a plan that does not reach the goal is None.

    ``goal_replicas`` and ``goal_replica_hours`` are those of the cheapest plan that reaches the goal; the
    hours are not rounded, as regret divides by them. ``price``: the one that was used, None without one.
    Times in seconds; attainments are over avoidable requests, 0 to 1, unless they say otherwise.
    """
    best = bound.best
    scenario = workload.scenario
    slo, price = scenario.slo, scenario.price
    hours = None if best is None else best.replica_hours * scenario.profile.gpus_per_replica
    return {
        "goal": bound.goal,
        "slo": {"ttft_s": slo.ttft_s, "tpot_s": slo.tpot_s},
        "requests": bound.requests,
        "unavoidable": bound.unavoidable,
        "startup_s": rounded(workload.startup_s),
        "window_s": WINDOW_S,
        "requests_by_window": _by_window(workload),
        "goal_replicas": None if best is None else rounded(best.replicas),
        "goal_replica_hours": None if best is None else best.replica_hours,
        "goal_gpu_hours": rounded(hours),
        "goal_cost_usd": None if hours is None or price is None else rounded(hours * price.usd_per_gpu_hour),
        "price": None if price is None else asdict(price),
        "best": None if best is None else _point(best),
        "cheapest_fixed": None if bound.cheapest_fixed is None else _point(bound.cheapest_fixed),
        "frontier": [_point(point) for point in bound.frontier],
        "fixed": [_point(point) for point in bound.points if point.fixed],
    }


def _by_window(workload: BoundWorkload) -> list[int]:
    counts = Counter(int(row[0] // WINDOW_S) for row in workload.requests)
    return [counts[window] for window in range(max(counts) + 1)]


def _point(point: FrontierPoint) -> Document:
    return {
        "attainment": rounded(point.attainment),
        "attainment_of_all": rounded(point.attainment_of_all),
        "planned_attainment": rounded(point.planned),
        "replicas": rounded(point.replicas),
        "replica_hours": rounded(point.replica_hours),
        "plan": point.plan[0] if point.fixed else list(point.plan),
    }
