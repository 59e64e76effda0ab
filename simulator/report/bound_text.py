"""A bound for the terminal: plain text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from simulator import number_formats as formats
from simulator.bound.search import FRONTIER

_WIDTH = 80

CHECKED_UP_TO = 0.995
"""The highest goal for which bounds were held against all plans (docs/bound.md)."""

_GAP = 0.25
"""Of the misses that the goal allows: a larger difference between the plan and its replay is reported."""


def render_bound(document: dict[str, Any], *, frontier: bool) -> str:
    """The goal's plan in a few sentences; with ``frontier``, the replicas for each goal of the frontier."""
    lines = [line for text in sentences(document) for line in _wrap(text)]
    if frontier:
        lines += ["", *_table(document["frontier"])]
    return "\n".join(lines) + "\n"


def sentences(document: dict[str, Any]) -> Iterator[str]:
    """A bound in words, one sentence or two at a time."""
    goal = formats.goal(document["goal"])
    best = document["best"]
    if document["unavoidable"] == document["requests"]:
        yield "No request can meet the SLO: each one misses even on an idle replica."
        return
    if best is None:
        best_seen = max(point["attainment"] for point in document["frontier"])
        yield f"No plan was found that reaches {goal}: the best one reaches {formats.share(best_seen)}."
    else:
        cost = formats.dollars(document["goal_cost_usd"])
        yield (
            f"Reaching {goal} takes {document['goal_replicas']:.2f} replicas on average when the future "
            f"is known: {formats.decimal(document['goal_gpu_hours'])} GPU-hours"
            + (f", {cost}" if document["goal_cost_usd"] else "")
            + f". Planned {formats.share(best['planned_attainment'])}, "
            f"replayed {formats.share(best['attainment'])}."
        )
        if abs(best["planned_attainment"] - best["attainment"]) > _GAP * (1.0 - document["goal"]):
            yield (
                f"The two differ by more than {formats.goal(_GAP)} of the misses that the goal "
                "allows: leftover queues and start-ups count much here, and a cheaper plan may well exist."
            )
        if document["goal"] > CHECKED_UP_TO:
            yield (
                f"Above {formats.goal(CHECKED_UP_TO)} a handful of misses decides: how much cheaper another "
                "plan could be is not known."
            )
    fixed = document["cheapest_fixed"]
    if fixed is not None:
        reached = formats.share(fixed["attainment"])
        yield f"The fewest fixed replicas that reach it: {fixed['plan']} ({reached})."
    missed = document["unavoidable"]
    if missed:
        yield (
            f"{missed:,} of {document['requests']:,} requests miss even on an idle replica; "
            "they do not count."
        )


def _table(points: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"{'goal':>8}{'attainment':>12}{'planned':>12}{'replicas':>12}{'replica-hours':>16}"
    for goal in FRONTIER:
        point = cheapest(points, goal)
        if point is None:
            yield f"{formats.goal(goal):>8}{formats.NOTHING:>12}"
            continue
        yield (
            f"{formats.goal(goal):>8}{formats.share(point['attainment']):>12}"
            f"{formats.share(point['planned_attainment']):>12}"
            f"{point['replicas']:>12.2f}{point['replica_hours']:>16.2f}"
        )


def cheapest(points: Sequence[dict[str, Any]], goal: float) -> dict[str, Any] | None:
    """The first of a frontier's points that reaches a goal; None where none does."""
    return next((point for point in points if point["attainment"] >= goal), None)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH)
