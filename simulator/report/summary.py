"""The figures of a run, for the JSON file, the terminal and the HTML report."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import asdict, fields
from math import fsum
from typing import Any

from simulator.number_formats import rounded
from simulator.report.attainment import completed
from simulator.report.quantiles import distribution
from simulator.report.review import Review, verdict_document
from simulator.run.billing import (
    HOURS_PER_MONTH,
    SECONDS_PER_HOUR,
    cost_usd,
    most_billed,
    replica_seconds,
)
from simulator.run.result import RunResult
from simulator.startup.replica_life import ReplicaLife, StartPhases


def summarize(result: RunResult, review: Review | None = None) -> dict[str, Any]:
    """One run's figures, JSON-ready, in the order of the file; ``review``: the verdict on its goal.

    Times in seconds. ``slo_attainment`` is a share of all requests, of which rejected and unfinished
    ones miss; it is None without requests. Latencies are of completed requests, and None without any.
    docs/reports.md defines every figure.
    """
    table = result.requests
    requests = len(table)
    done = completed(table, result.slo)
    billed_s = replica_seconds(result.replicas)
    hours = billed_s / SECONDS_PER_HOUR
    return {
        "label": result.label,
        "requests": requests,
        "completed": table.completed,
        "rejected": table.rejected,
        "rejected_by": [limit._asdict() | {"requests": count} for limit, count in table.rejected_by.items()],
        "unfinished": requests - table.completed - table.rejected,
        "slo_attainment": rounded(done.met / requests if requests else None),
        "verdict": None if review is None else verdict_document(review, result),
        "ttft_s": _distribution(done.ttft_s),
        "tpot_s": _distribution(done.tpot_s),
        "e2e_s": _distribution(done.e2e_s),
        "replica_hours": rounded(hours),
        "gpu_hours": rounded(hours * result.gpus_per_replica),
        **_money(result, billed_s),
        "replicas": {
            "mean": rounded(billed_s / result.end_s if result.end_s > 0 else None),
            "max": most_billed(result.replicas),
        },
        "starts": start_means(result.replicas),
        "direction_changes": result.counts.direction_changes if result.counts else 0,
        "preemptions": table.preempted,
        "prefix_queried_tokens": table.prefix_queried_tokens,
        "prefix_hit_tokens": table.prefix_hit_tokens,
        "end_s": rounded(result.end_s),
        "inputs": result.inputs,
    }


def render_json(summaries: Sequence[dict[str, Any]]) -> str:
    """The JSON file: one run gives one object, several give ``{"runs": [...]}``.

    The same runs give the same text: it has nothing of the machine or of the time of day.
    """
    document = summaries[0] if len(summaries) == 1 else {"runs": list(summaries)}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def start_means(lives: Sequence[ReplicaLife]) -> dict[str, float | int | None]:
    """The number of completed starts, and the mean seconds of each of their phases."""
    starts = [life.start for life in lives if life.start is not None and life.ready_s is not None]
    means: dict[str, float | int | None] = {"count": len(starts)}
    for field in fields(StartPhases):
        seconds = [getattr(start, field.name) for start in starts]
        means[field.name] = rounded(fsum(seconds) / len(seconds)) if seconds else None
    return means


def _money(result: RunResult, billed_s: float) -> dict[str, Any]:
    """Hours of idle nodes, and the cost of replicas and idle nodes (None without a price).

    A month has 730 hours, as in list prices.
    """
    cost = cost_usd(result, billed_s + result.idle_node_s)
    tokens = sum(result.requests.done_output_tokens)
    hours = result.end_s / SECONDS_PER_HOUR
    return {
        "idle_node_hours": rounded(result.idle_node_s / SECONDS_PER_HOUR),
        "cost_usd": rounded(cost),
        "cost_usd_per_month": rounded(cost / hours * HOURS_PER_MONTH if cost is not None and hours else None),
        "cost_usd_per_million_output_tokens": rounded(
            cost / tokens * 1e6 if cost is not None and tokens else None
        ),
        "price": None if result.price is None else asdict(result.price),
    }


def _distribution(values: array[float]) -> dict[str, float | None]:
    return {name: rounded(value) for name, value in distribution(values).items()}
