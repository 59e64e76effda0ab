"""The CSV files of a run: requests, the timeline, decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from autoscaler.files import atomic_writer
from simulator.vllm.request_table import RequestOutcome, RequestTable
from simulator.world.timeline import TimelinePoint

if TYPE_CHECKING:
    from autoscaler.history.records import DecisionRecord

REQUEST_COLUMNS = (
    "arrival_s",
    "prompt_tokens",
    "output_tokens",
    "queue_s",
    "ttft_s",
    "tpot_s",
    "e2e_s",
    "preemptions",
    "replica",
)
TIMELINE_COLUMNS = ("time_s", "demand_rps", "desired", "ordered", "ready", "running", "waiting", "kv_usage")

_FULL_ROW = "%r,%d,%d,%.9f,%.9f,%.9f,%.9f,%d,%d"
_ROWS_AT_ONCE = 4096


def write_requests_csv(path: Path, requests: RequestTable) -> None:
    """One row per request in arrival order; the cell of a time that never came is empty.

    Arrivals are written with every digit, so that they are read back exactly; latencies to the nanosecond.
    """
    _write_csv(path, "--requests", REQUEST_COLUMNS, _request_rows(requests))


def _request_rows(requests: RequestTable) -> Iterator[str]:
    # There are hundreds of thousands of rows. So nearly all pass through one format, and the time per
    # output token is computed here rather than by a call of RequestTable.tpot_s for each.
    completed = int(RequestOutcome.COMPLETED)
    rows = zip(
        requests.outcome,
        requests.arrival_s,
        requests.prompt_tokens,
        requests.output_tokens,
        requests.queue_s,
        requests.ttft_s,
        requests.e2e_s,
        requests.preemptions,
        requests.replica,
        strict=True,
    )
    for outcome, arrival_s, prompt, output, queue_s, ttft_s, e2e_s, preemptions, replica in rows:
        if outcome == completed and output > 1:
            tpot_s = (e2e_s - ttft_s) / (output - 1)
            yield _FULL_ROW % (
                arrival_s,
                prompt,
                output,
                queue_s,
                ttft_s,
                tpot_s,
                e2e_s,
                preemptions,
                replica,
            )
        else:
            times = f"{_cell(queue_s)},{_cell(ttft_s)},,{_cell(e2e_s)}"
            yield f"{arrival_s!r},{prompt},{output},{times},{preemptions},{'' if replica < 0 else replica}"


def _cell(seconds: float) -> str:
    return "" if isnan(seconds) else f"{seconds:.9f}"


def write_timeline_csv(path: Path, timeline: Iterable[TimelinePoint]) -> None:
    """One row per point of the timeline, exactly the columns of ``TIMELINE_COLUMNS``."""
    rows = (",".join([repr(getattr(point, column)) for column in TIMELINE_COLUMNS]) for point in timeline)
    _write_csv(path, "--timeline", TIMELINE_COLUMNS, rows)


def _write_csv(path: Path, option: str, columns: Sequence[str], rows: Iterator[str]) -> None:
    with atomic_writer(path, option) as file:
        file.write(",".join(columns) + "\n")
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            file.write("\n".join(some) + "\n")


def write_decisions_jsonl(path: Path, decisions: Iterable[DecisionRecord]) -> None:
    """One JSON object per sync: ``now``, the observation and the decision with all its steps.

    ``autoscaler.history.records.read_decisions_jsonl`` gives equal records back.
    """
    from autoscaler.history.records import (
        record_line,  # imports the policy's models; most runs write no decisions
    )

    with atomic_writer(path, "--decisions") as file:
        for record in decisions:
            file.write(record_line(record) + "\n")
