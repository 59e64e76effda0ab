"""The pods of the target, grouped as the metric rules see them (HPA's ``groupPods``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoscaler.decision.types import Pod, PodPhase


@dataclass(frozen=True, slots=True)
class PodGroups:
    """The pods by their meaning for a metric.

    ``listed``: how many there are, whatever their state. ``serving``: names of the pods that
    should have a sample. ``unready``: how many cannot have a meaningful one yet. ``ignored``: names
    of the pods whose samples PodsAverage leaves out (the unready ones and those being deleted).
    ``not_deleting``: names of all that are not being deleted. ``draining``: names of those that are
    being deleted and have not ended: no capacity, but the requests that end in them are real.
    ``ready``: the number that a ``Value`` target multiplies by. ``available``: how many are ready and
    stay; pending replicas are counted against it.
    """

    listed: int
    serving: tuple[str, ...]
    unready: int
    ignored: frozenset[str]
    not_deleting: frozenset[str]
    draining: frozenset[str]
    ready: int
    available: int


def group_pods(pods: Iterable[Pod], hpa_parity: bool) -> PodGroups:
    """Groups pods, with ``hpa_parity`` as HPA does.

    HPA takes a pod for a serving one as soon as it has a sample, unless it is Pending or has Failed:
    a Running pod that is not Ready, and a Succeeded one (up to Kubernetes 1.37). It counts a Ready pod
    that is being deleted for ``Value`` targets. Otherwise a pod serves only when it is Ready, and one
    that has ended or is being deleted has no capacity.
    """
    ended = (PodPhase.FAILED,) if hpa_parity else (PodPhase.FAILED, PodPhase.SUCCEEDED)
    serving: list[str] = []
    unready: list[str] = []
    leaving: list[str] = []
    draining: list[str] = []
    available = leaving_ready = 0
    for pod in pods:
        up = pod.phase is PodPhase.RUNNING and pod.ready
        if pod.deleting or pod.phase in ended:
            leaving.append(pod.name)
            leaving_ready += up
            if pod.phase not in ended:
                draining.append(pod.name)
            continue
        available += up
        (serving if up or (hpa_parity and pod.phase is not PodPhase.PENDING) else unready).append(pod.name)
    return PodGroups(
        listed=len(serving) + len(unready) + len(leaving),
        serving=tuple(serving),
        unready=len(unready),
        ignored=frozenset(unready + leaving),
        not_deleting=frozenset(serving + unready),
        draining=frozenset(draining),
        ready=available + leaving_ready if hpa_parity else available,
        available=available,
    )
