from __future__ import annotations

import pytest

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import ApiError
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.watched_policies import COLLECTION, KubePolicies, PolicyObjects, read_policies
from autoscaler.ports.policies import RefusedPolicy, StoredPolicy
from tests.kube.objects import policy

BROKEN = {"minReplicas": 11}
PROBLEM = "spec.minReplicas: must be at most maxReplicas, which is 10; is 11"


@pytest.fixture
def objects() -> PolicyObjects:
    return PolicyObjects()


def test_an_object_becomes_a_policy(objects):
    objects.put(policy(generation=3, status={"mode": "Active"}))
    (stored,) = objects.all()
    assert isinstance(stored, StoredPolicy)
    assert (stored.namespace, stored.name, stored.uid, stored.generation) == (
        "chat",
        "chat",
        "uid-of-chat",
        3,
    )
    assert stored.policy.spec.max_replicas == 10
    assert (stored.problem, stored.status) == (None, {"mode": "Active"})


def test_a_status_of_our_own_does_not_make_another_policy_of_it(objects):
    objects.put(policy())
    before = objects.all()[0]
    objects.put(policy(status={"mode": "Active"}))
    after = objects.all()[0]
    assert after.policy is before.policy
    assert after.status == {"mode": "Active"}


def test_an_edit_is_in_force_at_once(objects):
    objects.put(policy())
    objects.put(policy(generation=2, spec={"maxReplicas": 20}))
    (stored,) = objects.all()
    assert (stored.policy.spec.max_replicas, stored.generation) == (20, 2)


def test_a_broken_edit_keeps_the_last_good_policy_and_says_so(objects):
    objects.put(policy())
    objects.put(policy(generation=2, spec=BROKEN))
    (stored,) = objects.all()
    assert (stored.policy.spec.min_replicas, stored.generation, stored.problem) == (1, 1, PROBLEM)
    objects.put(policy(generation=2, spec=BROKEN, status={"mode": "Active"}))
    (stored,) = objects.all()
    assert (stored.problem, stored.status) == (PROBLEM, {"mode": "Active"})
    objects.put(policy(generation=3))
    (stored,) = objects.all()
    assert (stored.problem, stored.generation) == (None, 3)


def test_a_policy_that_was_never_good_is_refused_until_it_is(objects):
    objects.put(policy(spec=BROKEN))
    assert objects.all() == [RefusedPolicy("chat", "chat", PROBLEM, "uid-of-chat", 1)]
    objects.put(policy(spec=BROKEN, status={"mode": "Active"}))
    assert objects.all()[0].status == {"mode": "Active"}
    objects.put(policy(generation=2))
    assert isinstance(objects.all()[0], StoredPolicy)


def test_a_new_object_of_the_same_name_inherits_nothing(objects):
    objects.put(policy())
    objects.put(policy(uid="another", spec=BROKEN))
    assert isinstance(objects.all()[0], RefusedPolicy)


def test_an_object_without_a_spec_is_refused_and_not_a_crash(objects):
    objects.put({**policy(), "spec": None})
    assert isinstance(objects.all()[0], RefusedPolicy)


def test_a_new_list_forgets_what_is_gone(objects):
    objects.replace([policy("a"), policy("b")])
    objects.replace([policy("b")])
    assert [one.name for one in objects.all()] == ["b"]
    objects.drop(policy("b"))
    assert objects.all() == []


# The store


def test_until_the_first_list_there_are_no_policies_to_speak_of(double):
    store = KubePolicies(double.api(), Informer(double.api(), COLLECTION, (), PolicyObjects))
    with pytest.raises(ClusterError, match="was not read yet"):
        store.policies()


def test_good_and_refused_ones_come_apart(double):
    watched = Informer(double.api(), COLLECTION, (), PolicyObjects)
    body = {
        "metadata": {"resourceVersion": "1"},
        "items": [policy("b"), policy("a"), policy("c", spec=BROKEN)],
    }
    double.on("GET", COLLECTION, lambda call: call.json(body))
    watched.start()
    assert watched.wait(30)
    store = KubePolicies(double.api(), watched)
    assert [one.name for one in store.policies()] == ["a", "b"]
    assert [one.name for one in store.refused()] == ["c"]
    watched.stop()


def test_a_cluster_without_the_definition_is_told_how_to_get_it(double):
    double.on("GET", COLLECTION, lambda call: call.refuse(404, "NotFound", "could not find the resource"))
    with pytest.raises(ClusterError, match=r"knows no ScalingPolicies; install .*: autoscale schema --crd"):
        read_policies(double.api())


STATUS_PATH = "/apis/vllm-autoscaler.io/v1alpha1/namespaces/chat/scalingpolicies/chat/status"


def test_a_status_replaces_the_old_one_of_the_same_object(double, objects):
    objects.put(policy())
    double.on("PATCH", STATUS_PATH, lambda call: call.json({}))
    store = KubePolicies(double.api(), Informer(double.api(), COLLECTION, (), PolicyObjects))
    store.write_status(objects.all()[0], {"mode": "Active"})
    (request,) = double.seen("PATCH")
    assert request.headers["Content-Type"] == "application/json-patch+json"
    assert request.body == [
        {"op": "test", "path": "/metadata/uid", "value": "uid-of-chat"},
        {"op": "add", "path": "/status", "value": {"mode": "Active"}},
    ]


def test_a_status_that_cannot_be_written_is_a_cluster_error(double, objects):
    objects.put(policy())
    double.on("PATCH", STATUS_PATH, lambda call: call.refuse(422, "Invalid", "the test failed"))
    store = KubePolicies(double.api(), Informer(double.api(), COLLECTION, (), PolicyObjects))
    with pytest.raises(ApiError, match="the test failed"):
        store.write_status(objects.all()[0], {})
