"""Recordings of one real vLLM server by a load client and from ``/metrics``, for calibration.

Requests: a CSV with ``sent_s, prompt_tokens, output_tokens, ttft_s, e2e_s`` (seconds from the run's
start; latencies from ``sent_s``), and optionally ``completion_tokens`` and ``error``. Metrics: a CSV
with ``t`` and vLLM's metric names as columns. Further columns are ignored.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import NamedTuple, TypeVar

from autoscaler.documents.text_lines import Lines, csv_fields
from autoscaler.errors import InputError

_Row = TypeVar("_Row")


class MeasuredRequest(NamedTuple):
    """One request as the client saw it; times in seconds, latencies from ``sent_s``."""

    sent_s: float
    prompt_tokens: int
    output_tokens: int
    ttft_s: float
    e2e_s: float

    @property
    def tpot_s(self) -> float:
        """Mean time per output token after the first; 0 for one token."""
        return (self.e2e_s - self.ttft_s) / (self.output_tokens - 1) if self.output_tokens > 1 else 0.0


class Gauges(NamedTuple):
    """vLLM's gauges at one moment; ``kv_usage`` in 0..1."""

    time_s: float
    running: float
    waiting: float
    kv_usage: float


@dataclass(frozen=True)
class Recording:
    """One run: its requests sorted by ``sent_s``, and its gauges where they were recorded.

    ``seen_until_s``: a request that ends later counts as load, but its latencies are unknown.
    """

    name: str
    requests: tuple[MeasuredRequest, ...]
    gauges: tuple[Gauges, ...] = ()
    seen_until_s: float = inf

    def until(self, seconds: float) -> Recording:
        """The requests sent and the gauges scraped before ``seconds``; latencies of the ended requests.

        Requests that end later were slowed down by requests that are cut off here; their latencies would
        mislead the fit.
        """
        return replace(
            self,
            requests=tuple(request for request in self.requests if request.sent_s < seconds),
            gauges=tuple(gauge for gauge in self.gauges if gauge.time_s < seconds),
            seen_until_s=seconds,
        )

    def seen(self, request: MeasuredRequest) -> bool:
        """True if the latencies of a request are known."""
        return request.sent_s + request.e2e_s <= self.seen_until_s

    def episodes(self) -> Iterator[tuple[MeasuredRequest, ...]]:
        """The requests, cut where the server was idle.

        The server does not remember anything across an idle moment. So each piece can be replayed on
        its own, and its error is not carried into the next.
        """
        episode: list[MeasuredRequest] = []
        busy_until = 0.0
        for request in self.requests:
            if episode and request.sent_s >= busy_until:
                yield tuple(episode)
                episode = []
            episode.append(request)
            busy_until = max(busy_until, request.sent_s + request.e2e_s)
        if episode:
            yield tuple(episode)


def read_recording(requests: Path, metrics: Path | None = None) -> Recording:
    """Both files of a run, plain or gzip; requests that failed are left out.

    Raises:
        InputError: a file cannot be read, a column is missing, or a value is wrong (file, line, column).
    """
    rows = sorted(_rows(requests, _REQUEST_COLUMNS, _measured))
    if not rows:
        raise Lines(requests, InputError).fail(
            None, "", "has no request that succeeded; at least one is needed"
        )
    gauges = tuple(_rows(metrics, _GAUGE_COLUMNS, _gauges)) if metrics else ()
    return Recording(requests.name.split(".")[0], tuple(rows), gauges)


_REQUEST_COLUMNS = ("sent_s", "prompt_tokens", "output_tokens", "ttft_s", "e2e_s")
_GAUGE_COLUMNS = ("t", "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")


class _BadCellError(Exception):
    """One cell is wrong."""

    def __init__(self, column: str, message: str) -> None:
        self.column = column
        super().__init__(message)


def _measured(row: Mapping[str, str]) -> MeasuredRequest | None:
    if row.get("error"):
        return None
    sent, ttft, e2e = (_number(row, column) for column in ("sent_s", "ttft_s", "e2e_s"))
    completion = "completion_tokens" if row.get("completion_tokens") else "output_tokens"
    if not 0.0 < ttft <= e2e:
        raise _BadCellError("ttft_s", f"{ttft:g} is not within 0 and e2e_s ({e2e:g})")
    return MeasuredRequest(sent, _count(row, "prompt_tokens"), _count(row, completion), ttft, e2e)


def _gauges(row: Mapping[str, str]) -> Gauges:
    return Gauges(*(_number(row, column) for column in _GAUGE_COLUMNS))


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        raise _BadCellError(column, f"{row[column]!r} is not a number") from None
    if not isfinite(value) or value < 0.0:
        raise _BadCellError(column, f"{row[column]!r} is not a number from 0 up")
    return value


def _count(row: Mapping[str, str], column: str) -> int:
    value = _number(row, column)
    if value < 1 or value != int(value):
        raise _BadCellError(column, f"{row[column]!r} is not a whole number of tokens from 1 up")
    return int(value)


def _rows(
    path: Path, needed: tuple[str, ...], read: Callable[[Mapping[str, str]], _Row | None]
) -> Iterator[_Row]:
    lines = Lines(path, InputError)
    header: list[str] | None = None
    for first, block in lines.blocks():
        for number, text in enumerate(block.splitlines(), start=first):
            if not text:
                continue
            if header is None:
                header = _header(lines, number, text, needed)
                continue
            row = _read_row(lines, number, text, header, read)
            if row is not None:
                yield row


def _header(lines: Lines, number: int, text: str, needed: tuple[str, ...]) -> list[str]:
    header = text.split(",")
    missing = [column for column in needed if column not in header]
    if missing:
        raise lines.fail(number, missing[0], f"no such column; the header needs {', '.join(needed)}")
    return header


def _read_row(
    lines: Lines, number: int, text: str, header: list[str], read: Callable[[Mapping[str, str]], _Row | None]
) -> _Row | None:
    try:
        fields = csv_fields(text)
    except csv.Error as error:
        raise lines.fail(number, "", f"is not a valid CSV row: {error}") from None
    if len(fields) != len(header):
        raise lines.fail(number, "", f"has {len(fields)} fields; the header has {len(header)}")
    try:
        return read(dict(zip(header, fields, strict=True)))
    except _BadCellError as error:
        raise lines.fail(number, error.column, str(error)) from None
