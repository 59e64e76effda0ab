"""The kinds of objects that run pods, and what is known of each: one row for each kind.

A policy may scale any other kind that has a scale subresource; nothing more is known of it then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PodTemplate = tuple[str, ...]
"""The path of a pod template in the object."""


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """One kind."""

    api_version: str
    name: str
    scalable: bool = True
    """It has a scale subresource."""
    watched: bool = False
    """vLLM usually runs as it: scales are read from a watched copy, and its pods are known from others'."""
    compared: bool = False
    """Its objects in a policy's namespace are compared with the policy's target."""
    pods_through: str = ""
    """The kind of ``apps`` that stands between it and its pods; empty where it makes them itself."""
    replicas_counted: Literal["active", "all", "unknown"] = "unknown"
    """The pods that ``status.replicas`` counts: those that neither end nor have ended, or all there are."""
    templates: tuple[PodTemplate, ...] = (("spec", "template"),)

    @property
    def group(self) -> str:
        """The API group; empty for Kubernetes' core."""
        return self.api_version.rpartition("/")[0]

    @property
    def root(self) -> str:
        """The path of the API."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"

    @property
    def plural(self) -> str:
        """The resource's name in paths."""
        return plural_of(self.name)

    @property
    def collection(self) -> str:
        """The path of all objects of the kind."""
        return f"{self.root}/{self.plural}"


def plural_of(kind: str) -> str:
    """The resource of a kind by the usual rule, which holds for all that are known."""
    return f"{kind.lower()}s"


WORKLOAD_KINDS = (
    WorkloadKind(
        "apps/v1",
        "Deployment",
        watched=True,
        compared=True,
        pods_through="ReplicaSet",
        replicas_counted="active",
    ),
    WorkloadKind("apps/v1", "StatefulSet", watched=True, compared=True, replicas_counted="all"),
    WorkloadKind("apps/v1", "DaemonSet", scalable=False, compared=True),
    WorkloadKind(
        "leaderworkerset.x-k8s.io/v1",
        "LeaderWorkerSet",
        watched=True,
        compared=True,
        pods_through="StatefulSet",
        replicas_counted="all",
        templates=(
            ("spec", "leaderWorkerTemplate", "leaderTemplate"),
            ("spec", "leaderWorkerTemplate", "workerTemplate"),
        ),
    ),
    WorkloadKind("apps/v1", "ReplicaSet"),
    WorkloadKind("v1", "ReplicationController"),
    WorkloadKind("batch/v1", "Job", scalable=False),
    WorkloadKind("batch/v1", "CronJob", scalable=False, templates=()),
    WorkloadKind("v1", "Pod", scalable=False, templates=()),
)

BY_GROUP_AND_NAME = {(kind.group, kind.name): kind for kind in WORKLOAD_KINDS}
