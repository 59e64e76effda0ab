"""Other owners of a target's replicas: HPAs, KEDA's ScaledObjects, older policies, and meddlers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from autoscaler.kube.client.api import Object
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.references import References, WorkloadRef, group_of, workload
from autoscaler.kube.targets import KubeTargets
from autoscaler.ports.policies import Conflict, StoredPolicy
from autoscaler.ports.targets import TargetKey

HPA_COLLECTION = "/apis/autoscaling/v2/horizontalpodautoscalers"
KEDA_COLLECTION = "/apis/keda.sh/v1alpha1/scaledobjects"


class PolicyPrecedence(Protocol):
    """A store of policies that knows which of several scales a workload."""

    def older(self, stored: StoredPolicy, target: WorkloadRef) -> Sequence[str]:
        """The names of active policies that scale the target of a policy and come before it."""


class ScalerObjects:
    """A reflector's sink: which objects of one scaler's kind refer to a workload."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._references = References()

    def scaling(self, target: WorkloadRef) -> list[str]:
        """The objects that scale a workload, as ``Kind namespace/name``."""
        return [f"{self._kind} {target.namespace}/{name}" for name in self._references.to(target)]

    def in_namespace(self, namespace: str) -> list[tuple[str, WorkloadRef]]:
        """All of a namespace, each with the workload that it scales."""
        found = self._references.in_namespace(namespace)
        return [(f"{self._kind} {namespace}/{name}", target) for name, target in found]

    def replace(self, objects: Iterable[Object]) -> None:
        """All of the kind that there are now."""
        found = {_key(obj): obj for obj in objects}
        self._references.keep(set(found))
        for obj in found.values():
            self.put(obj)

    def put(self, obj: Object) -> None:
        """One is new or has changed."""
        self._references.put(*_key(obj), _referred(obj))

    def drop(self, obj: Object) -> None:
        """One is gone."""
        self._references.put(*_key(obj), None)


class KubeScalerConflicts:
    """``ports.policies.Owners`` from watched copies, and from where the policies come from."""

    def __init__(
        self,
        scalers: Sequence[Informer[ScalerObjects]],
        policies: PolicyPrecedence,
        targets: KubeTargets,
    ) -> None:
        self._scalers = scalers
        self._policies = policies
        self._targets = targets

    def conflicts(self, stored: StoredPolicy) -> Sequence[Conflict]:
        """See ``ports.policies.Owners.claims``."""
        target = workload(stored.namespace, stored.policy.spec.scale_target_ref)
        return [
            *self._by_scalers(target),
            *self._by_policies(stored, target),
            *self._by_meddlers(stored),
        ]

    def _by_scalers(self, target: WorkloadRef) -> Iterator[Conflict]:
        for scaler in self._scalers:
            for owner in scaler.at(target.namespace).scaling(target):
                yield Conflict(owner, "its scaleTargetRef is the same workload")

    def _by_policies(self, stored: StoredPolicy, target: WorkloadRef) -> Iterator[Conflict]:
        for name in self._policies.older(stored, target):
            owner = f"ScalingPolicy {stored.namespace}/{name}"
            yield Conflict(owner, "it comes first and scales the same workload")

    def _by_meddlers(self, stored: StoredPolicy) -> Iterator[Conflict]:
        ref = stored.policy.spec.scale_target_ref
        workloads = self._targets.workloads(TargetKey(stored.namespace, ref))
        if workloads is None:
            return
        meddlers = workloads.foreign_writers(stored.namespace, ref.name)
        for manager, count in sorted(meddlers.items()):
            yield Conflict(f"field manager {manager}", f"it changed the replicas {count} times recently")


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _referred(obj: Object) -> WorkloadRef:
    """The target of an HPA or a ScaledObject; KEDA's defaults are those of a Deployment."""
    ref = (obj.get("spec") or {}).get("scaleTargetRef") or {}
    group = group_of(ref.get("apiVersion") or "apps/v1")
    return WorkloadRef(_key(obj)[0], group, ref.get("kind") or "Deployment", ref.get("name", ""))
