"""A pod's owners: the chain of controllers above it (``ownerReferences`` with ``controller: true``).

A Deployment has its pods through ReplicaSets, a LeaderWorkerSet through StatefulSets (and the workers' ones
through the leaders' pods). Of those in between only the metadata is watched: a cluster keeps ten old
ReplicaSets for each Deployment.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from autoscaler.kube.client.api import Api, Object
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.references import WorkloadRef, group_of
from autoscaler.kube.client.reflector import USUAL_PACE, WatchTimings
from autoscaler.workload_kinds import BY_GROUP_AND_NAME, WORKLOAD_KINDS

MAX_LINKS = 6
"""A LeaderWorkerSet's worker is four links away. A longer chain is a circle."""


class Owner(NamedTuple):
    """The controller of an object, in the object's namespace."""

    group: str
    kind: str
    name: str
    uid: str


_owner = lru_cache(maxsize=4096)(Owner)
"""The pods of one ReplicaSet share one."""


def controller_of(obj: Object) -> Owner | None:
    """The owner that controls an object; None where it has none."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller") is True:
            return _owner(group_of(ref["apiVersion"]), ref["kind"], ref["name"], ref.get("uid", ""))
    return None


class OwnerLink(NamedTuple):
    """One object between a pod and its target: which it is, and what controls it."""

    uid: str
    controller: Owner | None


class OwnerIndex:
    """A reflector's sink: the links of one kind."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], OwnerLink] = {}

    def find(self, namespace: str, owner: Owner) -> OwnerLink | None:
        """One link; None where that object is not known, or another has its name."""
        link = self._links.get((namespace, owner.name))
        return link if link is not None and link.uid == owner.uid else None

    def replace(self, objects: Iterable[Object]) -> None:
        """All of the kind that there are now."""
        self._links = dict(map(_link, objects))

    def put(self, obj: Object) -> None:
        """One is new or has changed."""
        key, link = _link(obj)
        self._links[key] = link

    def drop(self, obj: Object) -> None:
        """One is gone."""
        self._links.pop(_link(obj)[0], None)


def _link(obj: Object) -> tuple[tuple[str, str], OwnerLink]:
    metadata = obj["metadata"]
    key = metadata.get("namespace", ""), metadata["name"]
    return key, OwnerLink(metadata.get("uid", ""), controller_of(obj))


_WAYS: dict[tuple[str, str], tuple[str, str] | None] = {
    (kind.group, kind.name): ("apps", kind.pods_through) if kind.pods_through else None
    for kind in WORKLOAD_KINDS
    if kind.watched
}
"""Group and kind of a target -> the kind between it and its pods, None where it has them itself."""

ControllerOfPod = Callable[[str], Owner | None]
"""The controller of the pod with a name."""


class PodOwners:
    """Distinguishes a target's own pods from others. Kinds in between are watched once they are needed."""

    def __init__(self, api: Api, namespaces: Sequence[str], pace: WatchTimings = USUAL_PACE) -> None:
        self._api = api
        self._namespaces = namespaces
        self._pace = pace
        self._lock = threading.Lock()
        self._watched: dict[tuple[str, str], Informer[OwnerIndex]] = {}

    def unread(self, target: WorkloadRef, controllers: Iterable[Owner | None]) -> str:
        """Why the chains to a target cannot be read at all; empty where they can.

        Raises:
            ClusterError: they may be read, and cannot be now.
        """
        if (target.group, target.kind) not in _WAYS:
            return f"how a target of the kind {target.kind} has its pods is not known"
        between = _WAYS[target.group, target.kind]
        if between is None or not any(one is not None and one[:2] == between for one in controllers):
            return ""
        watched = self._between(between)
        problem = watched.refusal(target.namespace, self._pace.first_list)
        if problem:
            return problem
        watched.at(target.namespace)
        return ""

    def stranger(self, target: WorkloadRef, controller: Owner | None, pods: ControllerOfPod) -> Owner | None:
        """The owner that the chain from a pod's controller leads to, where that is not the target.

        None where it leads to the target, and where it cannot be followed: the pod has no controller, or one
        that is not seen yet, as the watches of pods and of their controllers are apart.
        """
        between = _WAYS[target.group, target.kind]
        owner = controller
        for _ in range(MAX_LINKS):
            if owner is None or (owner.group, owner.kind, owner.name) == target[1:]:
                return None
            if owner[:2] == between:
                link = self._between(between).at(target.namespace).find(target.namespace, owner)
                if link is None:
                    return None
                if link.controller is None:
                    return owner
                owner = link.controller
            elif owner[:2] == ("", "Pod"):
                owner = pods(owner.name)
            else:
                return owner
        return None

    def stop(self) -> None:
        """Ends the watches."""
        with self._lock:
            for watched in self._watched.values():
                watched.stop()

    def _between(self, kind: tuple[str, str]) -> Informer[OwnerIndex]:
        with self._lock:
            if kind not in self._watched:
                collection = BY_GROUP_AND_NAME[kind].collection
                watched = Informer(
                    self._api, collection, self._namespaces, OwnerIndex, pace=self._pace, metadata_only=True
                )
                watched.start()
                self._watched[kind] = watched
            return self._watched[kind]


def counted(owners: Iterable[Owner]) -> tuple[str, ...]:
    """Owners in words, each with its number of pods: ``8 of Deployment vllm-b``."""
    counts = Counter(f"{owner.kind} {owner.name}" for owner in owners)
    return tuple(f"{count} of {name}" for name, count in sorted(counts.items()))
