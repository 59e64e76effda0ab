"""What can go wrong, each as a switch on the world that the controller sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import TYPE_CHECKING

from autoscaler.api.models import Signal
from autoscaler.errors import ClusterError, ConflictError, TargetError
from autoscaler.metrics.promql import PART, TIME
from autoscaler.metrics.sources.connection import QueryResult
from autoscaler.metrics.sources.notes import said
from autoscaler.metrics.sources.vectors import pod_points
from autoscaler.ports.metrics import Answer, Buckets, Point
from tests.faults.truth import NAMESPACE, signal_of

if TYPE_CHECKING:
    from tests.faults.world import FaultyWorld

AHEAD_SECONDS = 55.0
QUEUE_CAP = 4.0
"""Requests that a pod takes before it refuses."""
BLANK = 2.0**63 - 14
"""What DCGM's exporter says of a value that it does not know."""

Change = Callable[[Answer, "FaultyWorld"], Answer]


def _points(change: Callable[[Point, FaultyWorld], Point | None]) -> Change:
    """Changes each pod's point, or its histogram: a value multiplies all rates of it."""

    def changed(answer: Answer, world: FaultyWorld) -> Answer:
        points = (change(point, world) for point in answer.points)
        buckets = (_histogram(one, change(_point_of(one), world)) for one in answer.buckets)
        return replace(
            answer,
            points=tuple(point for point in points if point is not None),
            buckets=tuple(one for one in buckets if one is not None),
        )

    return changed


def _point_of(buckets: Buckets) -> Point:
    return Point(1.0, buckets.timestamp, buckets.namespace, buckets.pod)


def _histogram(one: Buckets, point: Point | None) -> Buckets | None:
    if point is None or point.namespace is None or point.pod is None:
        return None
    rates = tuple(rate * point.value for rate in one.rates)
    return Buckets(one.bounds, rates, point.timestamp, point.namespace, point.pod)


def _is_first(point: Point, world: FaultyWorld) -> bool:
    return point.pod == next(iter(world.truth.born), None)


def _with(point: Point, **changed: object) -> Point:
    return replace(point, **changed)  # type: ignore[arg-type]


def _frozen(answer: Answer, world: FaultyWorld) -> Answer:
    """The samples of when the fault began, with their own times."""
    return world.frozen.setdefault(world.asked, answer)


def _repeated_ahead(answer: Answer, world: FaultyWorld) -> Answer:
    """The same, said again and again by a server whose clock is ahead."""
    kept = world.frozen.setdefault(world.asked, answer)
    return _points(lambda point, _: _with(point, timestamp=world.now + AHEAD_SECONDS))(kept, world)


def _capped(answer: Answer, world: FaultyWorld) -> Answer:
    """Pods refuse what is more than a few requests: no gauge shows it, only a counter of refusals."""
    if answer.buckets:
        return answer
    signal, requests = world.signal, world.truth.requests(world.truth.now)
    refused = max(0.0, requests - QUEUE_CAP)
    value = refused if signal is Signal.REJECTED_RATE else signal_of(signal, requests - refused)
    return _points(lambda point, _: _with(point, value=value))(answer, world)


def _lingering(answer: Answer, world: FaultyWorld) -> Answer:
    """Pods that are gone go on saying 0, as if they were there."""
    dead = tuple(Point(0.0, world.now, NAMESPACE, name) for name in world.truth.gone[-5:])
    return replace(answer, points=answer.points + dead)


METRICS: dict[str, Change] = {
    "the queue is capped": _capped,
    "one pod is missing": _points(lambda point, world: None if _is_first(point, world) else point),
    "all pods but one are missing": _points(lambda point, world: point if _is_first(point, world) else None),
    "no series": lambda _answer, _world: Answer(),
    "one pod says NaN": _points(
        lambda point, world: _with(point, value=nan) if _is_first(point, world) else point
    ),
    "all pods say NaN": _points(lambda point, _: _with(point, value=nan)),
    "a pod says infinity": _points(
        lambda point, world: _with(point, value=inf) if _is_first(point, world) else point
    ),
    "negative values": _points(lambda point, _: _with(point, value=-5.0)),
    "stale samples": _frozen,
    "one stale pod": _points(
        lambda point, world: (
            _with(point, value=0.0, timestamp=world.now - 120) if _is_first(point, world) else point
        )
    ),
    "samples from the future": _points(
        lambda point, world: _with(point, value=0.0, timestamp=world.now + 7200)
    ),
    "old values ahead of the clock": _repeated_ahead,
    "a pod says what cannot be": _points(
        lambda point, world: _with(point, value=BLANK) if _is_first(point, world) else point
    ),
    "another namespace": _points(lambda point, _: _with(point, namespace="other")),
    "no namespace": _points(lambda point, _: _with(point, namespace=None)),
    "no pod label": _points(lambda point, _: _with(point, pod=None)),
    "wrong pod names": _points(lambda point, _: _with(point, pod=f"{point.pod}-exported")),
    "dead pods linger": _lingering,
    "a partial answer": lambda answer, _world: replace(
        answer, points=answer.points[1:], buckets=answer.buckets[1:], warnings=("cut off",)
    ),
    "a warning": lambda answer, _world: replace(answer, warnings=("some shards did not answer",)),
}
"""Faults of what the source answers."""


def _twice(answer: Answer, world: FaultyWorld) -> Answer:
    """Each series is there a second time in the server's answer, and says 0 there."""
    if not answer.points or world.signal is None:
        return answer
    series = [
        {"metric": {"namespace": point.namespace, "pod": point.pod, PART: part}, "value": (0.0, value)}
        for point in answer.points
        for part, value in (("", point.value), ("", 0.0), (TIME, point.timestamp))
        if point.namespace and point.pod
    ]
    points = pod_points(world.signal.info, [QueryResult("vector", series)])
    return replace(answer, points=points)


REMARKS = {"warnings": ["PromQL info: metric might not be a counter"], "infos": ["PromQL info: as above"]}

ANSWERED: dict[str, Change] = {
    "partial by isPartial": lambda answer, world: replace(
        _points(lambda point, _: _with(point, value=0.0))(answer, world),
        warnings=said({"isPartial": True}).missing,
    ),
    "remarks about the query": lambda answer, _: replace(
        answer, warnings=answer.warnings + said(REMARKS).missing
    ),
    "every series twice": _twice,
}
"""Faults of what the server's answer says, read by what reads real ones."""

FREEZING = ("stale samples", "old values ahead of the clock")
"""Those that keep what was said when they began."""

SOURCE: dict[str, str] = {
    "the source is down": "connection refused",
    "the source is slow": "no answer within 10 s",
    "too many queries": "429 Too Many Requests",
}
"""Faults of asking, with what the source says."""


@dataclass(frozen=True)
class ApiFault:
    """The exceptions of the next calls of each method; ``lost``: a write takes effect all the same."""

    faults: dict[str, Callable[[], Exception]] = field(default_factory=dict)
    lost: bool = False


API: dict[str, ApiFault] = {
    "reads fail": ApiFault({"read": lambda: ClusterError("timed out")}),
    "pods cannot be listed": ApiFault({"pods": lambda: ClusterError("the copy is 90 s old")}),
    "writes fail": ApiFault({"write": lambda: ClusterError("timed out")}),
    "answers to writes are lost": ApiFault({"write": lambda: ClusterError("connection reset")}, lost=True),
    "writes conflict": ApiFault({"write": lambda: ConflictError("the object has been modified")}),
    "writes are forbidden": ApiFault({"write": lambda: TargetError("deployments/scale is forbidden")}),
    "statuses cannot be written": ApiFault({"status": lambda: ClusterError("timed out")}),
    "what is asked after a conflict fails": ApiFault({"fresh": lambda: ClusterError("timed out")}),
}
"""Faults of calls to the cluster."""

OTHERS = (
    "the watch is stale",
    "the watch on pods is silent",
    "the watch on the target is silent",
    "nothing is heard of pods",
    "more replicas are reported than pods listed",
    "foreign pods",
    "owners cannot be read",
    "restart",
    "restarts",
    "two leaders in turn",
    "policy edits",
    "the clock jumps ahead",
    "the clock jumps back",
    "somebody scales by hand",
)
"""Faults of the world around."""

ALL = (*METRICS, *SOURCE, *API, *OTHERS, *ANSWERED)
