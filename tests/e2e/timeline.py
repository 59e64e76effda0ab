"""How a target's replicas went, as somebody sees who looks often."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.servers.eventually import eventually


class Timeline:
    """The changes of a number; ``look`` returns it, and each wait here looks too."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self.changes: list[tuple[float, int]] = [(time.monotonic(), look())]

    @property
    def values(self) -> list[int]:
        """What it was, one after the other."""
        return [value for _, value in self.changes]

    def look(self) -> int:
        """What it is now."""
        value = self._look()
        if value != self.changes[-1][1]:
            self.changes.append((time.monotonic(), value))
        return value

    def reaches(self, value: int, within: float = 30.0) -> None:
        """Waits, in seconds, until it is that."""
        eventually(lambda: self.look() == value, within)
