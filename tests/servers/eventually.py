"""Waiting for what another process will do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], within: float = 10.0, every: float = 0.05) -> T:
    """What ``look`` returns, once that is true; both times in seconds.

    An ``AssertionError`` or ``OSError`` of ``look`` counts as "not yet", so that it may assert and may
    call a server that is still starting.

    Raises:
        AssertionError: it was not true in time; tells what was seen last.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            last: object = look()
            if last:
                return last  # type: ignore[return-value]
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s; last seen: {last!r}")
        time.sleep(every)
