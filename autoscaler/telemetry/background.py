"""A bounded queue and one thread that writes what is put into it: no caller ever waits for a write.

A pipe that is not read, a full disk or a mount that hangs stops the thread and nothing else. Items
that find the queue full, and items whose write failed, are lost, counted, and marked where the next
item is written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from autoscaler.threads import BackgroundThread

FULL = "the queue was full, as writing took too long"
"""The reason of a loss for which no write failed."""

LINGER_SECONDS = 0.02
"""How long the thread lets items gather: waking it for each would cost more than writing them."""

Item = TypeVar("Item")
_Written = TypeVar("_Written", contravariant=True)


class Output(Protocol[_Written]):
    """Where a background writer writes to. Only ``lose`` is called by the threads that put items."""

    def write(self, item: _Written | None, lost: int, reason: str) -> None:
        """Writes one item, and may block.

        ``lost``: so many items are missing before it, for ``reason``; both are 0 and empty otherwise.
        None at the very end, where some are missing behind the last. Any exception: it is lost, too.
        """

    def lose(self, count: int, reason: str) -> None:
        """Counts items that were lost; returns at once."""


class BackgroundWriter(Generic[Item]):
    """Writes items in the order in which they were put; safe to use from several threads."""

    def __init__(self, name: str, output: Output[Item], limit: int) -> None:
        """``limit``: how many items may wait, besides those being written; ``name``: the thread's."""
        self._output = output
        self._limit = limit
        self._waiting: deque[tuple[int, Item]] = deque()
        """Each item with the number of those that were lost before it."""
        self._dropped = 0
        """How many were lost since the last of them."""
        self._writing = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = BackgroundThread(name, self._run)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hands an item over, or loses it; returns at once."""
        with self._changed:
            is_dropped = self._closed or len(self._waiting) >= self._limit
            if is_dropped:
                self._dropped += 1
            else:
                self._waiting.append((self._dropped, item))
                self._dropped = 0
                if not self._writing:
                    self._changed.notify_all()
        if is_dropped:
            self._output.lose(1, FULL)

    def flush(self, seconds: float) -> bool:
        """Waits until everything that was put has been written; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, seconds)

    def close(self, seconds: float) -> bool:
        """Writes what is left; False when that takes longer, and the thread is left behind."""
        self._thread.expect_end()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        lost, reason = 0, ""
        while batch := self._next():
            for dropped, item in batch:
                lost, reason = lost + dropped, reason or (FULL if dropped else "")
                try:
                    self._output.write(item, lost, reason)
                    lost, reason = 0, ""
                except Exception as error:  # one item that cannot be written never ends the thread
                    lost, reason = lost + 1, str(error) or type(error).__name__
                    self._output.lose(1, reason)
        lost += self._dropped
        if lost:
            with suppress(Exception):
                self._output.write(None, lost, reason or FULL)

    def _next(self) -> Sequence[tuple[int, Item]]:
        """The items that wait, each with the number of those dropped before it; none when all is over."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._writing = True
        if not self._closed:
            time.sleep(LINGER_SECONDS)
        with self._changed:
            batch = tuple(self._waiting)
            self._waiting.clear()
            return batch
