"""Health of the certificate's renewals, for probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST_SECONDS = 600.0
"""A renewal is a few requests, each with a time-out of its own."""


class Renewals:
    """Outcome of the last renewal, and the start of the one under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._fault: str | None = "the certificate has not been looked at yet"

    @contextmanager
    def look(self) -> Iterator[None]:
        """One look at the certificate, within the block. An exception is a fault until the next one."""
        self._since = self._clock()
        try:
            yield
            self._fault = None
        except Exception as error:
            self._fault = str(error)
            raise
        finally:
            self._since = None

    def alive(self) -> str | None:
        """None, or a message that a renewal takes too long."""
        since = self._since
        seconds = 0.0 if since is None else self._clock() - since
        return f"a renewal has been under way for {seconds:.0f} s" if seconds > LONGEST_SECONDS else None

    def ready(self) -> str | None:
        """None, or why the last look failed."""
        return self._fault
