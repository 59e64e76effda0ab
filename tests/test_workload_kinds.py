"""The table of workload kinds: every place that knows a kind knows it from here."""

from __future__ import annotations

import pytest

from autoscaler.kube.workloads import WATCHED_KINDS
from autoscaler.workload_kinds import BY_GROUP_AND_NAME, WORKLOAD_KINDS


def test_no_kind_has_two_rows():
    assert len(BY_GROUP_AND_NAME) == len(WORKLOAD_KINDS)


@pytest.mark.parametrize(
    ("key", "collection"),
    [
        (("apps", "Deployment"), "/apis/apps/v1/deployments"),
        (("apps", "ReplicaSet"), "/apis/apps/v1/replicasets"),
        (("", "Pod"), "/api/v1/pods"),
        (
            ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"),
            "/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets",
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_kinds_collection_is_where_the_api_server_has_it(key: tuple[str, str], collection: str):
    assert BY_GROUP_AND_NAME[key].collection == collection


def test_a_kind_that_is_watched_can_be_scaled_and_its_pods_can_be_told_from_others():
    for kind in WORKLOAD_KINDS:
        if kind.watched:
            assert kind.scalable
            assert kind.replicas_counted != "unknown"
            assert kind.templates
            assert (kind.api_version, kind.name) in WATCHED_KINDS
            assert not kind.pods_through or ("apps", kind.pods_through) in BY_GROUP_AND_NAME
