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
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from autoscaler.errors import InputError, Problem

SYNC_S = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one row. ``error``: why there is no output, after all attempts."""

    row: int
    id: str
    key: str
    output: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    attempts: int
    error: str | None


FIELDS = tuple(Result.__dataclass_fields__)


class Journal:
    """One results file, open for this process alone: ``with Journal(path) as journal``.

    ``done``: the key of every row that has a result. ``failed``: how many of those are errors.
    """

    def __init__(self, path: Path, *, retry_errors: bool = False) -> None:
        """``retry_errors``: rows with an error lose it, and count as never sent."""
        self.path = path
        self.done: dict[int, str] = {}
        self.failed = 0
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
                raise self._wrong(None, "is no regular file; results are read again when a run goes on")
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

    def append(self, result: Result) -> None:
        """Keeps a result, whatever happens to this process afterwards.

        Raises:
            InputError: the disk is full, or otherwise refuses.
        """
        # Half a surrogate pair, which JSON can say and UTF-8 cannot, becomes a question mark.
        data = (json.dumps(asdict(result), ensure_ascii=False) + "\n").encode(errors="replace")
        try:
            while data:
                data = data[os.write(self._file, data) :]
            if monotonic() - self._synced > SYNC_S:
                os.fsync(self._file)
                self._synced = monotonic()
        except OSError as error:
            raise self._wrong(None, f"cannot be written: {error.strerror}") from None
        self.done[result.row] = result.key
        self.failed += result.error is not None

    def has(self, row: int, key: str) -> bool:
        """Whether a row has a result.

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

    def results(self) -> Iterator[Result]:
        """All results so far, in the order of the file."""
        with self.path.open("rb") as file:
            for line in file:
                yield Result(**json.loads(line))

    def _resume(self) -> None:
        """Reads what is there, cuts off a torn line, and goes to the end."""
        end = 0
        dropped = False
        with os.fdopen(os.dup(self._file), "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                result = self._read(number, line)
                end += len(line)
                if self._retry_errors and result.error is not None:
                    dropped = True
                    continue
                if result.row in self.done:
                    raise self._wrong(number, f"row {result.row} has a second result")
                self.done[result.row] = result.key
                self.failed += result.error is not None
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        if dropped:
            self._rewrite()

    def _rewrite(self) -> None:
        """Replaces the file by one without errors; both are locked until that has happened."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        old, self._file = (
            self._file,
            os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666),
        )
        fcntl.flock(self._file, fcntl.LOCK_EX)
        for result in self.results():
            if result.error is None:
                self.append(result)
        os.fsync(self._file)
        draft.replace(self.path)
        os.close(old)

    def _read(self, number: int, line: bytes) -> Result:
        try:
            fields: Any = json.loads(line)
            return Result(**fields | {"row": int(fields["row"])})
        except (ValueError, TypeError, LookupError):
            message = "is no result of `autoscale batch`; name another file, or move this one away"
            raise self._wrong(number, message) from None

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _wrong(self, line: int | None, message: str) -> InputError:
        return InputError([Problem(str(self.path), line, "--output", message)])
