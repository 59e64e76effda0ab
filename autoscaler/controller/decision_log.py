"""``--decision-log FILE``: one line a decision, appended, that ``autoscale replay`` reads again.

Only whole lines are left in the file: what a crash or a full disk cut off is cut off altogether.
When somebody has moved the file away (logrotate), a new one begins, in which each policy says
again what it starts from, so that every file replays by itself.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

from autoscaler.controller.reconcile import Sync
from autoscaler.decision.types import ScalingState
from autoscaler.errors import InputError, Problem
from autoscaler.policy.models import ScalingPolicy
from autoscaler.policy.vocabulary import Action
from autoscaler.records import DecisionRecord, record_line

_log = logging.getLogger(__name__)
_BLOCK = 1 << 16


class DecisionLog:
    """Appends the decisions of many policies to one file; safe to be called from several threads."""

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            InputError: it cannot be written.
        """
        self._path = path
        self._lock = threading.Lock()
        self._file = -1
        self._left: dict[str, tuple[ScalingPolicy, ScalingState]] = {}
        try:
            self._open()
        except OSError as error:
            problem = f"cannot be written: {(error.strerror or str(error)).lower()}"
            raise InputError([Problem(str(path), None, "--decision-log", problem)]) from None

    def append(self, sync: Sync) -> None:
        """Writes the decision of a sync that made one. A failure is logged, and never raised."""
        if sync.made is None:
            return
        try:
            with self._lock:
                self._append(sync)
        except OSError as error:
            self._left.clear()  # the next line of each policy must not depend on this one
            _log.error("the decision log cannot be written", extra={"error": str(error)})

    def forget(self, namespace: str, name: str) -> None:
        """A policy is gone; one of that name says again what it starts from."""
        with self._lock:
            self._left.pop(f"{namespace}/{name}", None)

    def close(self) -> None:
        """Nothing is written any more."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _append(self, sync: Sync) -> None:
        if self._file < 0 or self._was_moved():
            self._open()
        self._write(f"{record_line(self._record(sync))}\n".encode())

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
