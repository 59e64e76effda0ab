"""Kubernetes Events about policies, as HPA writes its own: core/v1, counted, never in the way.

A queue and one thread stand between the controller and the API. An event that was written before
is counted up; more than ``BURST`` of one policy are dropped until time has passed, and so is
everything while the queue is full: events are best effort everywhere in Kubernetes.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from autoscaler.api.models import API_VERSION
from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import FIELD_MANAGER, Api, ApiError, Object
from autoscaler.ports.policies import AnyPolicy
from autoscaler.threads import BackgroundThread
from autoscaler.timestamps import to_rfc3339

BURST = 25
REFILL_SECONDS = 300.0
"""client-go's limits for one object: this many at once, then one in this time."""
MAX_MESSAGE = 1024
MAX_QUEUED = 1000
MAX_REMEMBERED = 4096

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Event:
    policy: AnyPolicy
    kind: str
    reason: str
    message: str
    timestamp: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Events with equal keys are one that happened again."""
        return self.policy.uid, self.kind, self.reason, self.message


@dataclass(slots=True)
class _Bucket:
    """How many more events of an object may be written, as of a time."""

    tokens: float
    timestamp: float

    def take(self, now: float) -> bool:
        self.tokens = min(BURST, self.tokens + max(now - self.timestamp, 0.0) / REFILL_SECONDS)
        self.timestamp = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class KubeEvents:
    """``ports.policies.Events``. ``instance`` names this process in each event."""

    def __init__(self, api: Api, instance: str, clock: Callable[[], float] = time.time) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._queue: queue.Queue[_Event | None] = queue.Queue(MAX_QUEUED)
        self._written: dict[tuple[str, str, str, str], tuple[str, int]] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._lost = 0
        self._lock = threading.Lock()
        self._thread = BackgroundThread("events", self._run)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Writes what is queued, for at most some seconds."""
        self._thread.expect_end()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(seconds)

    def emit(self, stored: AnyPolicy, kind: str, reason: str, message: str) -> None:
        """See ``ports.policies.Events.emit``. A policy from a file is not an object that can have events."""
        if not stored.uid:
            return
        try:
            self._queue.put_nowait(_Event(stored, kind, reason, message[:MAX_MESSAGE], self._clock()))
        except queue.Full:
            self._lose(f"an event was dropped: {reason} {stored.namespace}/{stored.name}")

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            bucket = self._buckets.get(event.policy.uid) or _Bucket(BURST, event.timestamp)
            _remember(self._buckets, event.policy.uid, bucket)
            if bucket.take(event.timestamp):
                try:
                    self._write(event)
                except Exception:  # one event never silences the others
                    log.exception("an event could not be written")

    def _write(self, event: _Event) -> None:
        name, count = self._written.get(event.key, ("", 0))
        try:
            if not name or not self._count_up(event, name, count + 1):
                name, count = self._create(event), 0
            _remember(self._written, event.key, (name, count + 1))
        except ClusterError as error:
            self._lose(f"an event could not be written: {error}")
        else:
            self._log_recovery()

    def _lose(self, what: str) -> None:
        """One warning for an outage, however many events it costs."""
        with self._lock:
            level = logging.DEBUG if self._lost else logging.WARNING
            self._lost += 1
        log.log(level, what)

    def _log_recovery(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost > 1:
            log.info("events are written again", extra={"lost": lost})

    def _count_up(self, event: _Event, name: str, count: int) -> bool:
        """Counts the event up; False if it is gone: events live for an hour."""
        changes = {"count": count, "lastTimestamp": to_rfc3339(event.timestamp)}
        try:
            self._api.patch(f"{_collection(event)}/{name}", changes)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _create(self, event: _Event) -> str:
        name = f"{event.policy.name[:200]}.{uuid.uuid4().hex[:16]}"
        self._api.create(_collection(event), _body(event, name, self._instance))
        return name


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Puts an entry last, and drops the first one when there are too many."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]


def _collection(event: _Event) -> str:
    return f"/api/v1/namespaces/{event.policy.namespace}/events"


def _body(event: _Event, name: str, instance: str) -> Object:
    policy, moment = event.policy, to_rfc3339(event.timestamp)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": policy.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "ScalingPolicy",
            "namespace": policy.namespace,
            "name": policy.name,
            "uid": policy.uid,
        },
        "type": event.kind,
        "reason": event.reason,
        "message": event.message,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": instance,
    }
