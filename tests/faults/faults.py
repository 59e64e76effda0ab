"""What can go wrong, each as a switch on the world that the controller sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, nan
from typing import TYPE_CHECKING

from autoscaler.errors import ClusterError, ConflictError, TargetError
from autoscaler.ports import Answer, Point

if TYPE_CHECKING:
    from tests.faults.world import FaultyWorld

Change = Callable[[Answer, "FaultyWorld"], Answer]


def _points(change: Callable[[Point, FaultyWorld], Point | None]) -> Change:
    def changed(answer: Answer, world: FaultyWorld) -> Answer:
        points = (change(point, world) for point in answer.points)
        return Answer(tuple(point for point in points if point is not None), warnings=answer.warnings)

    return changed


def _is_first(point: Point, world: FaultyWorld) -> bool:
    return point.pod == next(iter(world.truth.born), None)


def _with(point: Point, **changed: object) -> Point:
    given = {
        "value": point.value,
        "timestamp": point.timestamp,
        "namespace": point.namespace,
        "pod": point.pod,
    }
    return Point(**{**given, **changed})  # type: ignore[arg-type]


def _frozen(answer: Answer, world: FaultyWorld) -> Answer:
    """The samples of when the fault began, with their own times."""
    return world.frozen.setdefault(world.asked, answer)


def _lingering(answer: Answer, world: FaultyWorld) -> Answer:
    """Pods that are gone go on saying 0, as if they were there."""
    dead = tuple(Point(0.0, world.now, "chat", name) for name in world.truth.gone[-5:])
    return Answer(answer.points + dead, warnings=answer.warnings)


METRICS: dict[str, Change] = {
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
        lambda point, world: _with(point, value=0.0, timestamp=world.now + 3600)
    ),
    "another namespace": _points(lambda point, _: _with(point, namespace="other")),
    "no namespace": _points(lambda point, _: _with(point, namespace=None)),
    "no pod label": _points(lambda point, _: _with(point, pod=None)),
    "wrong pod names": _points(lambda point, _: _with(point, pod=f"{point.pod}-exported")),
    "dead pods linger": _lingering,
    "a partial answer": lambda answer, _world: Answer(answer.points[1:], warnings=("cut off",)),
    "a warning": lambda answer, _world: Answer(answer.points, warnings=("some shards did not answer",)),
}
"""Faults of what the source answers."""

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
}
"""Faults of calls to the cluster."""

OTHERS = (
    "the watch is stale",
    "restart",
    "restarts",
    "two leaders in turn",
    "policy edits",
    "the clock jumps ahead",
    "the clock jumps back",
    "somebody scales by hand",
)
"""Faults of the world around."""

ALL = (*METRICS, *SOURCE, *API, *OTHERS)

SILENT = ("the watch on pods is silent", "the watch on the target is silent")
"""Faults of one of the two copies: it stands still from one list to the next, and the other goes on."""
