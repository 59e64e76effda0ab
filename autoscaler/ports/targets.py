"""The cluster: scale targets, their pods, and the right to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from autoscaler.api.models import ScaleTargetRef
from autoscaler.decision.types import Pod


@dataclass(frozen=True, slots=True)
class TargetKey:
    """One scale target in its namespace."""

    namespace: str
    ref: ScaleTargetRef


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale subresource. ``selector`` is its label selector in text form, empty where there is none.

    ``gpus_per_replica``: what one replica asks for (all pods of a LeaderWorkerSet's group), None
    where the kind does not say.
    """

    replicas: int
    status_replicas: int
    selector: str
    resource_version: str
    gpus_per_replica: int | None = None


@dataclass(frozen=True, slots=True)
class TargetPods:
    """The pods of one target.

    ``foreign``: the owners of those that the target's selector finds and that belong to others, as ``8 of
    Deployment vllm-b``; their pods are left out. ``selector_only``: why the selector alone says which pods
    are the target's; empty where their owners were read.
    """

    pods: tuple[Pod, ...] = ()
    foreign: tuple[str, ...] = ()
    selector_only: str = ""


class ScaleTargets(Protocol):
    """The workloads, their pods and their scale subresources."""

    def read(self, target: TargetKey, *, fresh: bool = False) -> Scale:
        """The scale as it is now, or was a moment ago: ``write`` finds out.

        ``fresh``: by a call, however new the copies seem to be; after a conflict they are not.

        Raises:
            TargetError: there is no such target, it has no scale subresource, or it is forbidden.
            ClusterError: the API did not answer, or the cache is not complete or too old.
        """

    def write(self, target: TargetKey, scale: Scale, replicas: int) -> Scale:
        """Sets ``replicas`` if the target is still at ``scale.resource_version``.

        Raises:
            ConflictError: it is not. Otherwise as ``read``.
        """

    def pods(self, namespace: str, selector: str) -> Sequence[Pod]:
        """The pods that the selector finds, deleting ones included, from a watched cache.

        Raises:
            TargetError: the selector is empty or not valid, so the pods to count are unknown.
            ClusterError: the cache is not complete, or older than it may be.
        """

    def own_pods(self, target: TargetKey, selector: str) -> TargetPods:
        """Those pods that the target's selector finds and that the chain of controllers leads to it from.

        Raises:
            As ``pods``; and where the owners cannot be read now, though they may be read.
        """


class DeletionCosts(Protocol):
    """Which pods a scale-down should take first."""

    def write(self, namespace: str, costs: Mapping[str, int]) -> None:
        """Annotates pods with ``controller.kubernetes.io/pod-deletion-cost``, the lowest go first.

        Pods that have their cost already, or are gone, cost no call.

        Raises:
            ClusterError: some could not be written; the scale-down may take any pod.
        """


class Fence(Protocol):
    """The right of this process to write."""

    def may_write(self) -> bool:
        """True if this process leads, for long enough to finish one write."""
