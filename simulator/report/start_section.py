"""The times of the starts: mean and slowest of every phase, and the pods that waited for a node."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.number_formats import counted, latency, share
from simulator.report.markup import Markup, element, table
from simulator.run.billing import pending_remark
from simulator.startup.replica_life import ReplicaLife, StartPhases

_TITLES = {
    "waiting_s": "Waiting for a node",
    "node_s": "Node",
    "image_s": "Image",
    "weights_s": "Weights",
    "engine_s": "Engine",
}


def start_section(lives: Sequence[ReplicaLife]) -> Markup:
    """The table of completed starts, and the pods that waited for a node; empty without either."""
    starts = [life.start for life in lives if life.start is not None and life.ready_s is not None]
    pending = pending_remark(lives)
    if not starts and not pending:
        return Markup("")
    completed = f"{counted(len(starts), 'completed start')}."
    lead = f"{completed} Pending: {pending}." if pending else completed
    heading = element("h3", "Start-up times")
    return element("section", heading, element("p", lead, class_="lead"), _table(starts) if starts else "")


def _table(starts: Sequence[StartPhases]) -> Markup:
    phases = {title: [getattr(start, name) for start in starts] for name, title in _TITLES.items()}
    totals = [sum(seconds) for seconds in zip(*phases.values(), strict=True)]
    return table(
        ("Phase", "Mean", "Slowest", "Share"),
        [_row(title, seconds, sum(totals)) for title, seconds in (phases | {"All": totals}).items()],
        caption="Start-up times by phase",
        class_="comparison",
    )


def _row(title: str, seconds: list[float], whole: float) -> Markup:
    cells = (
        latency(sum(seconds) / len(seconds)),
        latency(max(seconds)),
        share(sum(seconds) / whole if whole else None),
    )
    numbers = (element("td", cell, class_="number") for cell in cells)
    return element("tr", element("th", title, scope="row"), *numbers)
