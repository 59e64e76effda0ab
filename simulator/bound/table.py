"""The misses of all windows, as far as the prices that were asked for need them."""

from __future__ import annotations

from collections.abc import Callable

from simulator.bound.processes import WorkerProcesses
from simulator.bound.trace_windows import Band, Misses

_AHEAD = 2.0
"""How far beyond a price the table goes, so that the next one finds it ready."""


class Table:
    """A table that grows by the prices of a miss: a dear one needs more replicas, a cheap one fewer."""

    def __init__(
        self, crew: WorkerProcesses, count: int, price_s: float, progress: Callable[[float], None]
    ) -> None:
        """``count``: of windows. ``price_s``: near the first price. ``progress``: the share of the table."""
        self._crew = crew
        self._band = Band(price_s / _AHEAD, price_s * _AHEAD)
        self.misses: list[Misses] = []
        for misses in crew.extend([{}] * count, self._band):
            self.misses.append(misses)
            progress(len(self.misses) / count)

    def cover(self, price_s: float) -> bool:
        """Extends the table for a price; True if that changed it."""
        low_s, high_s = self._band
        if low_s <= price_s <= high_s:
            return False
        self._band = Band(min(low_s, price_s / _AHEAD), max(high_s, price_s * _AHEAD))
        before = self.misses
        self.misses = list(self._crew.extend(before, self._band))
        return self.misses != before
