"""The answers that the syncs of one round share: asked for once, and again for those that begin late.

A sync may wait for a thread for longer than its metrics stay fresh. By its turn it gets answers of
its own time, together with all others that have waited.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from autoscaler.controller.observation import QueryResults

FRESH_SECONDS = 5.0
"""Answers that were there for longer are asked for again; with a shorter sync period sooner."""


class StoppedError(Exception):
    """The source was closed while it was asked: its answers must not be used."""


class Round:
    """The answers of one round; safe to use from several threads."""

    def __init__(self, ask: Callable[[], QueryResults], clock: Callable[[], float]) -> None:
        """Asks at once. ``ask`` may raise ``StoppedError``; ``clock``: seconds that do not jump."""
        self._ask = ask
        self._clock = clock
        self._lock = Lock()
        self._answers = ask()
        self._answered_at = clock()

    def answers(self, period_seconds: float) -> QueryResults:
        """Answers that are fresh enough for a policy of this sync period.

        Raises:
            StoppedError: they had to be asked for again, and the source was closed.
        """
        fresh = min(period_seconds, FRESH_SECONDS)
        with self._lock:
            if self._clock() - self._answered_at > fresh:
                self._answers = self._ask()
                self._answered_at = self._clock()
            return self._answers
