"""Statuses on their way to the store, written by threads of their own.

A sync must not wait for its status: an API server that is slow with statuses would hold up the next
policy's replicas. Only the newest status of each policy is kept; those of a scaling go first, since
a restart needs them. What cannot be written is tried again, ever more rarely, until it can, a newer
one replaces it or the policy is gone. Neither the statuses that failed before nor those of one
namespace have all threads, so that what is refused or hangs delays no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

from autoscaler.api.vocabulary import Action
from autoscaler.controller.backoff import Backoff
from autoscaler.errors import ClusterError
from autoscaler.ports.policies import AnyPolicy, PolicyStore
from autoscaler.ports.targets import Fence
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from autoscaler.threads import BackgroundThread

WRITERS = 4
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
DRAIN_SECONDS = 5.0

_log = logging.getLogger(__name__)
_Name = tuple[str, str]
_Entry = tuple[AnyPolicy, Mapping[str, object]]


class StatusQueue:
    """Takes statuses as a ``ports.policies.PolicyStore`` does, and returns at once."""

    def __init__(
        self,
        store: PolicyStore,
        fence: Fence,
        metrics: ControllerMetrics,
        retry_seconds: float = RETRY_SECONDS,
        longest_retry_seconds: float = LONGEST_RETRY_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
        writers: int = WRITERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``retry_seconds``: after a first failure; each further one doubles it, up to the longest.

        ``drain_seconds``: how long ``close`` waits; ``writers``: threads; ``clock``: seconds that do not
        jump, for retries.
        """
        self._store = store
        self._fence = fence
        self._drain_seconds = drain_seconds
        self._clock = clock
        self._share = max(1, writers - 1)
        self._written = metrics.api_requests
        self._waiting: OrderedDict[_Name, _Entry] = OrderedDict()
        self._failed: Backoff[_Name] = Backoff(retry_seconds, longest_retry_seconds)
        self._failed_first: set[_Name] = set()
        """Those that have failed for the first time since anything was written."""
        self._logged: dict[_Name, str] = {}
        self._outage = False
        """A warning says that nothing can be written, and nothing was written since."""
        self._in_flight: set[_Name] = set()
        self._namespaces: Counter[str] = Counter()
        """Writes in flight by namespace."""
        self._changed = threading.Condition()
        self._is_closed = self._is_over = False
        metrics.statuses_in_backoff.set_function(lambda: len(self._failed))
        self._threads = [BackgroundThread(f"statuses-{number}", self._run) for number in range(writers)]
        for thread in self._threads:
            thread.start()

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        """Puts a status in the place of what waits for this policy."""
        key = (stored.namespace, stored.name)
        with self._changed:
            self._waiting[key] = (stored, status)
            if _is_urgent(status):
                self._waiting.move_to_end(key, last=False)
            self._changed.notify()

    def close(self) -> None:
        """Writes the remaining statuses, for at most some seconds."""
        for thread in self._threads:
            thread.expect_end()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        deadline = time.monotonic() + self._drain_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            policy, status = entry
            key = (policy.namespace, policy.name)
            try:
                self._write(policy, status)
            finally:
                with self._changed:
                    self._in_flight.discard(key)
                    self._namespaces[policy.namespace] -= 1
                    self._changed.notify_all()

    def _next(self) -> _Entry | None:
        """The first that may be written now, taken out; None when it is over."""
        with self._changed:
            while True:
                key, wait = self._pick()
                if key is not None and not self._is_over:
                    self._in_flight.add(key)
                    self._namespaces[key[0]] += 1
                    return self._waiting.pop(key)
                if self._is_over or (self._is_closed and not self._waiting):
                    return None
                self._changed.wait(wait)

    def _pick(self) -> tuple[_Name | None, float | None]:
        """The first that may be written now, those that failed last; otherwise how long to wait."""
        now = self._clock()
        retry: _Name | None = None
        soonest: float | None = None
        is_retrying = any(key in self._failed for key in self._in_flight)
        for key in self._waiting:
            if key in self._in_flight or self._namespaces[key[0]] >= self._share:
                continue
            if key not in self._failed:
                return key, None
            wait = self._failed.until(key) - now
            if wait > 0:
                soonest = wait if soonest is None else min(soonest, wait)
            elif retry is None and not is_retrying:
                retry = key
        return retry, soonest

    def _write(self, policy: AnyPolicy, status: Mapping[str, object]) -> None:
        """Writes a status, or keeps it for another try."""
        key = (policy.namespace, policy.name)
        if self._fence.may_write():  # otherwise another process writes this policy's status now
            try:
                self._store.write_status(policy, status)
            except ClusterError as error:
                if not self._is_gone(policy):
                    self._keep(policy, status, str(error))
                    return
            except Exception:  # one status never stops the others
                _log.exception("a status could not be written")
                self._written.labels("write_status", "error").inc()
            else:
                self._written.labels("write_status", "ok").inc()
                self._end_outage()
        self._failed.clear(key)
        self._logged.pop(key, None)

    def _keep(self, policy: AnyPolicy, status: Mapping[str, object], error: str) -> None:
        """Puts a status back for another try."""
        key = (policy.namespace, policy.name)
        self._written.labels("write_status", "error").inc()
        with self._changed:
            if key not in self._failed:
                self._failed_first.add(key)
            self._failed.fail(key, self._clock())
            self._waiting.setdefault(key, (policy, status))
            waiting = len(self._waiting)
        # One warning for an outage, whomever it meets, and one for what a policy alone meets for ever.
        is_news = not self._outage and self._logged.get(key) != error
        names = {"namespace": policy.namespace, "policy": policy.name, "error": error, "waiting": waiting}
        level = logging.WARNING if is_news else logging.DEBUG
        _log.log(level, "status not written, will be tried again", extra=names)
        if is_news:
            self._logged[key] = error
            self._outage = True

    def _end_outage(self) -> None:
        if self._outage:
            _log.info("statuses are written again", extra={"waiting": len(self._waiting) + 1})
        with self._changed:
            self._outage = False
            for key in self._failed_first:  # it may have been an outage, which is over
                self._failed.expire(key)
            self._failed_first.clear()
            self._changed.notify()

    def _is_gone(self, policy: AnyPolicy) -> bool:
        """True if the status would have no reader: the policy was deleted, or created again."""
        there: list[AnyPolicy] = []
        try:
            there += self._store.policies()
            there += self._store.refused()
        except ClusterError:
            return False
        return _identity(policy) not in map(_identity, there)


def _identity(policy: AnyPolicy) -> tuple[str, str, str]:
    return policy.namespace, policy.name, policy.uid


def _is_urgent(status: Mapping[str, object]) -> bool:
    last = status.get("lastDecision")
    return isinstance(last, Mapping) and last.get("action") == Action.SCALED
