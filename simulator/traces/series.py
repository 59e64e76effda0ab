"""Recorded values of a free ``query``, so that a simulated run can answer it (``--series``).

A series file is CSV, plain or gzip, with the header line ``timestamp_s,value[,pod]``; other columns
are ignored. Each value holds until the next row, as the last scraped value does.
"""

from __future__ import annotations

import csv
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autoscaler.decision.types import Sample
from autoscaler.documents.text_lines import Lines, csv_fields
from autoscaler.errors import InputError
from simulator.traces.formats import BadValueError, finite_number, shorten

_NOT_FINITE = {"nan", "inf", "+inf", "-inf"}


@dataclass(frozen=True, slots=True)
class _Steps:
    """One pod's values, sorted by time."""

    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


class Series:
    """A recorded series, or one for each pod: a step function of the trace's time.

    Times are in seconds on the trace's own clock, as the file has them; ``shifted`` follows a
    window or a rate scale of the trace.
    """

    def __init__(
        self, steps: dict[str | None, _Steps], start_s: float = 0.0, rate_scale: float = 1.0
    ) -> None:
        self._steps = steps
        self._start_s = start_s
        self._rate_scale = rate_scale

    def shifted(self, start_s: float, rate_scale: float = 1.0) -> Series:
        """The series on the clock of ``Trace.window(start_s=…, rate_scale=…)``; values stay."""
        return Series(self._steps, start_s, rate_scale)

    def samples(self, time_s: float) -> tuple[Sample, ...]:
        """The last sample at or before ``time_s`` of each pod, with its own time; none before the first.

        Samples never expire here: the policy limits their age (``maxAgeSeconds``).
        """
        recorded_s = time_s * self._rate_scale + self._start_s
        return tuple(self._samples(recorded_s))

    def _samples(self, recorded_s: float) -> Iterator[Sample]:
        for pod, steps in self._steps.items():
            row = bisect_right(steps.times, recorded_s) - 1
            if row >= 0:
                seen_s = (steps.times[row] - self._start_s) / self._rate_scale
                yield Sample(steps.values[row], seen_s, pod)


def read_series(path: Path) -> Series:
    """Reads a whole series file; ``NaN`` and infinities are kept as Prometheus would return them.

    Raises:
        InputError: with the file, line, column and value, for anything that is wrong.
    """
    lines = Lines(path, InputError)
    rows = _rows(lines)
    number, header = next(rows, (None, []))
    if number is None:
        raise lines.fail(None, "", "is empty; the header timestamp_s,value[,pod] and rows belong here")
    picks = _picks(lines, number, [name.strip() for name in header])
    steps: dict[str | None, _Steps] = {}
    for number, fields in rows:
        if len(fields) != len(header):
            raise lines.fail(number, "", f"{len(fields)} fields where the header has {len(header)}")
        _append(lines, number, [None if pick is None else fields[pick].strip() for pick in picks], steps)
    if not steps:
        raise lines.fail(None, "", "has a header but no rows")
    return Series(steps)


def _rows(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    for first, text in lines.blocks():
        for number, line in enumerate(text.split("\n"), first):
            if line and not line.isspace():
                try:
                    yield number, csv_fields(line)
                except csv.Error as error:
                    raise lines.fail(number, "", f"{shorten(line)} is not a valid CSV row: {error}") from None


def _picks(lines: Lines, number: int, names: list[str]) -> tuple[int, int, int | None]:
    for column in ("timestamp_s", "value"):
        if column not in names:
            found = ", ".join(shorten(name) for name in names[:20])
            raise lines.fail(
                number, column, f"the column is missing; found: {found}; timestamp_s,value[,pod] is right"
            )
    return names.index("timestamp_s"), names.index("value"), names.index("pod") if "pod" in names else None


def _append(lines: Lines, number: int, fields: list[str | None], steps: dict[str | None, _Steps]) -> None:
    time, value, pod = fields
    own = steps.setdefault(pod or None, _Steps())
    time_s = _number(lines, number, "timestamp_s", time or "")
    if own.times and time_s < own.times[-1]:
        message = f"{time_s:g} is before {own.times[-1]:g}, the time above it{' of this pod' if pod else ''}"
        raise lines.fail(number, "timestamp_s", f"{message}; rows are sorted by time")
    if value is not None and value.lower() in _NOT_FINITE:
        own.values.append(float(value))
    else:
        own.values.append(_number(lines, number, "value", value or ""))
    own.times.append(time_s)


def _number(lines: Lines, number: int, column: str, text: str) -> float:
    try:
        return finite_number(text)
    except BadValueError as error:
        raise lines.fail(number, column, str(error)) from None
