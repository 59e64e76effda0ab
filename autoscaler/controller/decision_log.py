"""``--decision-log FILE``: one line a decision, appended, that ``autoscale replay`` reads again.

A thread of its own writes, so that a file that blocks stops no sync. Only whole lines are left in
the file: what a crash or a full disk cut off is cut off altogether. Where decisions were lost a line
says how many, and behind it each policy says again what it starts from; so it does in the new file
when the old one was moved away (logrotate). Every file replays by itself.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.vocabulary import Action
from autoscaler.controller.reconcile import Sync
from autoscaler.decision.types import ScalingState
from autoscaler.errors import Diagnostic, InputError
from autoscaler.history.records import DecisionRecord, LogGap, gap_line, record_line
from autoscaler.telemetry.background import BackgroundWriter

MAX_WAITING = 4096
"""Decisions that may wait to be written."""

CLOSE_SECONDS = 2.0
"""How long the end of the process waits for the decisions that are left."""

_log = logging.getLogger(__name__)
_BLOCK = 1 << 16


class DecisionLog:
    """Appends the decisions of many policies to one file; safe to be called from several threads.

    ``write`` and ``lose`` are for the thread that writes.
    """

    def __init__(self, path: Path, limit: int = MAX_WAITING, clock: Callable[[], float] = time.time) -> None:
        """Opens the file. ``limit``: decisions that may wait; ``clock``: the time of a gap.

        Raises:
            InputError: it cannot be written.
        """
        self._path = path
        self._clock = clock
        self._file = -1
        self._left: dict[str, tuple[ScalingPolicy, ScalingState]] = {}
        self._count: Callable[[int], object] = lambda _: None
        self._in_trouble = False
        try:
            self._open()
        except OSError as error:
            problem = f"cannot be written: {(error.strerror or str(error)).lower()}"
            raise InputError([Diagnostic(str(path), None, "--decision-log", problem)]) from None
        self._writer: BackgroundWriter[Sync] = BackgroundWriter("decision log", self, limit)

    def count_losses(self, count: Callable[[int], object]) -> None:
        """Calls ``count`` with a number of decisions whenever they were lost."""
        self._count = count

    def append(self, sync: Sync) -> None:
        """Hands over the decision of a sync that made one; returns at once and never fails."""
        if sync.made is not None:
            self._writer.put(sync)

    def forget(self, namespace: str, name: str) -> None:
        """Forgets a policy that is gone. The log needs nothing for that: a new policy is written anyway."""
        self._left.pop(f"{namespace}/{name}", None)

    def flush(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Waits for what was appended to be written; False when that takes longer."""
        return self._writer.flush(seconds)

    def close(self) -> None:
        """Writes what is left, for some seconds, and nothing more."""
        if self._writer.close(CLOSE_SECONDS) and self._file >= 0:
            os.close(self._file)
            self._file = -1

    def write(self, item: Sync | None, lost: int, reason: str) -> None:
        """Writes a decision, behind a line for those that are missing before it."""
        if self._file < 0 or self._was_moved():
            self._open()
        lines = []
        if lost:
            self._left.clear()  # the next line of each policy must not depend on those before the gap
            lines.append(gap_line(LogGap(self._clock(), lost, reason)))
        if item is not None:
            lines.append(record_line(self._record(item)))
        self._write("".join(f"{line}\n" for line in lines).encode())
        self._in_trouble = False
        if lost:
            _log.warning("the decision log is written again", extra={"lost": lost})

    def lose(self, count: int, reason: str) -> None:
        """Counts decisions that were lost, and logs the first in a row."""
        self._count(count)
        if not self._in_trouble:
            _log.error("the decision log cannot be written", extra={"error": reason})
        self._in_trouble = True

    def _record(self, sync: Sync) -> DecisionRecord:
        """The record, with the policy and the state where the line before does not imply them."""
        made, policy = sync.made, sync.stored.policy
        assert made is not None
        name = f"{sync.stored.namespace}/{sync.stored.name}"
        known, left = self._left.get(name, (None, None))
        self._left[name] = (policy, made.after)
        held = sync.outcome.action is Action.HELD
        record = DecisionRecord(
            sync.now,
            made.observation,
            made.decision,
            sync.outcome.action,
            note="" if held else sync.outcome.message,
            policy_name=name,
        )
        if known is policy and left is made.before:
            return record
        return replace(record, policy=policy, state=made.before)

    def _was_moved(self) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(self._file)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._left.clear()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._is_regular():
            os.ftruncate(self._file, self._end_of_last_line())

    def _is_regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._file).st_mode)

    def _end_of_last_line(self) -> int:
        end = os.fstat(self._file).st_size
        while end > 0:
            start = max(0, end - _BLOCK)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def _write(self, line: bytes) -> None:
        written = os.write(self._file, line)
        if written < len(line) and self._is_regular():
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(f"only {written} of {len(line)} bytes could be written")
