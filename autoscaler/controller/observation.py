"""The engine's input: the target, its pods, the answers of the sources, the calendar."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoscaler.api.models import ScaleTargetRef
from autoscaler.api.schedule import active_schedules
from autoscaler.decision.types import Observation, Pod, PodPhase
from autoscaler.metrics import readings as observe
from autoscaler.ports.metrics import Answer, Question, SignalQuestion
from autoscaler.ports.policies import StoredPolicy
from autoscaler.ports.targets import Scale
from autoscaler.workload_kinds import BY_GROUP_AND_NAME

QueryResults = Mapping[Question, Answer]

_ENDED = (PodPhase.FAILED, PodPhase.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class QueryRights:
    """The namespaces whose policies may ask more than signals, which may read anything; ``*`` is all."""

    namespaces: frozenset[str] = frozenset()

    def allows(self, namespace: str, question: Question) -> bool:
        """True if a policy of this namespace may ask this."""
        return isinstance(question, SignalQuestion) or bool(self.namespaces & {namespace, "*"})


def questions(policies: Iterable[StoredPolicy], rights: QueryRights) -> Collection[Question]:
    """Everything to be asked for these policies, each question once."""
    return {
        question
        for stored in policies
        for question in observe.questions(stored.policy.spec)
        if rights.allows(stored.namespace, question)
    }


def observed(
    stored: StoredPolicy,
    scale: Scale,
    pods: Sequence[Pod],
    answers: QueryResults,
    rights: QueryRights,
    now: float,
) -> Observation:
    """The observation of one policy at ``now``; what it may not ask for is a reading that failed."""
    spec = stored.policy.spec
    error = f"only signals may be asked from namespace {stored.namespace}: see run --allow-queries-in"
    refused = {
        metric.name: Answer(error=error)
        for metric in spec.inputs
        if not rights.allows(stored.namespace, observe.question(metric))
    }
    given = observe.by_metric(spec, answers) | refused
    return Observation(
        spec_replicas=scale.replicas,
        status_replicas=scale.status_replicas,
        pods=tuple(pods),
        readings=observe.readings(spec, given, stored.namespace, pods, now),
        active_schedules=active_schedules(spec, now) if spec.schedules else (),
        unseen_replicas=unseen_replicas(spec.scale_target_ref, scale.status_replicas, pods),
    )


def unseen_replicas(ref: ScaleTargetRef, status_replicas: int, pods: Iterable[Pod]) -> int:
    """How many replicas of a target's status its pods do not account for, in the unit of its kind.

    A Deployment counts the pods that neither end nor have ended, a StatefulSet all that it has made. A
    replica of a LeaderWorkerSet is a group, and its selector finds the leaders alone, which a StatefulSet
    makes. What other kinds count is not known, and nothing is said about them.
    """
    kind = BY_GROUP_AND_NAME.get((ref.api_version.rpartition("/")[0], ref.kind))
    if kind is None or kind.replicas_counted == "unknown":
        return 0
    everything = kind.replicas_counted == "all"
    seen = sum(everything or (not pod.deleting and pod.phase not in _ENDED) for pod in pods)
    return max(status_replicas - seen, 0)
