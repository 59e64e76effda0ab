"""Waiting for what another process will do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], within: float = 30.0, every: float = 0.05) -> T:
    """The result of ``look``, once it is true; both times in seconds.

    An ``AssertionError``, ``LookupError`` or ``OSError`` of ``look`` counts as "not yet", so that it may
    assert, take the first of what is not there yet, and call a server that is still starting. ``within`` is
    for a machine that is busy; a test that passes never waits so long.

    Raises:
        AssertionError: it was not true in time; the message has the last result.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            last: object = look()
            if last:
                return last  # type: ignore[return-value]
        except (AssertionError, LookupError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s; last seen: {last!r}")
        time.sleep(every)
