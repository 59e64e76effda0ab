"""The results of a batch, one JSON line each, in the order in which they came.

A line is written at once with its line end, so a process that is killed leaves at most one torn line,
the last: it is cut off, and that row counts as never sent. Nothing else is kept, so nothing can
disagree with it. Line data reaches the disk every few seconds and at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from autoscaler.batch.results import FIELDS, RowResult
from autoscaler.errors import Diagnostic, InputError

SYNC_S = 5.0


class Journal:
    """One results file, open for this process alone: ``with Journal(path) as journal``.

    ``done``: the key of every row that has a result. ``failed``: how many of those are errors. ``lost``:
    how many results were dropped at opening because they hold no answer; those rows count as never sent.
    """

    def __init__(self, path: Path, *, retry_errors: bool = False) -> None:
        """``retry_errors``: rows with an error lose it, and count as never sent."""
        self.path = path
        self.done: dict[int, str] = {}
        self.failed = 0
        self.lost = 0
        self._retry_errors = retry_errors
        self._file = -1
        self._synced = 0.0

    def __enter__(self) -> Self:
        """Opens or makes the file.

        Raises:
            InputError: it cannot be opened, is another process's, or holds something else.
        """
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            opened = os.fstat(self._file)
            if not stat.S_ISREG(opened.st_mode):
                raise self._wrong(None, "is not a regular file; results are read again when a run is resumed")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(opened, self.path.stat()):
                raise BlockingIOError  # replaced between opening and locking
            self._resume()
        except BlockingIOError:
            self._close()
            raise self._wrong(None, "another `autoscale batch` writes it right now") from None
        except OSError as error:
            self._close()
            raise self._wrong(None, f"cannot be written: {error.strerror}") from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync(self._file)
        if not os.fstat(self._file).st_size and not self.path.is_symlink():
            self.path.unlink()  # an empty file would say that something was done
        self._close()

    def append(self, result: RowResult) -> None:
        """Keeps a result, whatever happens to this process afterwards.

        Raises:
            InputError: the disk is full, or otherwise refuses.
        """
        # OpenAI's name for the id is there, too, so that a reader of its batch files finds everything.
        line = {**{name: getattr(result, name) for name in FIELDS}, "custom_id": result.id}
        # Half a surrogate pair, which JSON can say and UTF-8 cannot, becomes a question mark.
        self._write((json.dumps(line, ensure_ascii=False) + "\n").encode(errors="replace"))
        if monotonic() - self._synced > SYNC_S:
            self._sync()
        self.done[result.row] = result.key
        self.failed += result.error is not None

    def has(self, row: int, key: str) -> bool:
        """True if a row has a result.

        Raises:
            InputError: it has one, but of something else that was asked.
        """
        if self.done.get(row, key) != key:
            message = f"row {row} was asked something else (text, model or parameters); name another file"
            raise self._wrong(None, message)
        return row in self.done

    def check_size(self, rows: int) -> None:
        """``rows``: how many of the input's rows have a result.

        Raises:
            InputError: there are results of other rows.
        """
        if len(self.done) != rows:
            message = (
                f"has results of {len(self.done) - rows:,} rows that the input has not; name another file"
            )
            raise self._wrong(None, message)

    def results(self) -> Iterator[RowResult]:
        """All results so far, in the order of the file."""
        with self.path.open("rb") as file:
            yield from map(_parse, file)

    def ordered(self) -> Iterator[RowResult]:
        """All results so far, by row. Their places alone are held in memory, as answers may be large."""
        with self.path.open("rb") as file:
            places, place = [], 0
            for line in file:
                places.append((_parse(line).row, place))
                place += len(line)
            for _, place in sorted(places):
                file.seek(place)
                yield _parse(file.readline())

    def _resume(self) -> None:
        """Reads what is there, cuts off a torn line, and goes to the end."""
        end = 0
        dropped: set[int] = set()
        with os.fdopen(os.dup(self._file), "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                result = self._read(number, line)
                end += len(line)
                if result.lost or (self._retry_errors and result.error is not None):
                    self.lost += result.lost
                    dropped.add(number)
                    continue
                if result.row in self.done:
                    raise self._wrong(number, f"row {result.row} has a second result")
                self.done[result.row] = result.key
                self.failed += result.error is not None
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        if dropped:
            self._rewrite(dropped)

    def _rewrite(self, dropped: set[int]) -> None:
        """Replaces the file by one without some lines; both are locked until that has happened.

        Not by ``files.atomic_bytes``: the draft is locked before it has the name, and stays open afterwards.
        """
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        old, self._file = (
            self._file,
            os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666),
        )
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number not in dropped:
                    self._write(line)
        self._sync()
        draft.replace(self.path)
        os.close(old)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise self._wrong(None, f"cannot be written: {error.strerror}") from None

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._wrong(None, f"cannot be written: {error.strerror}") from None
        self._synced = monotonic()

    def _read(self, number: int, line: bytes) -> RowResult:
        try:
            result = _parse(line)
            return replace(result, row=int(result.row))
        except (ValueError, TypeError, AttributeError):
            message = "is not a result of `autoscale batch`; name another file, or move this one away"
            raise self._wrong(number, message) from None

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _wrong(self, line: int | None, message: str) -> InputError:
        return InputError([Diagnostic(str(self.path), line, "--output", message)])


def _parse(line: bytes) -> RowResult:
    fields: dict[str, Any] = json.loads(line)
    fields.pop("custom_id", None)
    return RowResult(**fields)
