"""Which pods a scale-down should take: the idlest first (opt-in, for ReplicaSets)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, inf

from autoscaler.api.models import Signal
from autoscaler.controller.observation import QueryResults
from autoscaler.decision.types import Pod
from autoscaler.ports.metrics import SignalQuestion

RUNNING = SignalQuestion(Signal.RUNNING)
"""The question that is asked besides the policies' own."""


def deletion_costs(namespace: str, pods: Sequence[Pod], answers: QueryResults) -> Mapping[str, int]:
    """A cost for each pod that serves: its running requests. The lowest go first.

    A pod of which nothing is known costs more than all others. Without an answer there are no costs,
    as old ones would mislead.
    """
    answer = answers.get(RUNNING)
    serving = {pod.name for pod in pods if pod.ready and not pod.deleting}
    if answer is None or answer.error is not None or answer.outage is not None:
        return {}
    running: dict[str, int] = {}
    for point in answer.points:
        if point.namespace == namespace and point.pod in serving and 0 <= point.value < inf:
            running[point.pod] = running.get(point.pod, 0) + ceil(point.value)
    dearest = max(running.values(), default=0) + 1
    return {pod: running.get(pod, dearest) for pod in sorted(serving)} if running else {}
