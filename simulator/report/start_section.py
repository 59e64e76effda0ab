"""Where the starts' seconds went, as a small table: mean and slowest of every phase."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.report.formats import latency, share
from simulator.report.markup import Markup, element, table
from simulator.result import ReplicaLife

_TITLES = {
    "waiting_s": "No node to be had",
    "node_s": "Node",
    "image_s": "Image",
    "weights_s": "Weights",
    "engine_s": "Engine",
}


def start_section(lives: Sequence[ReplicaLife]) -> Markup:
    """The table; nothing for a run in which no start came to its end."""
    starts = [life.start for life in lives if life.start is not None and life.ready_s is not None]
    if not starts:
        return Markup("")
    phases = {title: [getattr(start, name) for start in starts] for name, title in _TITLES.items()}
    totals = [sum(seconds) for seconds in zip(*phases.values(), strict=True)]
    grid = table(
        ("Phase", "Mean", "Slowest", "Share"),
        [_row(title, seconds, sum(totals)) for title, seconds in (phases | {"All": totals}).items()],
        caption="Where the starts' seconds went",
        class_="comparison",
    )
    count = len(starts)
    lead = f"{count:,} start{'' if count == 1 else 's'} came to the end."
    return element("section", element("h3", "Where the starts went"), element("p", lead, class_="lead"), grid)


def _row(title: str, seconds: list[float], whole: float) -> Markup:
    cells = (
        latency(sum(seconds) / len(seconds)),
        latency(max(seconds)),
        share(sum(seconds) / whole if whole else None),
    )
    numbers = (element("td", cell, class_="number") for cell in cells)
    return element("tr", element("th", title, scope="row"), *numbers)
