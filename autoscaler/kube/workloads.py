"""Scales without a call: watched copies of the objects behind the scale subresources of known kinds.

The kinds that vLLM usually runs as. Any other is asked for at each decision (``targets.py``). A
write carries the resourceVersion either way, so that a copy that lags is found out.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autoscaler.kube.client.api import FIELD_MANAGER, Object
from autoscaler.ports.targets import Scale
from autoscaler.selectors import selector_of, selector_text
from autoscaler.workload_kinds import WORKLOAD_KINDS

MEDDLING_CHANGES = 3
MEDDLING_SECONDS = 600.0
"""A person changes replicas sometimes; so many changes in so short a time come from a program."""


@dataclass(slots=True)
class _Workload:
    """``meddling``: which field managers changed the replicas, and when it was seen."""

    scale: Scale
    meddling: deque[tuple[str, float]]


class Workloads:
    """A reflector's sink for one kind. ``clock`` returns seconds, of any origin."""

    def __init__(
        self, scale_of: Callable[[Object], Scale], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._scale_of = scale_of
        self._clock = clock
        self._workloads: dict[tuple[str, str], _Workload] = {}

    def scale(self, namespace: str, name: str) -> Scale | None:
        """The scale of one; None where there is none."""
        workload = self._workloads.get((namespace, name))
        return workload.scale if workload else None

    def foreign_writers(self, namespace: str, name: str) -> dict[str, int]:
        """Field managers that keep changing the replicas, and how often they did recently."""
        workload = self._workloads.get((namespace, name))
        recent = self._clock() - MEDDLING_SECONDS
        changes = tuple(workload.meddling) if workload else ()
        counts = Counter(manager for manager, seen in changes if seen > recent)
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
            old.meddling.extend((manager, self._clock()) for manager in _other_managers(obj))
        old.scale = scale

    def drop(self, obj: Object) -> None:
        """One is gone."""
        self._workloads.pop(_key(obj), None)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _other_managers(obj: Object) -> set[str]:
    """The managers that set an object's current replicas; empty where this controller did.

    Setting a field takes it from the managers that had it. (An entry made through the scale
    subresource bears no time.)
    """
    setters = {
        str(entry.get("manager", ""))
        for entry in obj["metadata"].get("managedFields") or ()
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    return set() if FIELD_MANAGER in setters else setters


# What a scale is made from, kind by kind.


def _apps_scale(obj: Object) -> Scale:
    """The scale of a Deployment or StatefulSet."""
    spec = obj["spec"]
    return _scale(obj, selector_text(selector_of(spec.get("selector") or {})), _gpus(spec.get("template")))


def _group_scale(obj: Object) -> Scale:
    """The scale of a LeaderWorkerSet: one replica is a leader and its workers."""
    template = obj["spec"].get("leaderWorkerTemplate") or {}
    worker = _gpus(template.get("workerTemplate"))
    leader = _gpus(template["leaderTemplate"]) if template.get("leaderTemplate") else worker
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
    """The accelerators that a pod of this template asks for, of any vendor."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    return sum(
        int(count)
        for container in containers
        for name, count in ((container.get("resources") or {}).get("limits") or {}).items()
        if name.endswith(("/gpu", "/tpu")) and str(count).isdigit()
    )


_OTHER_SCALES: Mapping[str, Callable[[Object], Scale]] = {"LeaderWorkerSet": _group_scale}
WATCHED_KINDS: Mapping[tuple[str, str], tuple[str, Callable[[Object], Scale]]] = {
    (kind.api_version, kind.name): (kind.collection, _OTHER_SCALES.get(kind.name, _apps_scale))
    for kind in WORKLOAD_KINDS
    if kind.watched
}
"""apiVersion and kind -> the collection to watch, and what makes a scale of an object."""
