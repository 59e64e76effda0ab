"""The two clocks of a live process, so that tests can bring their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from autoscaler.timestamps import running_seconds


@dataclass(frozen=True, slots=True)
class Clock:
    """``wall``: seconds since the epoch, which may jump. ``steady``: seconds of any origin, which do not.

    A suspended machine makes no jump: both clocks continue, and the memory has a gap without observations.
    """

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = running_seconds

    @property
    def offset(self) -> float:
        """Changes by as much as the wall clock jumps."""
        return self.wall() - self.steady()
