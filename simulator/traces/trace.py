"""Request traces: a file in any known format becomes a stream of (time, prompt, output)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal, TypeAlias

from autoscaler.documents.text_lines import Lines
from autoscaler.errors import Diagnostic, TraceError
from simulator.traces.rows import HashedRequest, ReadStats, Request, row_reader

BadRows: TypeAlias = Literal["stop", "skip"]

_BUNDLED = {"azure-conv": "azure_llm_2023_conv.csv.gz"}


def trace_names() -> tuple[str, ...]:
    """The names of the bundled traces."""
    return tuple(_BUNDLED)


def bundled_trace(name: str) -> Path:
    """The file of a bundled trace.

    Raises:
        TraceError: no bundled trace has this name.
    """
    if name not in _BUNDLED:
        raise TraceError(
            [Diagnostic(name, None, "", f"is not a bundled trace; there are: {', '.join(trace_names())}")]
        )
    return Path(__file__).parent / "data" / _BUNDLED[name]


def resolve_trace(argument: str) -> Path:
    """The file of this name, else the bundled trace of this name.

    Raises:
        TraceError: neither exists.
    """
    path = Path(argument)
    if argument not in _BUNDLED and not path.exists():
        if argument == "-":
            message = "is not a file: standard input is /dev/stdin"
            raise TraceError([Diagnostic(argument, None, "", message)])
        message = f"no such file, and no bundled trace (there are: {', '.join(trace_names())})"
        raise TraceError([Diagnostic(argument, None, "", message)])
    return bundled_trace(argument) if argument in _BUNDLED and not path.is_file() else path


class Trace:
    """A request trace. Each iteration opens the file and reads it from its beginning.

    ``docs/traces.md`` has the formats. ``bad_rows="skip"`` leaves out wrong rows and counts them; a
    fault of the whole file (no header, truncated gzip, binary data) stops in either case. ``tally``
    counts the latest iteration and is complete at its end.

    Iterating raises TraceError with the file, the line, the column and the value.
    """

    def __init__(self, path: Path, bad_rows: BadRows = "stop") -> None:
        self.path = path
        self.bad_rows = bad_rows
        self.tally = ReadStats()

    @property
    def format(self) -> str:
        """The format's name; empty until the header has been read."""
        return self.tally.format

    @property
    def skipped_rows(self) -> int:
        """Bad rows that have been left out so far."""
        return self.tally.skipped_rows

    def __iter__(self) -> Iterator[Request]:
        return self._rows(None)

    def _rows(self, piece: int | None) -> Iterator[Any]:
        return chain.from_iterable(self._batches(piece))

    def window(
        self, *, start_s: float = 0.0, span_s: float | None = None, rate_scale: float = 1.0
    ) -> Iterator[Request]:
        """The requests with ``start_s <= t < start_s + span_s``, at ``rate_scale`` times their rate.

        The window is cut first, in the trace's own seconds; its start becomes 0, and then times are
        divided by ``rate_scale``: 600 s at rate 2 replay in 300 s. Nothing is read beyond the window.

        Raises:
            TraceError: while iterating; the trace cannot be read, or the window has no request.
            ValueError: ``start_s`` is negative, or ``span_s`` or ``rate_scale`` not positive.
        """
        return self._cut(self._rows(None), start_s, span_s, rate_scale)

    def hashed_window(
        self,
        hash_block_tokens: int,
        *,
        start_s: float = 0.0,
        span_s: float | None = None,
        rate_scale: float = 1.0,
    ) -> Iterator[HashedRequest]:
        """As ``window``, with ``hash_ids``: the content of each ``hash_block_tokens`` tokens of a prompt.

        Raises:
            TraceError: as ``window``, or the trace has no column ``hash_ids``.
            ValueError: as ``window``.
        """
        return self._cut(self._rows(hash_block_tokens), start_s, span_s, rate_scale)

    def _cut(
        self, rows: Iterator[Any], start_s: float, span_s: float | None, rate_scale: float
    ) -> Iterator[Any]:
        _check_window(start_s, span_s, rate_scale)
        if start_s == 0 and span_s is None and rate_scale == 1:
            return rows
        return self._window(rows, start_s, inf if span_s is None else start_s + span_s, rate_scale)

    def _window(self, rows: Iterator[Any], start_s: float, end_s: float, rate_scale: float) -> Iterator[Any]:
        inside = False
        time_s = 0.0
        for time_s, *rest in rows:
            if time_s >= end_s:
                break
            if time_s >= start_s:
                inside = True
                yield ((time_s - start_s) / rate_scale, *rest)
        if not inside:
            window = f"from {start_s:g} s on" if end_s == inf else f"in {start_s:g} s to {end_s:g} s"
            seen = "the next one is" if time_s >= end_s else "the last one is"
            raise self._error(f"has no request {window}; {seen} at {time_s:g} s")

    def _batches(self, piece: int | None) -> Iterator[Iterable[Request | HashedRequest]]:
        self.tally = tally = ReadStats()
        lines = Lines(self.path, TraceError)
        blocks = _without_leading_blanks(lines.blocks())
        line, text = next(blocks, (0, ""))
        if not text:
            raise self._error("is empty; a header line and at least one row belong here")
        reader = row_reader(text, lines, tally, self.bad_rows == "skip", piece)
        for block in chain((reader.begin(line, text),), blocks):
            yield reader.read(*block)
        if not tally.rows:
            raise (
                self._error("has a header but no rows")
                if tally.first_skipped is None
                else self._all_bad(tally)
            )

    def _all_bad(self, tally: ReadStats) -> TraceError:
        error = self._error(f"has no good row; all {tally.skipped_rows:,} are bad. The first one:")
        return TraceError([*error.problems, *([tally.first_skipped] if tally.first_skipped else [])])

    def _error(self, message: str) -> TraceError:
        return TraceError([Diagnostic(str(self.path), None, "", message)])


def _check_window(start_s: float, span_s: float | None, rate_scale: float) -> None:
    if not (isfinite(start_s) and start_s >= 0):
        raise ValueError(f"start_s is {start_s}; it is 0 or more")
    if span_s is not None and not span_s > 0:
        raise ValueError(f"span_s is {span_s}; it is more than 0")
    if not (isfinite(rate_scale) and rate_scale > 0):
        raise ValueError(f"rate_scale is {rate_scale}; it is more than 0")


def _without_leading_blanks(blocks: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for line, text in blocks:
        content = text.lstrip()
        if content:
            yield line + text.count("\n", 0, len(text) - len(content)), content
            break
    yield from blocks
