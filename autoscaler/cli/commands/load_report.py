"""Measurements of `autoscale load`: the figures, in the shapes of the simulator's, and the rows."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoscaler.client.load_generator import SentRequest
from autoscaler.files import atomic_writer

COLUMNS = (
    *("arrival_s", "sent_s", "prompt_tokens", "output_tokens", "completion_tokens"),
    *("ttft_s", "tpot_s", "e2e_s", "max_gap_s", "error"),
)
"""`autoscale calibrate` reads these files; shared names mean what they mean in the simulator's."""

CUT_OFF = "cut off"
LATE_S = 0.05
"""A generator whose p95 is later than this measures itself."""


def summarize(
    requests: Sequence[SentRequest], slo: Mapping[str, float], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures, JSON-ready. Failed and cut off requests miss the SLO; latencies are of the others."""
    done = [request for request in requests if request.completed]
    failed = Counter(request.error for request in requests if request.error is not None)
    kinds = Counter(request.failure for request in requests if request.failure is not None)
    met = sum(_meets(request, slo) for request in done)
    return {
        "label": str(inputs["url"]),
        "requests": len(requests),
        "completed": len(done),
        "failed": failed.total(),
        "unfinished": len(requests) - len(done) - failed.total(),
        "slo_attainment": round(met / len(requests), 6) if requests else None,
        "ttft_s": _distribution(request.ttft_s for request in done),
        "tpot_s": _distribution(request.tpot_s for request in done),
        "e2e_s": _distribution(request.e2e_s for request in done),
        "late_s": _distribution(request.late_s for request in requests),
        "output_tokens": sum(request.completion_tokens or 0 for request in done),
        "end_s": round(
            max((request.sent_s + (request.e2e_s or 0.0) for request in requests), default=0.0), 6
        ),
        "failures": dict(kinds.most_common()),
        "errors": dict(failed.most_common()),
        "inputs": dict(inputs),
    }


def _meets(request: SentRequest, slo: Mapping[str, float]) -> bool:
    assert request.ttft_s is not None, "a completed request has had its first token"
    return request.ttft_s <= slo["ttft_s"] and (request.tpot_s or 0.0) <= slo["tpot_s"]


def _distribution(values: Iterable[float | None]) -> dict[str, float | None]:
    from simulator.report.quantiles import distribution

    found = distribution(array("d", (value for value in values if value is not None)))
    return {name: None if value is None else round(value, 6) for name, value in found.items()}


def write_requests(path: Path, requests: Iterable[SentRequest]) -> None:
    """One row a request, in the order of sending; cells of what never happened are empty.

    Raises:
        InputError: the file cannot be written.
    """
    import csv

    with atomic_writer(path, "--requests") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for request in requests:
            rows.writerow(_cells(request))


def write_metrics(path: Path, rows: Iterable[Sequence[float]]) -> None:
    """One row a scrape: seconds from the run's start, and vLLM's gauges.

    Raises:
        InputError: the file cannot be written.
    """
    import csv

    from autoscaler.client.scrapes import GAUGES

    with atomic_writer(path, "--metrics") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("t", *GAUGES))
        table.writerows([f"{value:.6g}" for value in row] for row in rows)


def _cells(request: SentRequest) -> list[str | int | None]:
    error = request.error or ("" if request.completed else CUT_OFF)
    latencies = (request.ttft_s, request.tpot_s, request.e2e_s, request.max_gap_s)
    return [
        *(f"{request.arrival_s:.6f}", f"{request.sent_s:.6f}"),
        *(request.prompt_tokens, request.output_tokens, request.completion_tokens),
        *("" if value is None else f"{value:.6f}" for value in latencies),
        error,
    ]


def render(summary: Mapping[str, Any], slo: Mapping[str, float]) -> Iterator[str]:
    """The figures as text, a line at a time."""
    from simulator import number_formats as formats

    total = formats.counted(summary["requests"], "request")
    yield f"{summary['label']}: {total} in {formats.latency(summary['end_s'])}"
    counts = [f"{summary[name]:,} {name}" for name in ("completed", "failed", "unfinished")]
    if summary["failures"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary["failures"].items())
        counts[1] += f" ({kinds})"
    yield f"  {', '.join(counts)}; {summary['output_tokens']:,} output tokens"
    for message, count in list(summary["errors"].items())[:5]:
        yield f"  {count:,} x {message}"
    limits = f"TTFT {formats.limit(slo['ttft_s'])}, TPOT {formats.limit(slo['tpot_s'])}"
    yield f"  SLO ({limits}): met by {formats.share(summary['slo_attainment'])}"
    yield f"  {'':<6}" + "".join(f"{name:>10}" for name in summary["ttft_s"])
    for name, title in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("e2e_s", "E2E"), ("late_s", "late")):
        yield f"  {title:<6}" + "".join(f"{formats.latency(value):>10}" for value in summary[name].values())
    if (summary["late_s"]["p95"] or 0.0) > LATE_S:
        yield "  Requests left late: the generator could not keep up, so this was not the trace's load."
