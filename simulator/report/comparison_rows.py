"""The rows of a comparison of runs: title, format, and which of two values is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from simulator import number_formats as formats


class Better(IntEnum):
    """The better of two values, all else equal."""

    HIGH = 1
    LOW = -1


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One figure of a summary. ``path``: its keys, outermost first. ``judged``: the goal judges it.

    ``spent``: a cost; a run that misses the goal cannot be the best. ``optional``: the row is left out
    if no run has a value.
    """

    title: str
    path: tuple[str, ...]
    show: Callable[[float | None], str]
    better: Better | None = None
    judged: bool = False
    spent: bool = False
    optional: bool = False

    def value(self, summary: dict[str, Any]) -> float | None:
        """The figure itself; None if the run has none."""
        found: Any = summary
        for key in self.path:
            found = None if found is None else found[key]
        number: float | None = found
        return number

    def text(self, summary: dict[str, Any]) -> str:
        """The figure as text."""
        return self.show(self.value(summary))


def _latency_rows(name: str, key: str) -> tuple[ComparisonRow, ...]:
    return tuple(
        ComparisonRow(f"{name} {quantile}", (key, quantile), formats.latency, Better.LOW)
        for quantile in ("p50", "p95", "p99")
    )


ROWS = (
    ComparisonRow("SLO attainment", ("slo_attainment",), formats.share, Better.HIGH, judged=True),
    ComparisonRow(
        "Of avoidable", ("verdict", "attainment_of_avoidable"), formats.share, Better.HIGH, judged=True
    ),
    ComparisonRow("Requests", ("requests",), formats.count),
    ComparisonRow("Completed", ("completed",), formats.count, Better.HIGH),
    ComparisonRow("Rejected", ("rejected",), formats.count, Better.LOW),
    ComparisonRow("Unfinished", ("unfinished",), formats.count, Better.LOW),
    *_latency_rows("TTFT", "ttft_s"),
    *_latency_rows("TPOT", "tpot_s"),
    *_latency_rows("End to end", "e2e_s"),
    ComparisonRow("Replicas, mean", ("replicas", "mean"), formats.decimal),
    ComparisonRow("Replicas, most", ("replicas", "max"), formats.count),
    ComparisonRow("GPU-hours", ("gpu_hours",), formats.decimal, Better.LOW, spent=True),
    ComparisonRow("Cost", ("cost_usd",), formats.dollars, Better.LOW, spent=True),
    ComparisonRow("Cost a month", ("cost_usd_per_month",), formats.dollars, Better.LOW, spent=True),
    ComparisonRow(
        "$ per M out tokens", ("cost_usd_per_million_output_tokens",), formats.dollars, Better.LOW, spent=True
    ),
    ComparisonRow(
        "Over the bound", ("verdict", "regret"), formats.decimal, Better.LOW, spent=True, optional=True
    ),
    ComparisonRow("Direction changes", ("direction_changes",), formats.count, Better.LOW),
    ComparisonRow("Preemptions", ("preemptions",), formats.count, Better.LOW),
)


def rows_of(summaries: Sequence[dict[str, Any]]) -> list[ComparisonRow]:
    """The rows that these runs have."""
    return [row for row in ROWS if not row.optional or any(row.value(one) is not None for one in summaries)]


def best(row: ComparisonRow, summaries: Sequence[dict[str, Any]]) -> set[int]:
    """The positions of the best runs in a row; empty if all are equal."""
    values = {
        index: row.value(summary)
        for index, summary in enumerate(summaries)
        if not row.spent or summary["verdict"] is None or summary["verdict"]["holds"]
    }
    known = {index: value for index, value in values.items() if value is not None}
    if row.better is None or len(set(known.values())) < 2:
        return set()
    top = max(value * row.better for value in known.values())
    return {index for index, value in known.items() if value * row.better == top}
