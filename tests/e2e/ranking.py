"""Which pods go first when there are too many, as Kubernetes' own controllers choose."""

from __future__ import annotations

from tests.servers.api import JSON

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def victims(pods: list[JSON], count: int) -> list[JSON]:
    """The ``count`` that a Deployment would give up.

    In this order: without a node, Pending, not ready, of a lower deletion cost, ready for a shorter
    time, younger. (A ReplicaSet also spreads over nodes and counts restarts, which fake pods have not.)
    """
    ranked = sorted(pods, key=_younger, reverse=True)
    return sorted(ranked, key=_rank)[:count]


def _rank(pod: JSON) -> tuple[bool, int, bool, int]:
    status = pod["status"]
    cost = int(pod["metadata"].get("annotations", {}).get(DELETION_COST, 0))
    return bool(pod["spec"].get("nodeName")), _PHASES.get(status.get("phase", ""), 0), is_ready(pod), cost


def _younger(pod: JSON) -> tuple[str, str]:
    return condition(pod, "Ready").get("lastTransitionTime", ""), pod["metadata"]["creationTimestamp"]


def condition(pod: JSON, kind: str) -> JSON:
    """The condition of that type, empty where there is none."""
    conditions = pod["status"].get("conditions") or []
    return next((found for found in conditions if found["type"] == kind), {})


def is_ready(pod: JSON) -> bool:
    """Whether its Ready condition is True."""
    return condition(pod, "Ready").get("status") == "True"


def is_going(pod: JSON) -> bool:
    """Whether it was deleted and is still there."""
    return "deletionTimestamp" in pod["metadata"]
