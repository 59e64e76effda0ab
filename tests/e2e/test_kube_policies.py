"""ScalingPolicy objects, their status, events about them and their rivals, in a real API server."""

from __future__ import annotations

import pytest

from autoscaler.api.status import History, PastRecommendation, PolicyStatus, read_status
from autoscaler.api.vocabulary import Mode
from autoscaler.kube.client.api import ApiError
from autoscaler.kube.client.lease import LeaderElection, LeaseSettings
from autoscaler.ports.targets import TargetKey
from tests.e2e.kube_world import (
    KEDA,
    POLICIES,
    install_definition,
    install_policies,
    policy,
    watching,
    workload,
)
from tests.servers.eventually import eventually

pytestmark = pytest.mark.e2e

BAD_CRON = [{"name": "day", "cron": "0 25 * * *", "durationSeconds": 60, "minReplicas": 1}]
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
HPAS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}


@pytest.fixture(scope="module")
def api(cluster):
    api = cluster.api
    install_policies(api)
    return api


@pytest.fixture
def namespace(api):
    return api.post("/api/v1/namespaces", {"metadata": {"generateName": "policies-"}})["metadata"]["name"]


@pytest.fixture
def live(cluster, namespace):
    with watching(cluster.kubeconfig, namespace) as watched:
        yield watched


def in_force(live):
    return {one.name: one for one in live.policies.policies()}


def test_policies_come_change_and_go_without_a_restart(api, live, namespace):
    path = POLICIES.format(namespace)
    api.post(path, policy())
    stored = eventually(lambda: in_force(live).get("chat"))
    assert (stored.namespace, stored.policy.spec.max_replicas, stored.generation) == (namespace, 10, 1)
    api.patch(f"{path}/chat", {"spec": {"maxReplicas": 20}})
    eventually(lambda: in_force(live)["chat"].policy.spec.max_replicas == 20)
    api.delete(f"{path}/chat")
    eventually(lambda: not in_force(live))


def test_what_only_the_loader_can_refuse_keeps_the_last_good_policy(api, live, namespace):
    path = POLICIES.format(namespace)
    api.post(path, policy())
    eventually(lambda: in_force(live))
    api.patch(f"{path}/chat", {"spec": {"schedules": BAD_CRON}})
    stored = eventually(lambda: in_force(live)["chat"].problem and in_force(live)["chat"])
    assert "spec.schedules[0].cron: has a wrong hour field" in stored.problem
    assert stored.policy.spec.schedules == ()
    api.post(path, policy("never-good", schedules=BAD_CRON))
    (refused,) = eventually(live.policies.refused)
    assert (refused.name, in_force(live).keys()) == ("never-good", {"chat"})


def test_a_status_survives_to_the_bit_and_changes_nothing_else(api, live, namespace):
    path = POLICIES.format(namespace)
    api.post(path, policy())
    stored = eventually(lambda: in_force(live).get("chat"))
    now = 1_772_353_800.123456
    history = History(
        target="apps/v1/Deployment/vllm",
        recommendations=tuple(PastRecommendation(replicas=n, time=now + n / 7) for n in range(240)),
        failing_since=now,
    )
    status = PolicyStatus(mode=Mode.ACTIVE, current_replicas=2, last_scale_time=now, history=history)
    live.policies.write_status(stored, status.as_json())
    again = eventually(lambda: (one := in_force(live)["chat"]).status and one)
    found = read_status(again.status)
    assert found is not None
    assert found.history == history
    assert again.policy is stored.policy
    assert api.get(f"{path}/chat")["metadata"]["generation"] == 1
    live.policies.write_status(stored, PolicyStatus(mode=Mode.PAUSED).as_json())
    assert "history" not in api.get(f"{path}/chat")["status"], "the old status is gone as a whole"


def test_a_status_for_an_object_that_was_replaced_is_not_written(api, live, namespace):
    path = POLICIES.format(namespace)
    api.post(path, policy())
    stored = eventually(lambda: in_force(live).get("chat"))
    api.delete(f"{path}/chat")
    api.post(path, policy())
    with pytest.raises(ApiError) as caught:
        live.policies.write_status(stored, {"mode": "Active"})
    assert caught.value.status == 422
    assert "status" not in api.get(f"{path}/chat")


# Events


def test_events_stand_beside_their_policy_and_are_counted(api, live, namespace):
    api.post(POLICIES.format(namespace), policy())
    stored = eventually(lambda: in_force(live).get("chat"))
    for _ in range(3):
        live.events.emit(stored, "Normal", "SuccessfulRescale", "New size: 3; reason: above target")
    path = f"/api/v1/namespaces/{namespace}/events"

    def counted():
        items = api.get(path)["items"]
        return items if [one["count"] for one in items] == [3] else None

    (event,) = eventually(counted)
    assert event["involvedObject"]["uid"] == stored.uid
    assert (event["type"], event["reason"]) == ("Normal", "SuccessfulRescale")


# Owners


def claims(live, name="chat"):
    return [claim.owner for claim in live.owners.conflicts(in_force(live)[name])]


def test_an_hpa_on_the_same_workload_is_found_and_forgotten_when_it_goes(api, live, namespace):
    api.post(POLICIES.format(namespace), policy())
    eventually(lambda: in_force(live))
    assert claims(live) == []
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": REF, "maxReplicas": 3},
    }
    api.post(HPAS.format(namespace), hpa)
    eventually(lambda: claims(live) == [f"HorizontalPodAutoscaler {namespace}/h"])
    api.delete(f"{HPAS.format(namespace)}/h")
    eventually(lambda: claims(live) == [])


def test_keda_is_found_where_it_is_installed(cluster, api, namespace):
    install_definition(api, KEDA)
    with watching(cluster.kubeconfig, namespace) as live:
        api.post(POLICIES.format(namespace), policy())
        eventually(lambda: in_force(live))
        scaled = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "k"},
            "spec": {"scaleTargetRef": {"name": "vllm"}},
        }
        api.post(f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects", scaled)
        eventually(lambda: claims(live) == [f"ScaledObject {namespace}/k"])


def test_of_two_policies_for_one_workload_the_older_goes_on(api, live, namespace):
    for name in ("a", "b"):
        api.post(POLICIES.format(namespace), policy(name))
    eventually(lambda: len(in_force(live)) == 2)
    assert (claims(live, "a"), claims(live, "b")) == ([], [f"ScalingPolicy {namespace}/a"])


def test_a_program_that_keeps_changing_the_replicas_is_found(api, live, namespace):
    api.post(DEPLOYMENTS.format(namespace), workload())
    api.post(POLICIES.format(namespace), policy())
    eventually(lambda: in_force(live))
    target = TargetKey(namespace, in_force(live)["chat"].policy.spec.scale_target_ref)
    eventually(lambda: live.targets.workloads(target))
    assert claims(live) == []
    path = f"{DEPLOYMENTS.format(namespace)}/vllm/scale?fieldManager=gitops"
    for replicas in (5, 1, 5):
        api.patch(path, {"spec": {"replicas": replicas}})
    eventually(lambda: claims(live) == ["field manager gitops"])


# The lease


def candidate(live, namespace, identity, seconds=10):
    settings = LeaseSettings(namespace, "vllm-autoscaler", identity, seconds)
    return LeaderElection(live.api, settings)


def test_a_leader_that_ends_hands_over_at_once_and_one_that_dies_after_its_lease(api, live, namespace):
    first = candidate(live, namespace, "one", seconds=120)
    second, third = (candidate(live, namespace, name) for name in ("two", "three"))
    first.start()
    eventually(first.may_write)
    second.start()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/vllm-autoscaler"
    assert api.get(lease)["spec"]["holderIdentity"] == "one"
    assert not second.may_write()
    first.stop()
    eventually(second.may_write, within=60)
    second._stopped.set()  # dies: renews no more, gives nothing back
    third.start()
    eventually(third.may_write, within=60)
    assert not second.may_write()
    spec = api.get(lease)["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("three", 2)
    third.stop()
