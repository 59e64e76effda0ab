"""What the live side asks of the world outside: narrow protocols, and the plain data that crosses them.

The controller and the adapter know these alone; ``sources`` and ``kube`` implement them, tests fake
them. Times are seconds since the epoch, on the same clock as the engine's ``now``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

from autoscaler.api.models import CloudMonitoring, ScaleTargetRef, ScalingPolicy, Signal
from autoscaler.decision.types import Pod

# Metrics


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask of a source, for all workloads at once; equal questions are asked once.

    Exactly one of ``signal``, ``query`` (PromQL) and ``cloud`` is set. ``window_seconds`` is what
    rates, histograms and aligned series are taken over, and 0 for everything else, so that equal
    questions are equal.
    """

    signal: Signal | None = None
    query: str | None = None
    window_seconds: int = 0
    cloud: CloudMonitoring | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One value, of one pod where it belongs to one, at its own time and in the signal's unit."""

    value: float
    timestamp: float
    namespace: str | None = None
    pod: str | None = None


@dataclass(frozen=True, slots=True)
class Buckets:
    """One pod's histogram over the window: cumulative rates by upper bound, ascending, +Inf last."""

    bounds: tuple[float, ...]
    rates: tuple[float, ...]
    timestamp: float
    namespace: str
    pod: str


@dataclass(frozen=True)
class Answer:
    """What a source knows about a question.

    ``exporters``: the pods that export a metric, at the time of their oldest series of any metric, where
    the metric itself may have no series yet. ``unrated``: the pods, as namespace and name, whose counter
    is there and has no rate yet. ``error``: nothing could be read, and why. ``warnings``: the server
    itself says that something may be missing, so the answer is partial. ``outage``: why nothing could be
    read this time; then all this is what was read before, and partial as well. ``remarks``: what else the
    server says, e.g. of the query.
    """

    points: tuple[Point, ...] = ()
    buckets: tuple[Buckets, ...] = ()
    exporters: tuple[Point, ...] = ()
    unrated: frozenset[tuple[str, str]] = frozenset()
    error: str | None = None
    warnings: tuple[str, ...] = ()
    outage: str | None = None
    remarks: tuple[str, ...] = ()

    @cached_property
    def in_namespace(self) -> Mapping[str | None, Mapping[str | None, Sequence[Point]]]:
        """The points by namespace and by pod: one answer is read by a thousand policies."""
        found: dict[str | None, dict[str | None, list[Point]]] = {}
        for point in self.points:
            found.setdefault(point.namespace, {}).setdefault(point.pod, []).append(point)
        return found

    @cached_property
    def histograms(self) -> Mapping[tuple[str, str], Buckets]:
        """The buckets by namespace and pod."""
        return {(one.namespace, one.pod): one for one in self.buckets}


class MetricSource(Protocol):
    """A place that metrics are read from."""

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question, within the source's own deadline; failures are answers too.

        ``namespaces``: where the workloads are. Signals never reach beyond them.
        """


# The cluster


@dataclass(frozen=True, slots=True)
class TargetKey:
    """One scale target in its namespace."""

    namespace: str
    ref: ScaleTargetRef


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale subresource. ``selector`` is its label selector in text form, empty where there is none.

    ``gpus_per_replica``: what one replica asks for (all pods of a LeaderWorkerSet's group), None
    where the kind does not tell.
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
        """Sets ``replicas``, provided that the target is still at ``scale.resource_version``.

        Raises:
            ConflictError: it is not. Otherwise as ``read``.
        """

    def pods(self, namespace: str, selector: str) -> Sequence[Pod]:
        """The pods that the selector finds, deleting ones included, from a watched cache.

        Raises:
            TargetError: the selector is empty or no selector, so nobody knows whose pods to count.
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


# Policies and what is told about them


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
    """A policy of which no version was ever good: nothing is done about it but to say so."""

    namespace: str
    name: str
    problem: str
    uid: str = ""
    generation: int = 0
    status: Mapping[str, object] | None = None


AnyPolicy: TypeAlias = StoredPolicy | RefusedPolicy


class PolicyStore(Protocol):
    """Where policies come from and their status goes."""

    def policies(self) -> Sequence[StoredPolicy]:
        """All policies in force, from a watched cache or a folder; never raises for a broken one.

        A policy that was not edited comes back as the same ``policy`` object.

        Raises:
            ClusterError: they were never read completely.
        """

    def refused(self) -> Sequence[RefusedPolicy]:
        """Those that are not in force, for their problem to be told."""

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        """Replaces the policy's status.

        Raises:
            ClusterError: it could not be written; the next sync will try again.
        """


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody else who writes a target's replicas, e.g. ``HorizontalPodAutoscaler chat/vllm``."""

    owner: str
    evidence: str


class ScalerConflicts(Protocol):
    """Finds others who scale a policy's target."""

    def conflicts(self, stored: StoredPolicy) -> Sequence[Conflict]:
        """The HPAs, ScaledObjects, policies and field managers that claim its replicas.

        From watched caches. Of several active policies the oldest owns the target; it sees no claim
        of the others, and they see its.

        Raises:
            ClusterError: a cache was never complete, so that nobody knows.
        """


class Selectors(Protocol):
    """Finds others who scale pods of a policy's target by scaling another workload."""

    def selecting(self, stored: StoredPolicy, selector: str) -> Sequence[str]:
        """The HPAs, and the active policies with ``semantics: HPA``, whose selectors find pods of this one.

        As ``Kind namespace/name``, from watched caches; ``selector`` is the target's. Two that scale one
        workload are not meant: see ``ScalerConflicts``.

        Raises:
            TargetError, ClusterError: as ``ScaleTargets.pods``.
        """


class Events(Protocol):
    """Kubernetes Events."""

    def emit(self, stored: AnyPolicy, kind: str, reason: str, message: str) -> None:
        """``kind`` is Normal or Warning. Repeated events are counted; never raises, never waits."""


class Fence(Protocol):
    """Whether this process may write."""

    def may_write(self) -> bool:
        """Whether this process leads, for long enough to finish one write."""


# Who asks us


@dataclass(frozen=True, slots=True)
class User:
    """Somebody whose identity is known, in the attributes that Kubernetes authorizes by."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody wants to do: to a resource, or with a plain ``path``."""

    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""


class Reviews(Protocol):
    """Kubernetes' own judgement of tokens and of rights."""

    def authenticate(self, token: str) -> User | None:
        """Whose token it is (TokenReview), None for nobody's.

        Raises:
            ClusterError: nobody could say.
        """

    def authorize(self, user: User, access: Access) -> bool:
        """Whether the user may (SubjectAccessReview).

        Raises:
            ClusterError: nobody could say.
        """


@dataclass(frozen=True, slots=True)
class AuthenticationConfig:
    """Whom an extended API server believes: ``kube-system/extension-apiserver-authentication``.

    The certificate authorities are PEM bundles, empty where there are none. Without
    ``allowed_names`` any certificate of ``requestheader_ca`` speaks for others.
    """

    client_ca: str = ""
    requestheader_ca: str = ""
    allowed_names: tuple[str, ...] = ()
    username_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()


class AuthenticationConfigSource(Protocol):
    """Where the trust comes from, as it is now: authorities rotate."""

    def trust(self) -> AuthenticationConfig:
        """From a watched cache; the same object as long as nothing changed.

        Raises:
            ClusterError: it was never read.
        """
