"""Which pods go first."""

from __future__ import annotations

from tests.e2e.ranking import DELETION_COST, victims


def pod(
    name, *, node="n", phase="Running", ready="2026-01-01T00:00:00Z", cost=None, made="2026-01-01T00:00:00Z"
):
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    annotations = {DELETION_COST: str(cost)} if cost is not None else {}
    return {
        "metadata": {"name": name, "annotations": annotations, "creationTimestamp": made},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "conditions": conditions},
    }


def test_in_the_order_of_a_replica_set():
    pods = [
        pod("old"),
        pod("costly", cost=100, ready="2026-01-01T00:00:09Z"),
        pod("young", made="2026-01-01T00:00:05Z"),
        pod("ready-of-late", ready="2026-01-01T00:00:07Z"),
        pod("cheap", cost=-1),
        pod("not-ready", ready=None),
        pod("pending", ready=None, phase="Pending"),
        pod("unscheduled", ready=None, phase="Pending", node=None),
    ]
    order = [pod["metadata"]["name"] for pod in victims(pods, len(pods))]
    assert order == [
        "unscheduled",
        "pending",
        "not-ready",
        "cheap",
        "ready-of-late",
        "young",
        "old",
        "costly",
    ]
    assert [pod["metadata"]["name"] for pod in victims(pods, 2)] == ["unscheduled", "pending"]
