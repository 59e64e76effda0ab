"""Policies: their store, what else scales their targets, and the events about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from autoscaler.api.models import ScalingPolicy


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy in force. ``problem``: its newest edit is broken, so this is the last good one.

    ``status``: what the store last read of its status, as the JSON object that Kubernetes keeps;
    ``uid`` and ``generation`` are those of the object, and empty and 0 for a file.
    """

    namespace: str
    name: str
    policy: ScalingPolicy
    uid: str = ""
    generation: int = 0
    problem: str | None = None
    status: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class RefusedPolicy:
    """A policy without any valid version: it is only reported."""

    namespace: str
    name: str
    problem: str
    uid: str = ""
    generation: int = 0
    status: Mapping[str, object] | None = None


AnyPolicy: TypeAlias = StoredPolicy | RefusedPolicy


class PolicyStore(Protocol):
    """The place that policies are read from and their statuses are written to."""

    def policies(self) -> Sequence[StoredPolicy]:
        """All policies in force, from a watched cache or a folder; never raises for a broken one.

        A policy that was not edited comes back as the same ``policy`` object.

        Raises:
            ClusterError: they were never read completely.
        """

    def refused(self) -> Sequence[RefusedPolicy]:
        """The policies that are not in force, so that their problem can be reported."""

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        """Replaces the policy's status.

        Raises:
            ClusterError: it could not be written; the next sync will try again.
        """


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another owner that writes a target's replicas, e.g. ``HorizontalPodAutoscaler chat/vllm``."""

    owner: str
    evidence: str


class ScalerConflicts(Protocol):
    """Finds others who scale a policy's target."""

    def conflicts(self, stored: StoredPolicy) -> Sequence[Conflict]:
        """The HPAs, ScaledObjects, policies and field managers that claim its replicas.

        From watched caches. Of several active policies the oldest owns the target; it sees no claim
        of the others, and they see its.

        Raises:
            ClusterError: a cache was never complete, so the answer is unknown.
        """


class Selectors(Protocol):
    """Finds others who scale pods of a policy's target by scaling another workload."""

    def selecting(self, stored: StoredPolicy, selector: str) -> Sequence[str]:
        """The HPAs, and the active policies with ``semantics: HPA``, whose selectors find pods of this one.

        As ``Kind namespace/name``, from watched caches; ``selector`` is the target's. Two that scale one
        workload are not meant: see ``ScalerConflicts``.

        Raises:
            TargetError, ClusterError: as ``ports.cluster.ScaleTargets.pods``.
        """


class Events(Protocol):
    """Kubernetes Events."""

    def emit(self, stored: AnyPolicy, kind: str, reason: str, message: str) -> None:
        """``kind`` is Normal or Warning. Repeated events are counted; never raises, never waits."""
