"""A bound as a page: its sentences, the plan beside the demand, and the frontier."""

from __future__ import annotations

from typing import Any

from simulator import number_formats as formats
from simulator.report.bound_text import sentences
from simulator.report.chart import (
    SECONDS,
    bottom_axis,
    chart,
    dot,
    horizontal,
    left_axis,
    line,
    right_axis,
    steps,
    vertical,
)
from simulator.report.html import head
from simulator.report.markup import Markup, element, join, table

Document = dict[str, Any]


def render_bound_html(document: Document) -> str:
    """One file that needs nothing else, not even a script. Equal documents give equal text."""
    title = f"Bound of {document['inputs']['trace']} at {formats.goal(document['goal'])}"
    parts = (
        element("header", element("p", "autoscale bound", class_="kicker"), element("h1", title)),
        element(
            "main",
            *(element("p", text, class_="opening") for text in sentences(document)),
            _plan(document),
            _frontier(document),
        ),
    )
    page = element("html", element("head", *head(title)), element("body", join(parts)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _plan(document: Document) -> Markup:
    """The replicas of each window over its arrivals; nothing where no plan reaches the goal."""
    best = document["best"]
    if best is None:
        return Markup("")
    window_s = document["window_s"]
    rates = [count / window_s for count in document["requests_by_window"]]
    plan = best["plan"] if isinstance(best["plan"], list) else [best["plan"]] * len(rates)
    edges = [index * window_s for index in range(len(rates) + 1)]
    time, replicas = horizontal(0.0, edges[-1]), vertical(0.0, 1.1 * max(plan))
    demand = vertical(0.0, 1.1 * max(rates))
    area = [(time(x), demand(y)) for x, y in [(0.0, 0.0), *steps(edges, rates), (edges[-1], 0.0)]]
    return _section(
        "Plan and demand",
        f"Blue, left: the replicas of each {window_s:g} s. Grey, right: requests per second.",
        chart(
            f"At most {max(plan)} replicas; demand peaks at {max(rates):.3g} requests per second.",
            line("demand", area),
            *left_axis(replicas, lambda value: f"{value:g}", steps=(1.0,)),
            *right_axis(demand, lambda value: f"{value:g}"),
            *bottom_axis(time, formats.clock, SECONDS),
            line("plan", [(time(x), replicas(y)) for x, y in steps(edges, plan)]),
        ),
    )


def _frontier(document: Document) -> Markup:
    """Attainment against replica-hours: plans, fixed numbers, and the goal's line; nothing without plans."""
    plans, goal = document["frontier"], document["goal"]
    if not plans:
        return Markup("")
    fixed = [point for point in document["fixed"] if point["attainment"] >= plans[0]["attainment"]]
    points = [*plans, *fixed]
    hours = horizontal(*_around([point["replica_hours"] for point in points]))
    reached = vertical(*_around([goal, *(point["attainment"] for point in points)]))
    corners = [(hours(point["replica_hours"]), reached(point["attainment"])) for point in plans]
    goal_y = reached(goal)
    return _section(
        "Frontier",
        "Replica-hours against attainment. Blue: what a known future reaches; orange rings: fixed numbers "
        f"of replicas; green: the goal of {formats.goal(goal)}.",
        chart(
            f"{len(plans)} plans and {len(fixed)} fixed numbers of replicas around the goal.",
            *left_axis(reached, lambda value: f"{100 * value:g}%"),
            *bottom_axis(hours, lambda value: f"{value:g} h"),
            line("goal", [(hours.start, goal_y), (hours.end, goal_y)]),
            line("plan", corners),
            *(dot("point", x, y, _describe(point)) for (x, y), point in zip(corners, plans, strict=True)),
            *(
                dot("fixed", hours(point["replica_hours"]), reached(point["attainment"]), _describe(point))
                for point in fixed
            ),
        ),
        table(
            ("Attainment", "Planned", "Replicas", "Replica-hours", "Fixed"),
            (element("tr", *(element("td", cell) for cell in _cells(point))) for point in points),
            caption="Points of the frontier, and fixed numbers",
        ),
    )


def _around(values: list[float]) -> tuple[float, float]:
    """The range of values with a little room."""
    room = 0.05 * (max(values) - min(values))
    return min(values) - room, max(values) + room


def _cells(point: Document) -> tuple[str, ...]:
    fixed = "" if isinstance(point["plan"], list) else str(point["plan"])
    shares = formats.share(point["attainment"]), formats.share(point["planned_attainment"])
    return (*shares, formats.decimal(point["replicas"]), formats.decimal(point["replica_hours"]), fixed)


def _describe(point: Document) -> str:
    return f"{formats.share(point['attainment'])} with {formats.decimal(point['replicas'])} replicas"


def _section(title: str, remark: str, *parts: Markup) -> Markup:
    return element("section", element("h2", title), element("p", remark, class_="lead"), *parts)
