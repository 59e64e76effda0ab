"""Turns blocks of lines into requests: the inner part of :mod:`simulator.traces.trace`.

A trace may have tens of millions of rows, and almost all of them are well formed. So each block of
lines is converted whole, by calls that do not pass through Python per row; a block with anything
unusual in it is read again with care, row by row, and only that path makes error messages.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any, NamedTuple, TypeAlias, TypeVar

from autoscaler.documents.text_lines import Lines, csv_fields
from autoscaler.errors import Diagnostic, TraceError
from simulator.traces.formats import (
    MAX_TIME_S,
    MAX_TOKENS,
    BadValueError,
    TraceFormat,
    csv_time,
    json_time,
    recognise,
    shorten,
    token_count,
)
from simulator.traces.hashes import COLUMN, hash_ids

Request: TypeAlias = tuple[float, int, int]
"""``(timestamp_s, prompt_tokens, output_tokens)``; seconds since the trace's zero."""

HashedRequest: TypeAlias = tuple[float, int, int, tuple[int, ...]]
"""A request with its ``hash_ids``: the content of the prompt, piece by piece."""

_Columns: TypeAlias = tuple[list[float], list[int], list[int]]
_Value = TypeVar("_Value")
_PLAIN_NUMBER = b"0123456789."
_JSON_START = ("{", "[")


@dataclass(slots=True)
class ReadStats:
    """Counts of one reading of a trace. ``format`` is empty until the header has been read."""

    format: str = ""
    rows: int = 0
    skipped_rows: int = 0
    first_skipped: Diagnostic | None = None


class _Row(NamedTuple):
    """One line: its time in ticks and as written, its tokens and, where it has them, its hashes."""

    ticks: float
    written: str
    prompt: int
    output: int
    hashes: object


class _BadRowError(Exception):
    """One row is wrong; ``field`` is the column at fault, or empty."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(message)


def _column(field: str, read: Callable[[Any], _Value], value: object) -> _Value:
    try:
        return read(value)
    except BadValueError as error:
        raise _BadRowError(field, str(error)) from None


class RowReader:
    """Turns rows into requests, checks the order of their times and keeps the trace's zero.

    Subclasses know how a line is taken apart. With ``skip``, wrong rows are counted in the tally and
    raise nothing. With ``piece``, requests have their hashes, each for ``piece`` tokens.
    """

    known: TraceFormat

    def __init__(self, lines: Lines, tally: ReadStats, skip: bool, piece: int | None) -> None:
        self._piece = piece
        self._lines = lines
        self._tally = tally
        self._skip = skip
        self._zero: float | None = None
        self._latest_s = 0.0
        self._latest_at = (0, "")  # line and text of the latest time, for the message

    def begin(self, line: int, text: str) -> tuple[int, str]:
        """Recognises the format; returns the block without its header."""
        raise NotImplementedError

    def _columns(self, text: str) -> _Columns | None:
        """Times in ticks, prompts and outputs of a regular block; None if anything in it is unusual."""
        raise NotImplementedError

    def _values(self, line: str) -> _Row:
        """One line, with exact errors."""
        raise NotImplementedError

    def _recognised(self, line: int, names: list[str]) -> TraceFormat:
        try:
            known = recognise(names)
        except BadValueError as error:
            raise self._lines.fail(line, "", str(error)) from None
        self._tally.format = known.name
        if self._piece is not None and COLUMN not in names:
            raise self._lines.fail(line, COLUMN, "is missing; the prefix cache finds prompts by it")
        return known

    def read(self, line: int, text: str) -> Iterable[Request | HashedRequest]:
        """The requests of one block that begins at ``line``."""
        columns = self._columns(text) if self._piece is None else None
        times = None if columns is None else self._times(*columns)
        if columns is None or times is None:
            batch = self._careful(line, text)
            self._tally.rows += len(batch)
            return batch
        self._tally.rows += len(times)
        if times:
            last = text.rstrip("\n").rpartition("\n")[2]
            self._latest_at = line + len(times) - 1, self._values(last).written
        return zip(times, columns[1], columns[2], strict=True)

    def _times(self, ticks: list[float], prompts: list[int], outputs: list[int]) -> list[float] | None:
        """A block's times in seconds, or None if any value in it is out of order or range."""
        if not ticks:
            return []
        zero = self._zero_for(ticks[0])
        rate = self.known.ticks_per_second
        times = ticks if rate == 1 and not zero else [(tick - zero) / rate for tick in ticks]
        # Sorting what is sorted takes one pass in C.
        in_order = times[0] >= self._latest_s and times[-1] <= MAX_TIME_S and times == sorted(times)
        if (
            not in_order
            or min(min(prompts), min(outputs)) < 1
            or max(max(prompts), max(outputs)) > MAX_TOKENS
        ):
            return None
        self._zero, self._latest_s = zero, times[-1]
        return times

    def _zero_for(self, first: float) -> float:
        if self._zero is not None:
            return self._zero
        return first if self.known.absolute else 0

    def _careful(self, first_line: int, text: str) -> list[Request | HashedRequest]:
        batch: list[Request | HashedRequest] = []
        for number, line in enumerate(text.split("\n"), first_line):
            if not line or line.isspace():
                continue
            try:
                batch.append(self._request(number, line))
            except _BadRowError as error:
                self._reject(Diagnostic(str(self._lines.path), number, error.field, error.message))
        return batch

    def _request(self, number: int, line: str) -> Request | HashedRequest:
        ticks, written, prompt, output, hashes = self._values(line)
        ids = None if self._piece is None else self._hash_ids(hashes, prompt, self._piece)
        zero = self._zero_for(ticks)
        time_s = (ticks - zero) / self.known.ticks_per_second
        if time_s < self._latest_s:
            at, latest = self._latest_at
            message = f"{shorten(written)} is before {shorten(latest)} on line {at}; rows are sorted by time"
            raise _BadRowError(self.known.time, message)
        if time_s > MAX_TIME_S:
            message = f"{shorten(written)} is more than {MAX_TIME_S:,.0f} s after the trace's start"
            raise _BadRowError(self.known.time, message)
        self._zero, self._latest_s, self._latest_at = zero, time_s, (number, written)
        return (time_s, prompt, output) if ids is None else (time_s, prompt, output, ids)

    def _hash_ids(self, hashes: object, prompt: int, piece: int) -> tuple[int, ...]:
        return _column(COLUMN, lambda value: hash_ids(value, prompt, piece), hashes)

    def _reject(self, problem: Diagnostic) -> None:
        if not self._skip:
            raise TraceError([problem])
        self._tally.skipped_rows += 1
        self._tally.first_skipped = self._tally.first_skipped or problem


class CsvReader(RowReader):
    """Comma-separated rows under one header line."""

    def begin(self, line: int, text: str) -> tuple[int, str]:
        """Reads the header line."""
        header, _, rest = text.partition("\n")
        try:
            names = [name.strip() for name in csv_fields(header)]
        except csv.Error as error:
            raise self._lines.fail(line, "", f"the header line is not valid CSV: {error}") from None
        self.known = self._recognised(line, names)
        for column in self.known.columns:
            if names.count(column) > 1:
                raise self._lines.fail(line, column, "appears twice in the header; name it once")
        self._time = partial(csv_time, self.known)
        self._names = names
        self._width = len(names)
        self._picks = [names.index(column) for column in self.known.columns]
        return line + 1, rest

    def _columns(self, text: str) -> _Columns | None:
        if not text:
            return [], [], []
        if '"' in text:
            return None
        # A newline becomes a field of its own. Newlines at every (width + 1)th place prove that
        # each line has exactly the header's number of fields.
        fields = text.replace("\n", ",\n,").split(",")[:-1]
        step, rows = self._width + 1, text.count("\n")
        if len(fields) != rows * step or fields[self._width :: step].count("\n") != rows:
            return None
        times, prompts, outputs = (fields[pick::step] for pick in self._picks)
        counted = prompts + outputs if self.known.absolute else prompts + outputs + times
        if "".join(counted).encode().translate(None, _PLAIN_NUMBER):
            return None
        try:
            return list(map(self.known.parse_time, times)), list(map(int, prompts)), list(map(int, outputs))
        except ValueError:
            return None

    def _values(self, line: str) -> _Row:
        try:
            fields = csv_fields(line)
        except csv.Error as error:
            raise _BadRowError("", f"{shorten(line)} is not a valid CSV row: {error}") from None
        if len(fields) != self._width:
            message = f"{len(fields)} fields where the header has {self._width}: {shorten(line)}"
            raise _BadRowError("", message)
        time, prompt, output = (fields[pick] for pick in self._picks)
        ticks = _column(self.known.time, self._time, time)
        prompt_tokens = _column(self.known.prompt, token_count, prompt)
        output_tokens = _column(self.known.output, token_count, output)
        hashes = None if self._piece is None else fields[self._names.index(COLUMN)]
        return _Row(ticks, time, prompt_tokens, output_tokens, hashes)


class JsonReader(RowReader):
    """One JSON object a line, with a format's columns as keys."""

    def begin(self, line: int, text: str) -> tuple[int, str]:
        """Takes the first object's keys for the header; that line stays in the block."""
        rest = text
        while rest:
            content, _, following = rest.partition("\n")
            try:
                keys = list(_json_object(content)) if content.strip() else []
            except _BadRowError as error:
                self._reject(Diagnostic(str(self._lines.path), line, error.field, error.message))
                keys = []
            if keys:
                self.known = self._recognised(line, keys)
                self._time = partial(json_time, self.known)
                return line, rest
            rest, line = following, line + 1
        raise self._lines.fail(line, "", "none of the first lines is a JSON object")

    def _columns(self, text: str) -> _Columns | None:
        if self.known.absolute:
            return None
        time, prompt, output = self.known.columns
        try:
            rows = [json.loads(line) for line in text.split("\n")[:-1]]
            times = [row[time] for row in rows]
            prompts = [row[prompt] for row in rows]
            outputs = [row[output] for row in rows]
            sound = set(map(type, times)) <= {int, float} and all(map(isfinite, times))
        except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
            return None
        # Types are compared exactly, because a bool is an int to isinstance.
        return (times, prompts, outputs) if sound and set(map(type, prompts + outputs)) <= {int} else None

    def _values(self, line: str) -> _Row:
        row = _json_object(line)
        for column in self.known.columns:
            if column not in row:
                raise _BadRowError(column, "is missing from this line's object")
        time, prompt, output = (row[column] for column in self.known.columns)
        ticks = _column(self.known.time, self._time, time)
        prompt_tokens = _column(self.known.prompt, token_count, prompt)
        output_tokens = _column(self.known.output, token_count, output)
        return _Row(ticks, str(time), prompt_tokens, output_tokens, row.get(COLUMN))


def _json_object(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        message = f"{shorten(line)} is not valid JSON ({error}); one whole object belongs on each line"
        raise _BadRowError("", message) from None
    if not isinstance(value, dict):
        raise _BadRowError("", f"{shorten(line)} is not a JSON object; one whole object belongs on each line")
    return value


def row_reader(text: str, lines: Lines, tally: ReadStats, skip: bool, piece: int | None) -> RowReader:
    """The reader for CSV or for JSON lines, whichever ``text``, the beginning of the trace, is."""
    kind = JsonReader if text.startswith(_JSON_START) else CsvReader
    return kind(lines, tally, skip, piece)
