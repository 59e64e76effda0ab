"""Pods of replicas: what a cluster's controllers and scheduler do, where there are none.

Each round looks at all workloads and all pods and takes the next steps, so that it finds its way
after any fault. A cluster that has controllers of its own needs none of this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes.client import ApiException

from tests.e2e.ranking import is_going, is_ready, victims
from tests.servers.api import JSON, Api

NODE = "gpu-node"
NAME_LABEL = "leaderworkerset.sigs.k8s.io/name"
WORKER_LABEL = "leaderworkerset.sigs.k8s.io/worker-index"


@dataclass(frozen=True)
class Kind:
    """A kind of workload: its version, where it lives, and what its pods are made from and called.

    ``pods_per_replica``: of a group that is one replica. ``ordered``: pods have numbers, not chance
    names, and all start and go at once, as with podManagementPolicy Parallel.
    """

    version: str
    plural: str
    name: str
    template: Callable[[JSON], JSON] = lambda workload: workload["spec"]["template"]
    pods_per_replica: Callable[[JSON], int] = lambda _: 1
    ordered: bool = False


DEPLOYMENT = Kind("apps/v1", "deployments", "Deployment")
STATEFUL_SET = Kind("apps/v1", "statefulsets", "StatefulSet", ordered=True)
LEADER_WORKER_SET = Kind(
    "leaderworkerset.x-k8s.io/v1",
    "leaderworkersets",
    "LeaderWorkerSet",
    template=lambda workload: workload["spec"]["leaderWorkerTemplate"]["workerTemplate"],
    pods_per_replica=lambda workload: workload["spec"]["leaderWorkerTemplate"]["size"],
    ordered=True,
)


class Workloads:
    """Keeps the pods of all workloads in ``namespaces`` at their replicas.

    ``places``: how many pods find a node; others wait Pending. None: all.
    """

    def __init__(
        self, api: Api, kinds: tuple[Kind, ...] = (DEPLOYMENT, STATEFUL_SET, LEADER_WORKER_SET)
    ) -> None:
        self.namespaces: set[str] = set()
        self.places: int | None = None
        self._api = api
        self._kinds = kinds
        self._free = 0

    def sync(self, pods: list[JSON]) -> None:
        """One round, with all pods as they are now.

        Raises:
            ApiException: the API server refused, e.g. as somebody else was faster; the next round sees.
            Exception: as the official client raises where it does not answer.
        """
        pods = [pod for pod in pods if pod["metadata"]["namespace"] in self.namespaces]
        placed = sum(1 for pod in pods if pod["spec"].get("nodeName"))
        self._free = len(pods) + 1_000_000 if self.places is None else self.places - placed
        owned = defaultdict(list)
        for pod in pods:
            for owner in pod["metadata"].get("ownerReferences", []):
                owned[owner["uid"]].append(pod)
        for kind in self._kinds:
            for workload in self._all(kind):
                self._reconcile(kind, workload, owned.pop(workload["metadata"]["uid"], []))
        for orphans in owned.values():
            self._delete(orphans)
        self._schedule(pods)

    def _all(self, kind: Kind) -> list[JSON]:
        try:
            found = self._api.get(f"/apis/{kind.version}/{kind.plural}")["items"]
        except ApiException as error:
            if error.status == 404:  # its CustomResourceDefinition is not installed
                return []
            raise
        return [one for one in found if one["metadata"]["namespace"] in self.namespaces]

    def clear(self, namespace: str) -> None:
        """Deletes all workloads of a namespace."""
        for kind in self._kinds:
            if any(one["metadata"]["namespace"] == namespace for one in self._all(kind)):
                self._api.delete(f"/apis/{kind.version}/namespaces/{namespace}/{kind.plural}")

    def _reconcile(self, kind: Kind, workload: JSON, pods: list[JSON]) -> None:
        alive = [pod for pod in pods if not is_going(pod)]
        size = kind.pods_per_replica(workload)
        wanted = workload["spec"].get("replicas", 1) * size
        if kind.ordered:
            names = _names(workload, wanted, size)
            taken = {pod["metadata"]["name"] for pod in pods}
            missing = [meta for name, meta in names.items() if name not in taken]
            surplus = [pod for pod in alive if pod["metadata"]["name"] not in names]
        else:
            missing = [{"generateName": f"{workload['metadata']['name']}-"}] * (wanted - len(alive))
            surplus = victims(alive, max(len(alive) - wanted, 0))
        for meta in missing:
            self._create(kind, workload, meta)
        self._delete(surplus)
        self._report(kind, workload, alive, size)

    def _create(self, kind: Kind, workload: JSON, named: JSON) -> None:
        template, meta = kind.template(workload), workload["metadata"]
        owner = {
            "apiVersion": kind.version,
            "kind": kind.name,
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
        labels = template["metadata"].get("labels", {}) | named.get("labels", {})
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": template["metadata"] | named | {"labels": labels, "ownerReferences": [owner]},
            "spec": dict(template["spec"]),
        }
        if self._free > 0:
            pod["spec"]["nodeName"] = NODE
            self._free -= 1
        self._api.post(f"/api/v1/namespaces/{meta['namespace']}/pods", pod)

    def _delete(self, pods: list[JSON]) -> None:
        for pod in pods:
            if not is_going(pod):
                self._api.delete(path_of_pod(pod))

    def _report(self, kind: Kind, workload: JSON, alive: list[JSON], size: int) -> None:
        ready = sum(is_ready(pod) for pod in alive) // size
        status: JSON = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(alive) // size,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": len(alive) // size,
        }
        if kind is LEADER_WORKER_SET:
            leaders = {NAME_LABEL: workload["metadata"]["name"], WORKER_LABEL: "0"}
            status["hpaPodSelector"] = ",".join(f"{key}={value}" for key, value in leaders.items())
        known = workload.get("status", {})
        if any(known.get(field) != value for field, value in status.items()):
            meta = workload["metadata"]
            path = f"/apis/{kind.version}/namespaces/{meta['namespace']}/{kind.plural}/{meta['name']}"
            self._api.patch(f"{path}/status", {"status": status})

    def _schedule(self, pods: list[JSON]) -> None:
        """Pods that wait get a place, oldest first."""
        waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and not is_going(pod)]
        for pod in sorted(waiting, key=lambda pod: pod["metadata"]["creationTimestamp"]):
            if self._free > 0:
                self._free -= 1
                self._api.patch(path_of_pod(pod), {"spec": {"nodeName": NODE}})
            elif not pod["status"].get("conditions"):
                message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
                condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
                conditions = [condition | {"message": message}]
                self._api.patch(f"{path_of_pod(pod)}/status", {"status": {"conditions": conditions}})


def _names(workload: JSON, wanted: int, size: int) -> dict[str, JSON]:
    """NAME-0, NAME-1 …; of groups NAME-0, NAME-0-1 …, the leader first; with the metadata of each."""
    owner = workload["metadata"]["name"]
    names = {}
    for number in range(wanted):
        group, member = divmod(number, size)
        name = f"{owner}-{group}-{member}" if member else f"{owner}-{group}"
        labels = {NAME_LABEL: owner, WORKER_LABEL: str(member)} if size > 1 else {}
        names[name] = {"name": name, "labels": labels}
    return names


def path_of_pod(pod: JSON) -> str:
    """Where a pod lives."""
    meta = pod["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
