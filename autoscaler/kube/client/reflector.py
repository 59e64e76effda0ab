"""A list that keeps itself up to date: list once, then watch, as client-go's reflector does.

The age of a copy counts from the last word about its objects: a complete list, an event, a bookmark, or
the end of a watch when its time was over. That a watch opens is none: a proxy may open one and never pass
on what comes. A watch ends by itself after ``Pace.watch``, so a healthy server is heard at least that
often, however quiet the cluster is; it sends a bookmark just before, from which the next watch continues
without a new list. Where watches bring no word, lists do (``Pace.relist_age``).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from autoscaler.errors import ClusterError
from autoscaler.exponential_backoff import doubled
from autoscaler.kube.client.api import Api, ApiError, EventStream, Object
from autoscaler.telemetry.log_once import News
from autoscaler.threads import BackgroundThread

PAGE_SIZE = 500
GONE, ABSENT, FORBIDDEN = 410, 404, 403

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchTimings:
    """How long to listen, to wait and to believe. Times in seconds.

    ``watch``: after which the server ends one. ``silence``: of a connection, after which it is dead.
    ``max_age``: of the last word about a copy; older, it is too old to decide by, which is the one rule for
    all copies. It leaves a quiet watch room for two ends, and a silent one for a new list.
    ``early_end``: how much sooner than asked a watch may end for its time to be over.
    ``first_backoff`` doubles with each failure up to ``longest_backoff``. ``absent``: how often to look
    whether an optional resource has been installed. ``first_list``: how long to wait for the first list of
    what is watched from its first use on. ``shortest_watch``: one that ends sooner, without a
    word, is a fault and not the end of its time.
    """

    watch: int = 30
    silence: float = 45.0
    max_age: float = 60.0
    early_end: float = 1.0
    first_backoff: float = 0.5
    longest_backoff: float = 30.0
    absent: float = 30.0
    first_list: float = 3.0
    shortest_watch: float = 1.0

    @property
    def relist_age(self) -> float:
        """From this age on a watch that ended is followed by a list, which is answered at once."""
        return self.max_age / 2

    def pause(self, error: Exception, failures: int) -> float:
        """How long to wait after a failure: longer each time, and never all at once.

        A server that asks for a pause gets it, up to ``longest_backoff``: while a watch waits, its copy
        grows too old to decide by.
        """
        backoff = doubled(self.first_backoff, self.longest_backoff, failures)
        asked = (error.retry_after_seconds or 0.0) if isinstance(error, ClusterError) else 0.0
        return max(min(asked, self.longest_backoff), random.uniform(backoff / 2, backoff))


USUAL_PACE = WatchTimings()


class Store(Protocol):
    """Where the objects go. Called from the reflector's thread alone."""

    def replace(self, objects: Iterable[Object]) -> None:
        """Everything that there is now.

        They come while they are read: where that fails, the iterable raises, and the sink stays as it was.
        """

    def put(self, obj: Object) -> None:
        """An object is new or has changed."""

    def drop(self, obj: Object) -> None:
        """An object is gone."""


class Reflector:
    """One resource, in one namespace or all, kept in a sink by a thread.

    ``optional``: without such a resource there are no such objects, and that is not an error.
    ``metadata_only``: the server is asked for the objects' metadata alone (``PartialObjectMetadata``).
    """

    def __init__(
        self,
        api: Api,
        path: str,
        sink: Store,
        optional: bool = False,
        pace: WatchTimings = USUAL_PACE,
        clock: Callable[[], float] = time.monotonic,
        *,
        metadata_only: bool = False,
    ) -> None:
        self.path = path
        self._metadata_only = metadata_only
        self._api = api
        self._sink = sink
        self._optional = optional
        self._pace = pace
        self._clock = clock
        self._heard = float("-inf")
        self._opened = float("-inf")
        self._tried = False
        """A watch was tried since the last list: a list that took long must not cause another."""
        self._problem = News()
        self._synced = threading.Event()
        self._answered = threading.Event()
        self._refusal = ""
        self._stopped = threading.Event()
        self._version: str | None = None
        self._stream: EventStream | None = None
        self._thread = BackgroundThread(f"watch {path}", self._run)

    def start(self) -> None:
        """Begins to list and watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it; the sink keeps what it has."""
        self._thread.expect_end()
        self._stopped.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def wait(self, seconds: float) -> bool:
        """Waits for some seconds at most; True if the first list is complete."""
        return self._synced.wait(seconds)

    @property
    def age_seconds(self) -> float:
        """How long ago the server last said something about the objects; infinite before the first list."""
        return self._clock() - self._heard

    def refusal(self, seconds: float) -> str:
        """The server's message if it forbids reading this, empty otherwise.

        Waits until the first list is there or refused, for at most some seconds.
        """
        self._answered.wait(seconds)
        return self._refusal

    def check_complete(self) -> None:
        """Raises ``ClusterError`` when the first list is not complete."""
        if not self._synced.is_set():
            raise ClusterError(f"{self.path} was not read yet{self._why}")

    def check(self) -> None:
        """Raises ``ClusterError`` when the copy is not complete, or its last word is too old."""
        self.check_complete()
        if self.age_seconds > self._pace.max_age:
            raise ClusterError(f"{self.path} is {self.age_seconds:.0f} s old{self._why}")

    @property
    def _why(self) -> str:
        return f": {self._problem.text}" if self._problem.text else ""

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            began = self._clock()
            try:
                if self._version is None or (self._tried and self.age_seconds > self._pace.relist_age):
                    self._list()
                else:
                    self._watch(self._version)
                    failures = 0
                self._problem.text = self._refusal = ""
            except Exception as error:  # whatever it is, the next list may cure it
                if self._watched_since(began):
                    failures = 0
                if not self._stopped.is_set():
                    self._recover(error, failures)
                    failures += 1

    def _watched_since(self, began: float) -> bool:
        """True if a watch was open for a while: lists alone do not show that watches work again."""
        return self._opened >= began and self._clock() - self._opened >= self._pace.shortest_watch

    def _recover(self, error: Exception, failures: int) -> None:
        """Records the failure and waits until it is time to try again."""
        if not isinstance(error, ClusterError) or _is_status(error, GONE, ABSENT):
            self._version = None
        if self._optional and _is_status(error, ABSENT):
            self._sink.replace(())
            self._heard_now()
            self._stopped.wait(self._pace.absent)
            return
        if _is_status(error, FORBIDDEN):
            self._refusal = str(error)
            self._answered.set()
        if self._problem.is_new(str(error) or repr(error)):
            trace = None if isinstance(error, ClusterError) else error
            level = logging.INFO if _is_status(error, GONE) else logging.WARNING  # a server forgets its past
            log.log(level, "%s: %s", self.path, error, exc_info=trace)
        if failures or not _is_status(error, GONE):
            self._stopped.wait(self._pace.pause(error, failures))

    def _heard_now(self) -> None:
        self._heard_at(self._clock())

    def _heard_at(self, moment: float) -> None:
        self._heard = moment
        self._synced.set()
        self._answered.set()

    def _list(self) -> None:
        began = self._clock()  # all pages show the state at the first one
        version = ""

        def objects() -> Iterator[Object]:
            """Page by page: a sink that keeps little never holds all of them."""
            nonlocal version
            token = ""
            while True:
                query: dict[str, str | int] = {"limit": PAGE_SIZE, **({"continue": token} if token else {})}
                page = self._api.get(self.path, query, metadata_only=self._metadata_only)
                yield from page.get("items") or ()
                token = page["metadata"].get("continue", "")
                if not token:
                    version = str(page["metadata"]["resourceVersion"])
                    return

        self._sink.replace(objects())
        self._version, self._tried = version, False
        self._heard_at(began)

    def _watch(self, version: str) -> None:
        """Follows the changes since a version until the server ends the watch."""
        query: dict[str, str | int] = {
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": self._pace.watch,
        }
        began, self._tried = self._clock(), True
        self._stream = self._api.watch(
            self.path, query, self._pace.silence, metadata_only=self._metadata_only
        )
        if self._stopped.is_set():
            self._stream.close()
        self._opened = self._clock()
        for event in self._stream:
            self._take(event)
        lasted = self._clock() - began
        if self._version == version and lasted < self._pace.shortest_watch:
            raise ClusterError("the server ended the watch at once")
        if lasted >= self._pace.watch - self._pace.early_end:
            self._heard_now()

    def _take(self, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            raise ApiError(int(obj.get("code", 500)), str(obj.get("reason", "")), str(obj.get("message", "")))
        if kind == "DELETED":
            self._sink.drop(obj)
        elif kind != "BOOKMARK":
            self._sink.put(obj)
        self._heard_now()
        self._version = str(obj["metadata"]["resourceVersion"])


def _is_status(error: Exception, *statuses: int) -> bool:
    return isinstance(error, ApiError) and error.status in statuses
