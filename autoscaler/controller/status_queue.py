"""Statuses on their way to the store, written by a thread of their own.

A sync must not wait for its status: an API server that is slow with statuses would hold up the next
policy's replicas. Only the newest status of each policy is kept; those that tell of a scaling go
first, since a restart needs them. What cannot be written stays, until it can, a newer one comes or the
policy is gone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping

from autoscaler.errors import ClusterError
from autoscaler.policy.vocabulary import Action
from autoscaler.ports import AnyPolicy, Fence, PolicyStore
from autoscaler.telemetry.metrics import Metrics
from autoscaler.threads import BackgroundThread

RETRY_SECONDS = 1.0
DRAIN_SECONDS = 5.0

_log = logging.getLogger(__name__)
_Entry = tuple[AnyPolicy, Mapping[str, object]]


class StatusQueue:
    """Takes statuses as a ``ports.PolicyStore`` does, and returns at once."""

    def __init__(
        self,
        store: PolicyStore,
        fence: Fence,
        metrics: Metrics,
        retry_seconds: float = RETRY_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        """``retry_seconds``: after a write that failed; ``drain_seconds``: how long ``close`` goes on."""
        self._store = store
        self._fence = fence
        self._retry_seconds = retry_seconds
        self._drain_seconds = drain_seconds
        self._written = metrics.api_requests
        self._waiting: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._told: dict[tuple[str, str], str] = {}
        self._outage = False
        """A warning tells that nothing can be written, and nothing was written since."""
        self._changed = threading.Condition()
        self._closed_at: float | None = None
        self._thread = BackgroundThread("statuses", self._run)
        self._thread.start()

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        """Puts a status in the place of what waits for this policy."""
        key = (stored.namespace, stored.name)
        with self._changed:
            self._waiting[key] = (stored, status)
            if _is_urgent(status):
                self._waiting.move_to_end(key, last=False)
            self._changed.notify()

    def close(self) -> None:
        """Writes what is left, for some seconds."""
        self._thread.expect_end()
        with self._changed:
            self._closed_at = time.monotonic()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            if not self._write(*entry):
                time.sleep(self._retry_seconds)

    def _next(self) -> _Entry | None:
        """The first that waits; None when it is over."""
        with self._changed:
            while not self._waiting and self._closed_at is None:
                self._changed.wait()
            age = 0.0 if self._closed_at is None else time.monotonic() - self._closed_at
            is_late = age > self._drain_seconds
            return None if is_late or not self._waiting else self._waiting.popitem(last=False)[1]

    def _write(self, policy: AnyPolicy, status: Mapping[str, object]) -> bool:
        """Whether there is nothing more to do about this status."""
        if not self._fence.holds():
            return True  # another process tells about this policy now
        try:
            self._store.write_status(policy, status)
        except ClusterError as error:
            if not self._is_gone(policy):
                self._keep(policy, status, str(error))
                return False
        except Exception:  # one status never stops the others
            _log.exception("a status could not be written")
            self._written.labels("write_status", "error").inc()
        else:
            self._written.labels("write_status", "ok").inc()
            self._tell_over()
        self._told.pop((policy.namespace, policy.name), None)
        return True

    def _keep(self, policy: AnyPolicy, status: Mapping[str, object], error: str) -> None:
        """For another try."""
        key = (policy.namespace, policy.name)
        self._written.labels("write_status", "error").inc()
        with self._changed:
            self._waiting.setdefault(key, (policy, status))
            waiting = len(self._waiting)
        # One warning for an outage, whomever it meets, and one for what a policy alone meets for ever.
        is_news = not self._outage and self._told.get(key) != error
        names = {"namespace": policy.namespace, "policy": policy.name, "error": error, "waiting": waiting}
        level = logging.WARNING if is_news else logging.DEBUG
        _log.log(level, "status not written, will be tried again", extra=names)
        if is_news:
            self._told[key] = error
            self._outage = True

    def _tell_over(self) -> None:
        if self._outage:
            _log.info("statuses are written again", extra={"waiting": len(self._waiting) + 1})
        self._outage = False

    def _is_gone(self, policy: AnyPolicy) -> bool:
        """Whether nobody could read the status: the policy was deleted, or made anew."""
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
