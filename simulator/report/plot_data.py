"""The data of all plots of a report, as one JSON-ready document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulator.report.latency_bins import bin_width_s, latency_bins
from simulator.report.overlay import grid, held_at, straight_at
from simulator.report.phases import lanes, phase_columns, start_edges
from simulator.report.timeline_rows import timeline_columns
from simulator.run.result import RunResult

_DIGITS = 5  # a plot is at most some thousand pixels wide and high

Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class RunPlots:
    """The plot columns of one run, by plot; ``lives`` has one column per field of a replica."""

    timeline: Columns
    latency: Columns
    phases: Columns
    lives: Columns


def plot_data(results: Sequence[RunResult]) -> dict[str, Any]:
    """The columns of every plot: ``runs`` in order, and ``comparison`` when there are several."""
    width_s = bin_width_s(max((result.end_s for result in results), default=0.0))
    plots = [_run_plots(result, width_s) for result in results]
    runs = [_run(result, one) for result, one in zip(results, plots, strict=True)]
    document: dict[str, Any] = {"bin_s": width_s, "runs": runs}
    if len(results) > 1:
        document["comparison"] = _comparison(max(result.end_s for result in results), plots)
    return document


def script_json(document: dict[str, Any]) -> str:
    """JSON that is safe inside a ``<script>``: no ``<`` at all, and ASCII only."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _run_plots(result: RunResult, width_s: float) -> RunPlots:
    lives = result.replicas
    return RunPlots(
        timeline=_short(timeline_columns(result.timeline)),
        latency=_short(latency_bins(result.requests, result.slo, width_s)),
        phases=_short(phase_columns(lives, result.end_s, result.gpus_per_replica)),
        lives={
            "lane": lanes(lives),
            "name": [life.name for life in lives],
            "start": [None if edges is None else _shorten(edges) for edges in map(start_edges, lives)],
            **_short(
                {
                    "ordered": [life.ordered_s for life in lives],
                    "ready": [life.ready_s for life in lives],
                    "drain": [life.drain_s for life in lives],
                    "ended": [life.ended_s for life in lives],
                }
            ),
        },
    )


def _run(result: RunResult, plots: RunPlots) -> dict[str, Any]:
    return {
        "label": result.label,
        "end": result.end_s,
        "slo": {"ttft": result.slo.ttft_s, "tpot": result.slo.tpot_s},
        "timeline": plots.timeline,
        "latency": plots.latency,
        "phases": plots.phases,
        "lives": plots.lives,
    }


def _comparison(end_s: float, plots: Sequence[RunPlots]) -> dict[str, Any]:
    moments = grid(end_s)
    bins = max((one.latency["time"] for one in plots), key=len)
    return {
        "time": _shorten(moments),
        "ready": [_on_grid(held_at, one.timeline, "ready", moments) for one in plots],
        "gpu_hours": [_on_grid(straight_at, one.phases, "gpu_hours", moments) for one in plots],
        "bins": bins,
        "attainment": [_shorten(_attainment(one.latency, len(bins))) for one in plots],
    }


def _on_grid(sample: Any, columns: Columns, name: str, moments: list[float]) -> list[Any]:
    return _shorten(sample(columns["time"], columns[name], moments))


def _attainment(latency: Columns, bins: int) -> list[float | None]:
    shares: list[float | None] = [
        1 - missed / arrived if arrived else None
        for missed, arrived in zip(latency["missed"], latency["arrived"], strict=True)
    ]
    return shares + [None] * (bins - len(shares))


def _short(columns: dict[str, list[Any]]) -> Columns:
    return {name: _shorten(values) for name, values in columns.items()}


def _shorten(values: Sequence[float | None]) -> list[float | int | None]:
    return [None if value is None else _number(value) for value in values]


def _number(value: float) -> float | int:
    kept = float(f"{value:.{_DIGITS}g}") if abs(value) < 10**_DIGITS else round(value, 1)
    return int(kept) if kept == int(kept) else kept
