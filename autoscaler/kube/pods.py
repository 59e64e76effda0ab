"""The pods of all workloads in a watched copy, found by label in an index."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from autoscaler.decision.types import Pod, PodPhase
from autoscaler.errors import TargetError
from autoscaler.kube.client.api import Object
from autoscaler.kube.pod_owners import Owner, controller_of
from autoscaler.selectors import Requirements, matches, parse_selector

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"

MAX_KEPT_SELECTOR = 1024
"""Longer selectors, in characters, are not cached: the adapter's callers write them."""

_PHASES = {str(phase): phase for phase in PodPhase}
"""A pod of which the node says nothing (Unknown) may still run."""


@dataclass(frozen=True, slots=True)
class PodEntry:
    """The fields of a pod that are used here."""

    pod: Pod
    labels: Mapping[str, str]
    deletion_cost: str | None
    controller: Owner | None


_Key = tuple[str, str]
"""Namespace and name."""
_Label = tuple[str, str, str]
"""Namespace, key and value."""


class PodIndex:
    """A reflector's sink. Selecting costs what the rarest label costs, not what the cluster holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[_Key, PodEntry] = {}
        self._by_label: dict[_Label, dict[_Key, PodEntry]] = defaultdict(dict)

    def select(self, namespace: str, selector: str) -> list[Pod]:
        """The pods of a namespace that a selector in text form finds, by name.

        Raises:
            TargetError: the selector is empty or no selector.
        """
        return [entry.pod for entry in self.entries(namespace, selector)]

    def entries(self, namespace: str, selector: str) -> list[PodEntry]:
        """As ``select``, with what else is known of the pods."""
        read = _read_or_kept if len(selector) <= MAX_KEPT_SELECTOR else _read
        requirements = read(selector)
        with self._lock:
            entries = [
                entry
                for entry in self._candidates(namespace, requirements)
                if matches(requirements, entry.labels)
            ]
        return sorted(entries, key=lambda entry: entry.pod.name)

    def find(self, namespace: str, name: str) -> PodEntry | None:
        """One pod; None where there is none."""
        with self._lock:
            return self._entries.get((namespace, name))

    def _candidates(self, namespace: str, requirements: Requirements) -> Iterable[PodEntry]:
        labels = [
            (namespace, requirement.key, next(iter(requirement.values)))
            for requirement in requirements
            if requirement.operator == "in" and len(requirement.values) == 1
        ]
        if labels:
            return min((self._by_label.get(label, {}) for label in labels), key=len).values()
        return [entry for key, entry in self._entries.items() if key[0] == namespace]

    def replace(self, objects: Iterable[Object]) -> None:
        """All pods that there are now."""
        entries = dict(map(_entry, objects))
        by_label: dict[_Label, dict[_Key, PodEntry]] = defaultdict(dict)
        for key, entry in entries.items():
            for label in _labels(key, entry):
                by_label[label][key] = entry
        with self._lock:
            self._entries, self._by_label = entries, by_label

    def put(self, obj: Object) -> None:
        """A pod is new or has changed."""
        key, entry = _entry(obj)
        with self._lock:
            self._forget(key)
            self._entries[key] = entry
            for label in _labels(key, entry):
                self._by_label[label][key] = entry

    def drop(self, obj: Object) -> None:
        """A pod is gone."""
        with self._lock:
            self._forget(_key(obj))

    def _forget(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        for label in _labels(key, entry):
            siblings = self._by_label[label]
            del siblings[key]
            if not siblings:
                del self._by_label[label]


def _read(selector: str) -> Requirements:
    try:
        requirements = parse_selector(selector)
    except ValueError as error:
        raise TargetError(f"the target's selector cannot be read: {error}") from None
    if not requirements:
        raise TargetError("the target has no selector, so its pods are not known")
    return requirements


_read_or_kept = lru_cache(maxsize=4096)(_read)


def _labels(key: _Key, entry: PodEntry) -> Iterator[_Label]:
    for name, value in entry.labels.items():
        yield key[0], name, value


def _key(obj: Object) -> _Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _entry(obj: Object) -> tuple[_Key, PodEntry]:
    metadata, status = obj["metadata"], obj.get("status") or {}
    conditions = status.get("conditions") or ()
    pod = Pod(
        name=metadata["name"],
        phase=_PHASES.get(status.get("phase", "Pending"), PodPhase.RUNNING),
        ready=any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions),
        deleting="deletionTimestamp" in metadata,
    )
    cost = (metadata.get("annotations") or {}).get(COST_ANNOTATION)
    return _key(obj), PodEntry(pod, metadata.get("labels") or {}, cost, controller_of(obj))
