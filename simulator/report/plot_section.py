"""The figures of a run: a caption, a place of fixed size for the plot, and its data as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulator.number_formats import clock, limit
from simulator.report.markup import Markup, element
from simulator.run.result import RunResult


@dataclass(frozen=True, slots=True)
class Figure:
    """One plot. ``kind``: its drawing function in plots.js; ``spoken``: its text for screen readers."""

    kind: str
    title: str
    remark: str
    spoken: str


def plot(figure: Figure, run: int | None = None) -> Markup:
    """A figure; the page's script finds it by ``data-plot`` and ``data-run``."""
    heading = element("h3", figure.title)
    place = element("div", class_="plot", role="img", aria_label=f"{figure.title}. {figure.spoken}")
    rows = element(
        "details", element("summary", "Data as a table"), element("div", class_="data"), class_="alternative"
    )
    caption = element("figcaption", heading, element("p", figure.remark))
    owner = {} if run is None else {"data_run": run}
    return element("figure", caption, place, rows, data_plot=figure.kind, **owner)


def run_figures(result: RunResult) -> Iterator[Figure]:
    """The plots of one run, in reading order."""
    yield _demand(result)
    yield _load(result)
    yield Figure(
        "ttft",
        "Time to first token",
        "By arrival time. The dashed line is the SLO; red ticks are requests that missed it, "
        "rejected and unfinished ones included.",
        f"Median and 95th percentile against the limit of {limit(result.slo.ttft_s)}.",
    )
    yield Figure(
        "tpot",
        "Time per output token",
        "After the first token. The dashed line is the SLO; red ticks are requests that missed it.",
        f"Median and 95th percentile against the limit of {limit(result.slo.tpot_s)}.",
    )
    yield Figure(
        "cost",
        "Cost",
        "A replica is billed from its order to the end of its drain, also while it starts.",
        f"Billed replicas by phase and cumulative GPU-hours over {clock(result.end_s)}.",
    )
    yield Figure(
        "lives",
        "Life of each replica",
        "Its start in phases (waiting for a node, node, image, weights, engine), then ready and "
        "draining. A row is reused after its replica has ended.",
        f"{len(result.replicas)} replicas, each from its order to the end of its drain.",
    )


def comparison_figures() -> Iterator[Figure]:
    """The plots with one line per run."""
    yield Figure(
        "compare-ready",
        "Ready replicas",
        "Replicas that could serve requests, in each run.",
        "One line per run.",
    )
    yield Figure(
        "compare-attainment",
        "SLO attainment",
        "Share of requests that met both limits, by arrival time.",
        "One line per run.",
    )
    yield Figure(
        "compare-cost", "GPU-hours", "GPU-hours used since the start of the run.", "One rising line per run."
    )


def _demand(result: RunResult) -> Figure:
    peak = max((point.demand_rps for point in result.timeline), default=0.0)
    most = max((point.ready for point in result.timeline), default=0)
    return Figure(
        "demand",
        "Demand and replicas",
        "Arrivals per second (area), and the replicas desired, ordered and ready to serve. "
        "The gap between ordered and ready is the start-up delay.",
        f"Demand peaks at {peak:.3g} requests per second; at most {most} replicas are ready.",
    )


def _load(result: RunResult) -> Figure:
    waiting = max((point.waiting for point in result.timeline), default=0)
    queued = max((point.gateway_queue for point in result.timeline), default=0)
    return Figure(
        "load",
        "Running, waiting and KV cache",
        "Requests in the replicas' batches, in their queues, and at the gateway while no replica "
        "is ready; KV-cache usage is the mean over ready replicas.",
        f"At most {waiting} requests wait in replicas and {queued} at the gateway.",
    )
