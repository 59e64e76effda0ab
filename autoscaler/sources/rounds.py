"""Many things asked at once, in bounded time: whatever happens, there is an outcome for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from autoscaler.errors import QueryError, SourceError

GRACE_SECONDS = 1.0
"""How long after the deadline a try may end by itself, with its own reason; DNS knows no deadline."""

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how hard to try. Times in seconds.

    ``deadline``: for all questions of one call together. ``attempt``: for one try of one query.
    ``first_wait`` doubles with each try up to ``longest_wait``; the wait itself is random between 0
    and that (full jitter). ``longest_pause``: how far a server's Retry-After is obeyed.
    """

    deadline: float = 10.0
    attempt: float = 8.0
    concurrency: int = 8
    first_wait: float = 0.25
    longest_wait: float = 4.0
    longest_pause: float = 120.0


def ask_all(
    pool: ThreadPoolExecutor,
    keys: Iterable[_Key],
    ask: Callable[[_Key, float], _Result],
    deadline_seconds: float,
) -> dict[_Key, _Result | str]:
    """The result for each distinct key, or why there is none.

    ``ask`` gets a key and the time.monotonic() to be done by, and raises SourceError or QueryError.
    One that hangs beyond that is left behind, and keeps its thread until its own timeouts end it.
    """
    deadline = time.monotonic() + deadline_seconds
    futures: dict[_Key, Future[_Result]] = {}
    for key in dict.fromkeys(keys):
        futures[key] = pool.submit(ask, key, deadline)
    wait(futures.values(), timeout=deadline + GRACE_SECONDS - time.monotonic())
    return {key: _outcome(future, deadline_seconds) for key, future in futures.items()}


def _outcome(future: Future[Any], deadline_seconds: float) -> Any:
    if future.cancel() or not future.done():
        return f"no answer within {deadline_seconds:g} s"
    try:
        return future.result()
    except (SourceError, QueryError) as error:
        return str(error)
