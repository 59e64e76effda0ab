"""Scale targets: read from watched copies where the kind is a usual one, else asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from autoscaler.decision.types import Pod
from autoscaler.errors import ClusterError, ConflictError, TargetError
from autoscaler.kube.client.api import Api, ApiError, Object
from autoscaler.kube.client.discovery import Discovery
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.references import workload
from autoscaler.kube.client.reflector import USUAL_PACE, WatchTimings
from autoscaler.kube.pod_owners import Owner, PodOwners, counted
from autoscaler.kube.pods import PodIndex
from autoscaler.kube.workloads import WATCHED_KINDS, Workloads
from autoscaler.ports.targets import Scale, TargetKey, TargetPods


class KubeTargets:
    """``ports.cluster.ScaleTargets`` over the scale subresource of any kind.

    A kind is watched from the first time that a policy names it. Until its first list is complete, and
    whenever the copy is too old, or older than what a call has said since, the scale is read with a call.
    """

    def __init__(
        self, api: Api, namespaces: Sequence[str], pods: Informer[PodIndex], pace: WatchTimings = USUAL_PACE
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._pods = pods
        self._pace = pace
        self._owners = PodOwners(api, namespaces, pace)
        self._discovery = Discovery(api)
        self._lock = threading.Lock()
        self._workloads: dict[tuple[str, str], Informer[Workloads]] = {}
        self._called: dict[TargetKey, Scale] = {}
        """The last answer of a call, until the watched copy is as new."""

    def read(self, target: TargetKey, *, fresh: bool = False) -> Scale:
        """See ``ports.cluster.ScaleTargets.read``."""
        workloads = self.workloads(target)
        if workloads is None:
            return self._ask(target)
        copy = workloads.scale(target.namespace, target.ref.name)
        if copy is None:
            self._called.pop(target, None)
            raise _missing(target)
        if fresh or self._lags(target, copy):
            asked = replace(self._ask(target), gpus_per_replica=copy.gpus_per_replica)
            self._called[target] = asked
            return asked
        return copy

    def _lags(self, target: TargetKey, copy: Scale) -> bool:
        """True if the copy is older than a call's last answer, which is forgotten once the copy is as new."""
        called = self._called.get(target)
        if called is None or not _is_older(copy.resource_version, called.resource_version):
            self._called.pop(target, None)
            return False
        return True

    def write(self, target: TargetKey, scale: Scale, replicas: int) -> Scale:
        """See ``ports.cluster.ScaleTargets.write``."""
        body = {"metadata": {"resourceVersion": scale.resource_version}, "spec": {"replicas": replicas}}
        try:
            written = self._api.patch(self._scale_path(target), body)
        except ApiError as error:
            raise _translate(target, error) from None
        result = _scale(written, scale.gpus_per_replica)
        if (target.ref.api_version, target.ref.kind) in WATCHED_KINDS:
            self._called[target] = result
        return result

    def pods(self, namespace: str, selector: str) -> Sequence[Pod]:
        """See ``ports.cluster.ScaleTargets.pods``."""
        return self._pods.at(namespace).select(namespace, selector)

    def labels(self, namespace: str, selector: str) -> Sequence[Mapping[str, str]]:
        """The labels of each pod that the selector finds. Raises as ``pods``."""
        return [entry.labels for entry in self._pods.at(namespace).entries(namespace, selector)]

    def own_pods(self, target: TargetKey, selector: str) -> TargetPods:
        """See ``ports.cluster.ScaleTargets.own_pods``."""
        index = self._pods.at(target.namespace)
        entries = index.entries(target.namespace, selector)
        ours = workload(target.namespace, target.ref)
        unread = self._owners.unread(ours, (entry.controller for entry in entries))
        if unread:
            return TargetPods(tuple(entry.pod for entry in entries), selector_only=unread)

        def of_pod(name: str) -> Owner | None:
            entry = index.find(target.namespace, name)
            return entry.controller if entry else None

        strangers = [self._owners.stranger(ours, entry.controller, of_pod) for entry in entries]
        return TargetPods(
            tuple(entry.pod for entry, other in zip(entries, strangers, strict=True) if other is None),
            counted(other for other in strangers if other is not None),
        )

    def workloads(self, target: TargetKey) -> Workloads | None:
        """The watched copy that the target is in; None where there is none to rely on."""
        kind = target.ref.api_version, target.ref.kind
        if kind not in WATCHED_KINDS:
            return None
        with self._lock:
            if kind not in self._workloads:
                self._workloads[kind] = self._watch(kind)
        try:
            return self._workloads[kind].at(target.namespace)
        except ClusterError:
            return None

    def stop(self) -> None:
        """Ends the watches."""
        self._owners.stop()
        with self._lock:
            for watched in self._workloads.values():
                watched.stop()

    def _watch(self, kind: tuple[str, str]) -> Informer[Workloads]:
        collection, scale_of = WATCHED_KINDS[kind]
        sink = partial(Workloads, scale_of)
        watched = Informer(self._api, collection, self._namespaces, sink, pace=self._pace)
        watched.start()
        return watched

    def _ask(self, target: TargetKey) -> Scale:
        try:
            return _scale(self._api.get(self._scale_path(target)))
        except ApiError as error:
            raise _translate(target, error) from None

    def _scale_path(self, target: TargetKey) -> str:
        return f"{self._discovery.resource(target).path(target.namespace, target.ref.name)}/scale"


def _scale(obj: Object, gpus_per_replica: int | None = None) -> Scale:
    status = obj.get("status") or {}
    return Scale(
        replicas=obj["spec"].get("replicas", 0),
        status_replicas=status.get("replicas", 0),
        selector=status.get("selector", ""),
        resource_version=obj["metadata"]["resourceVersion"],
        gpus_per_replica=gpus_per_replica,
    )


def _is_older(one: str, other: str) -> bool:
    """Of two resourceVersions of one object: whole numbers that grow (KEP-5504). Others say nothing."""
    return one.isdecimal() and other.isdecimal() and (len(one), one) < (len(other), other)


def _missing(target: TargetKey) -> TargetError:
    return TargetError(f"there is no {target.ref.kind} {target.namespace}/{target.ref.name}")


def _translate(target: TargetKey, error: ApiError) -> Exception:
    """The error that a caller gets for a refusal; one that may pass stays as it is."""
    if error.status == 404:
        return _missing(target)
    if error.status == 409:
        return ConflictError(str(error))
    if error.status in (400, 403, 405, 422):
        return TargetError(str(error))
    return error
