"""Leader election over a Lease, and the fence that it gives to writes.

As in client-go, the process that holds the Lease renews it every few seconds, and another takes it
over when it has not changed for its whole duration on the other's own clock. Clocks are never
compared. Every write carries the Lease's resourceVersion, so of two that try only one succeeds.

The fence is stricter than client-go, which stops its leader only some time after it failed to
renew: a write is allowed while the Lease will last for longer than the write may take. A process
that is paused between that look and the write is caught by the write's own precondition, the
resourceVersion of the target.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from autoscaler.api.models import MAX_INT32
from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import Api, ApiError, Object
from autoscaler.telemetry.log_once import News
from autoscaler.threads import BackgroundThread
from autoscaler.timestamps import running_seconds, to_rfc3339

RETRY_SECONDS = 2.0
MARGIN_SECONDS = 1.0
"""For clocks that do not run equally fast, and what a write needs besides its timeout."""
LONGEST_LEASE_SECONDS = 3600
"""As much as ``--lease-seconds`` allows: what another has written never keeps us waiting for longer."""
NEVER = float("-inf")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Which Lease, and who wants it. ``seconds``: how long it lasts without being renewed."""

    namespace: str
    name: str
    identity: str
    seconds: int = 15


class LeaderElection:
    """``ports.cluster.Fence``: one candidate, in a thread of its own."""

    def __init__(
        self,
        api: Api,
        settings: LeaseSettings,
        clock: Callable[[], float] = running_seconds,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self._wall_clock = wall_clock
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        self._path = f"{self._collection}/{settings.name}"
        self._deadline = NEVER
        self._resigned = False
        self._ours: Object | None = None
        self._seen: tuple[str, float] = ("", NEVER)
        self._logged = News()
        self._stopped = threading.Event()
        self._thread = BackgroundThread("lease", self._run)

    def start(self) -> None:
        """Becomes a candidate."""
        self._thread.start()

    def stop(self) -> None:
        """Withdraws, and gives the Lease back so that another need not wait for its end.

        Only for a process that writes no more.
        """
        self._thread.expect_end()
        self._stopped.set()
        self._thread.join(RETRY_SECONDS + 3 * self._api.write_seconds)
        self._give_back()

    def give_up(self, pause: Callable[[float], object] = time.sleep) -> None:
        """Ends the lead of a process whose threads may still write: ``holds`` is False from here on.

        The Lease is given back once a write that was allowed before must have ended.
        """
        leads = self._deadline > self._clock()
        self._resigned = True
        self._stopped.set()
        if leads:
            pause(self._api.write_seconds + MARGIN_SECONDS)
            self._give_back()

    def _give_back(self) -> None:
        self._resigned = True
        if self._deadline > self._clock() and self._ours is not None:
            self._deadline = NEVER
            try:
                self._put(self._ours, {"holderIdentity": "", "leaseDurationSeconds": 1})
            except ClusterError as error:
                log.info("the lease was not given back: %s", error)

    def may_write(self) -> bool:
        """True if this process leads, and will for longer than a write may take."""
        lasts_until = NEVER if self._resigned else self._deadline
        return self._clock() + self._api.write_seconds + MARGIN_SECONDS < lasts_until

    def _run(self) -> None:
        while not self._stopped.is_set():
            was_leader = self.may_write()
            try:
                self.step()
            except Exception:  # a candidate that ends in silence would never lead again
                log.exception("the lease %s", self._path)
            if self.may_write() is not was_leader:
                log.info("%s the lease %s", "holding" if self.may_write() else "without", self._path)
            self._stopped.wait(RETRY_SECONDS * random.uniform(0.8, 1.0))

    def step(self) -> None:
        """One attempt to renew the Lease, or to get it."""
        try:
            if self._ours is not None:
                self._hold(self._ours, {})
            else:
                self._acquire()
        except ApiError as error:
            if error.status in (404, 409):  # another process wrote or deleted it
                self._ours = None
                self._deadline = NEVER
            else:
                self._log_news(logging.WARNING, str(error))
        except ClusterError as error:  # it may have been written, so read it first
            self._log_news(logging.WARNING, str(error))
            self._ours = None

    def _log_news(self, level: int, message: str) -> None:
        """Logs a message that is new; attempts come every two seconds."""
        if self._logged.is_new(message):
            log.log(level, "the lease %s: %s", self._path, message)

    def _acquire(self) -> None:
        try:
            lease = self._api.get(self._path)
        except ApiError as error:
            if error.status != 404:
                raise
            self._create()
            return
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") == self._settings.identity:
            self._hold(lease, {})
            return
        self._deadline = NEVER
        if self._is_free(lease, spec):
            transitions = _clamp(spec.get("leaseTransitions"), MAX_INT32 - 1) + 1
            self._hold(lease, {"acquireTime": self._now(), "leaseTransitions": transitions})
        else:
            self._log_news(logging.INFO, f"held by {spec['holderIdentity']}; standing by")

    def _is_free(self, lease: Object, spec: Object) -> bool:
        """True if no process holds it: it was given back, or not renewed while we watched."""
        version, since = self._seen
        if lease["metadata"]["resourceVersion"] != version:
            since = self._clock()
            self._seen = lease["metadata"]["resourceVersion"], since
        lasts = _clamp(spec.get("leaseDurationSeconds"), LONGEST_LEASE_SECONDS) or self._settings.seconds
        return not spec.get("holderIdentity") or self._clock() - since > lasts

    def _create(self) -> None:
        began = self._clock()
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._settings.name, "namespace": self._settings.namespace},
            "spec": {**self._claim(), "acquireTime": self._now(), "leaseTransitions": 0},
        }
        self._ours = self._api.create(self._collection, body)
        self._deadline = began + self._settings.seconds

    def _hold(self, lease: Object, changes: Object) -> None:
        """Writes the Lease as ours. It lasts from before the call, as others count from after it."""
        began = self._clock()
        self._ours = self._put(lease, {**self._claim(), **changes})
        self._deadline = began + self._settings.seconds
        self._logged = News()

    def _put(self, lease: Object, changes: Object) -> Object:
        return self._api.replace(self._path, {**lease, "spec": {**(lease.get("spec") or {}), **changes}})

    def _claim(self) -> Object:
        return {
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": self._settings.seconds,
            "renewTime": self._now(),
        }

    def _now(self) -> str:
        return to_rfc3339(self._wall_clock(), digits=6)


def _clamp(number: object, most: int) -> int:
    """A whole number of another process's Lease; 0 where it has none."""
    return min(max(number, 0), most) if isinstance(number, int) else 0


class SoleReplica:
    """``ports.cluster.Fence`` for a controller that is configured to run alone."""

    def may_write(self) -> bool:
        """Always."""
        return True

    def give_up(self) -> None:
        """Does nothing: no other process waits for the lead."""
