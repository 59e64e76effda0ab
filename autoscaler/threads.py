"""The background threads of a process, and whether one of them has ended that should still run.

A thread that fails leaves a copy that is not renewed or a queue that is not emptied, and nothing
else of the process notices. Health asks ``PROCESS.fault()``, so that the process is started again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class ThreadRegistry:
    """The threads that run, and the first one that ended before its owner wanted it to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: str | None = None

    def fault(self) -> str | None:
        """Why the process is not whole any more; None while all threads run that should."""
        return self._fault

    def ended(self, name: str, reason: str) -> None:
        """A thread has ended by itself. Only the first one is kept: the others may follow from it."""
        with self._lock:
            self._fault = self._fault or f"the thread {name!r} has ended: {reason}"


PROCESS = ThreadRegistry()
"""The registry of this process: its health pages ask it."""


class BackgroundThread(threading.Thread):
    """A daemon thread that is to run until its owner calls ``expect_end``.

    ``work`` is its whole life. That it raises, or returns before that call, is a fault in ``registry``.
    """

    def __init__(self, name: str, work: Callable[[], None], registry: ThreadRegistry = PROCESS) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._registry = registry
        self._expected = threading.Event()

    def expect_end(self) -> None:
        """From now on it may end: its owner stops it."""
        self._expected.set()

    def run(self) -> None:
        """Works; an exception is logged, and kept as the reason."""
        reason = "it returned"
        try:
            self._work()
        except BaseException as error:
            _log.critical("the thread %s has failed", self.name, exc_info=error)
            reason = f"{type(error).__name__}: {error}"
        if not self._expected.is_set():
            self._registry.ended(self.name, reason)
