"""Many concurrent questions in bounded time: each gets an outcome, whatever happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

from autoscaler.errors import QueryError, SourceError

GRACE_SECONDS = 1.0
"""How long after the deadline a try may end by itself, with its own reason; DNS knows no deadline."""

LOOK_SECONDS = 0.2
"""The interval at which a wait for answers checks for a closed source."""

_log = logging.getLogger(__name__)

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
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


def query_all(
    pool: ThreadPoolExecutor,
    keys: Iterable[_Key],
    ask: Callable[[_Key, float], _Result],
    deadline_seconds: float,
    closed: Event,
) -> dict[_Key, _Result | str]:
    """The result for each distinct key, or the error instead.

    ``ask`` gets a key and the time.monotonic() to be done by, and raises SourceError or QueryError.
    One that hangs beyond that, or when ``closed`` is set, is left behind, and keeps its thread until its
    own timeouts end it.
    """
    deadline = time.monotonic() + deadline_seconds
    futures: dict[_Key, Future[_Result]] = {}
    for key in dict.fromkeys(keys):
        futures[key] = pool.submit(ask, key, deadline)
    _await(futures.values(), deadline + GRACE_SECONDS, closed)
    late = "the source was closed" if closed.is_set() else f"no answer within {deadline_seconds:g} s"
    return {key: _outcome(future, late) for key, future in futures.items()}


def _await(futures: Iterable[Future[Any]], until: float, closed: Event) -> None:
    pending = set(futures)
    while pending and not closed.is_set() and (left := until - time.monotonic()) > 0:
        pending = wait(pending, timeout=min(LOOK_SECONDS, left)).not_done


def _outcome(future: Future[Any], late: str) -> Any:
    if future.cancel() or not future.done():
        return late
    try:
        return future.result()
    except (SourceError, QueryError) as error:
        return str(error)
    except Exception as error:  # one question never takes the others' answers
        _log.exception("a question failed")
        return f"{type(error).__name__}: {error}"
