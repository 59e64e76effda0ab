"""Output files: each appears whole or not at all; and what a run writes into them."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from autoscaler.errors import InputError, Problem
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

_STDOUT = ("-", "/dev/stdout")
_FULL_ROW = "%r,%d,%d,%.9f,%.9f,%.9f,%.9f,%d,%d"
_ROWS_AT_ONCE = 4096
# Higher levels take two to three times as long for files that are a tenth smaller.
_GZIP_LEVEL = 1


def check_output(path: Path, option: str = "") -> None:
    """Finds out early whether a file can be written here; ``option`` names what asked for it.

    Raises:
        InputError: it is a directory, or its folder is missing or may not be written.
    """
    if str(path) in _STDOUT:
        return
    mode = _mode(path, option)
    if mode is None or stat.S_ISREG(mode):
        _check_folder(path, option)
    elif stat.S_ISDIR(mode):
        raise _refusal(path, option, "is a directory; name a file to write")


def _mode(path: Path, option: str) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _refusal(path, option, f"cannot be written: {error}") from None


def _check_folder(path: Path, option: str) -> None:
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        what = "is no directory" if folder.exists() else "does not exist; make it first"
        raise _refusal(path, option, f"cannot be written: the folder {str(folder)!r} {what}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(path, option, f"cannot be written: no permission in the folder {str(folder)!r}")


def _refusal(path: Path, option: str, message: str) -> InputError:
    return InputError([Problem(str(path), None, option, message)])


@contextmanager
def atomic_writer(path: Path, option: str = "") -> Iterator[TextIO]:
    r"""A UTF-8 text file (``\n`` line ends) that appears when the block ends, and not if it raises.

    A name that ends in ``.gz`` is compressed, to the same bytes for the same text. ``-`` and
    ``/dev/stdout`` are standard output; pipes and devices are written directly.

    Raises:
        InputError: as ``check_output``, or the disk is full, or fails.
        BrokenPipeError: the reader has left.
    """
    check_output(path, option)
    try:
        with _binary(path, option) as raw, _compressed(path, raw) as plain:
            text = io.TextIOWrapper(plain, encoding="utf-8", newline="\n")
            try:
                yield text
                text.flush()
            finally:
                text.detach()  # what is below is closed by its own owner
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        raise _refusal(path, option, f"cannot be written: {error.strerror}") from None


@contextmanager
def _compressed(path: Path, raw: BinaryIO) -> Iterator[BinaryIO]:
    if path.suffix != ".gz":
        yield raw
        return
    # Neither a name nor a time in the header: same inputs, same bytes.
    with (
        gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed,
        io.BufferedWriter(packed, 1 << 16) as buffer,
    ):
        yield cast(BinaryIO, buffer)


@contextmanager
def _binary(path: Path, option: str) -> Iterator[BinaryIO]:
    if str(path) in _STDOUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    mode = _mode(path, option)
    # A pipe or a device cannot be replaced; it is written as it goes.
    in_place = mode is not None and not stat.S_ISREG(mode)
    with path.open("wb") if in_place else _replacement(Path(os.path.realpath(path)), option) as stream:
        yield stream


@contextmanager
def _replacement(path: Path, option: str) -> Iterator[BinaryIO]:
    # In the same folder, because only a rename inside one file system is atomic.
    draft = path.with_name(f".autoscale-{os.urandom(8).hex()}.tmp")
    try:
        stream = draft.open("xb")
    except OSError as error:
        raise _refusal(path, option, f"cannot be written: {error.strerror}") from None
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            draft.unlink()
        raise


def write_requests_csv(path: Path, requests: RequestTable) -> None:
    """One row per request in arrival order; a cell is empty where the thing never happened.

    Arrivals are written so that they are read back exactly, latencies to the nanosecond.
    """
    _write_csv(path, "--requests", REQUEST_COLUMNS, _request_rows(requests))


def _request_rows(requests: RequestTable) -> Iterator[str]:
    # There are hundreds of thousands, so nearly all pass through one format, and the time per
    # output token is worked out here rather than by a call of RequestTable.tpot_s for each.
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
        record_line,  # brings the policy's models: most runs write no decisions
    )

    with atomic_writer(path, "--decisions") as file:
        for record in decisions:
            file.write(record_line(record) + "\n")
