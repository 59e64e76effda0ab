"""References from objects to workloads, in both directions."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import NamedTuple

from autoscaler.api.models import ScaleTargetRef


class WorkloadRef(NamedTuple):
    """One workload. Two versions of its kind are one, hence the group alone."""

    namespace: str
    group: str
    kind: str
    name: str


def workload(namespace: str, ref: ScaleTargetRef) -> WorkloadRef:
    """The workload that a policy's scaleTargetRef names."""
    return WorkloadRef(namespace, group_of(ref.api_version), ref.kind, ref.name)


def group_of(api_version: str) -> str:
    """``apps`` for ``apps/v1``, empty for ``v1``."""
    return api_version.rpartition("/")[0]


class References:
    """Names of objects by the workload that each refers to. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._referred: dict[tuple[str, str], WorkloadRef] = {}
        self._referring: dict[WorkloadRef, set[str]] = defaultdict(set)

    def to(self, target: WorkloadRef) -> list[str]:
        """The names of the objects in the workload's namespace that refer to it, sorted."""
        with self._lock:
            return sorted(self._referring.get(target, ()))

    def in_namespace(self, namespace: str) -> list[tuple[str, WorkloadRef]]:
        """The names of a namespace's objects, sorted, each with the workload that it refers to."""
        with self._lock:
            found = [(name, target) for (place, name), target in self._referred.items() if place == namespace]
        return sorted(found)

    def put(self, namespace: str, name: str, target: WorkloadRef | None) -> None:
        """An object refers to a workload from now on, and to no other; None: to none at all."""
        with self._lock:
            old = self._referred.pop((namespace, name), None)
            if old is not None:
                self._referring[old].discard(name)
                if not self._referring[old]:
                    del self._referring[old]
            if target is not None:
                self._referred[namespace, name] = target
                self._referring[target].add(name)

    def keep(self, present: set[tuple[str, str]]) -> None:
        """Forgets all objects but those that are present, by namespace and name."""
        for namespace, name in set(self._referred) - present:
            self.put(namespace, name, None)
