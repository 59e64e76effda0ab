"""Scales without a call: what the scale subresource of well-known kinds is made from, watched.

The kinds that vLLM usually runs as. Any other is asked for at each decision (``targets.py``). A
write carries the resourceVersion either way, so that a copy that lags is found out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoscaler.kube.api import FIELD_MANAGER, Object
from autoscaler.ports import Scale
from autoscaler.selectors import selector_of, selector_text
from autoscaler.timestamps import from_rfc3339

MEDDLING_CHANGES = 3
MEDDLING_SECONDS = 600.0
"""A person changes replicas now and then; who does it so often in so short a time is a program."""


@dataclass(frozen=True, slots=True)
class Meddling:
    """A change of the replicas by a field manager that is not ours."""

    manager: str
    timestamp: float


@dataclass(slots=True)
class _Workload:
    scale: Scale
    meddling: deque[Meddling]


class Workloads:
    """A reflector's sink for one kind."""

    def __init__(self, scale_of: Callable[[Object], Scale]) -> None:
        self._scale_of = scale_of
        self._workloads: dict[tuple[str, str], _Workload] = {}

    def scale(self, namespace: str, name: str) -> Scale | None:
        """The scale of one; None where there is none."""
        workload = self._workloads.get((namespace, name))
        return workload.scale if workload else None

    def meddlers(self, namespace: str, name: str, now: float) -> dict[str, int]:
        """Field managers that keep changing the replicas, and how often they did of late.

        ``now`` is in seconds since the epoch.
        """
        workload = self._workloads.get((namespace, name))
        counts: dict[str, int] = {}
        for change in tuple(workload.meddling) if workload else ():
            if change.timestamp > now - MEDDLING_SECONDS:
                counts[change.manager] = counts.get(change.manager, 0) + 1
        return {manager: count for manager, count in counts.items() if count >= MEDDLING_CHANGES}

    def replace(self, objects: Iterable[Object]) -> None:
        """All of the kind that there are now."""
        found = list(objects)
        present = set(map(_key, found))
        for key in self._workloads.keys() - present:
            del self._workloads[key]
        for obj in found:
            self.put(obj)

    def put(self, obj: Object) -> None:
        """One is new or has changed."""
        scale = self._scale_of(obj)
        old = self._workloads.get(_key(obj))
        if old is None:
            self._workloads[_key(obj)] = _Workload(scale, deque(maxlen=4 * MEDDLING_CHANGES))
            return
        if scale.replicas != old.scale.replicas:
            old.meddling.extend(_meddling(obj))
        old.scale = scale

    def drop(self, obj: Object) -> None:
        """One is gone."""
        self._workloads.pop(_key(obj), None)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _meddling(obj: Object) -> Iterator[Meddling]:
    """Who set the replicas last, unless it was this controller or another replica of it."""
    setters = [
        Meddling(str(entry.get("manager", "")), from_rfc3339(entry["time"]))
        for entry in obj["metadata"].get("managedFields") or ()
        if "time" in entry and "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    last = max(setters, key=lambda setter: setter.timestamp, default=None)
    if last is not None and last.manager != FIELD_MANAGER:
        yield last


# What a scale is made from, kind by kind.


def _apps_scale(obj: Object) -> Scale:
    """The scale of a Deployment or StatefulSet."""
    spec = obj["spec"]
    return _scale(obj, selector_text(selector_of(spec.get("selector") or {})), _gpus(spec.get("template")))


def _group_scale(obj: Object) -> Scale:
    """The scale of a LeaderWorkerSet: one replica is a leader and its workers."""
    template = obj["spec"].get("leaderWorkerTemplate") or {}
    worker = _gpus(template.get("workerTemplate"))
    leader = _gpus(template["leaderTemplate"]) if "leaderTemplate" in template else worker
    selector = (obj.get("status") or {}).get("hpaPodSelector", "")
    return _scale(obj, selector, leader + (template.get("size", 1) - 1) * worker)


def _scale(obj: Object, selector: str, gpus: int) -> Scale:
    return Scale(
        replicas=obj["spec"].get("replicas", 1),
        status_replicas=(obj.get("status") or {}).get("replicas", 0),
        selector=selector,
        resource_version=obj["metadata"]["resourceVersion"],
        gpus_per_replica=gpus,
    )


def _gpus(template: Mapping[str, Any] | None) -> int:
    """The accelerators that a pod of this template asks for, whoever makes them."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    return sum(
        int(count)
        for container in containers
        for name, count in ((container.get("resources") or {}).get("limits") or {}).items()
        if name.endswith(("/gpu", "/tpu")) and str(count).isdigit()
    )


WATCHED_KINDS: Mapping[tuple[str, str], tuple[str, Callable[[Object], Scale]]] = {
    ("apps/v1", "Deployment"): ("/apis/apps/v1/deployments", _apps_scale),
    ("apps/v1", "StatefulSet"): ("/apis/apps/v1/statefulsets", _apps_scale),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"): (
        "/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets",
        _group_scale,
    ),
}
"""apiVersion and kind -> the collection to watch, and what makes a scale of an object."""
