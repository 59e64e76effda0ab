"""What policies and exports declare, and where it is found."""

from autoscaler.adapter.wire import CUSTOM, EXTERNAL
from tests.adapter.world import TTFT, WAITING, export, policy, served

PODS_METRIC = {"signal": "running+waiting", "target": {"type": "PodsAverage", "averageValue": 100}}


def test_a_policys_metrics_are_found_by_the_kind_of_their_target():
    declared = served(policy(PODS_METRIC, TTFT))
    (pods,) = declared.find("chat", "pods", "running+waiting")
    (target,) = declared.find("chat", "deployments.apps", "ttft")
    (external,) = declared.find("chat", "", "ttft")
    assert (pods.object, pods.each_pod) == (None, True)
    assert (target.object, target.resource.api_version) == ("vllm", "apps/v1")
    assert external.labels == (("policy", "chat"),)
    assert declared.find("chat", "pods", "ttft") == ()
    assert declared.find("other", "pods", "running+waiting") == ()
    assert declared.namespaces == {"chat"}


def test_an_export_is_found_by_its_name_and_its_aliases():
    declared = served(exports=[export(WAITING)])
    for name in ("num_requests_waiting", "gcm|waiting|gauge"):
        (measure,) = declared.find("chat", "pods", name)
        assert measure.whose == "app=vllm"


def test_exports_of_the_namespace_and_external_ones():
    declared = served(
        exports=[
            export(
                {"name": "a", "signal": "ttft", "resource": "Namespace"},
                {"name": "b", "query": "x", "resource": "External", "labels": {"model": "llama"}},
            )
        ]
    )
    (about,) = declared.find("chat", "namespaces", "a")
    (external,) = declared.find("chat", "", "b")
    assert about.object == "chat"
    assert external.labels == (("model", "llama"),)


def test_discovery_lists_every_name_once():
    names = served(policy(PODS_METRIC, TTFT), exports=[export(WAITING)]).names()
    assert [(resource.plural, name) for resource, name in names[CUSTOM]] == [
        ("pods", "gcm|waiting|gauge"),
        ("pods", "num_requests_waiting"),
        ("pods", "running+waiting"),
        ("deployments.apps", "ttft"),
    ]
    assert list(names[EXTERNAL]) == [(None, "ttft")]


def test_the_second_of_two_that_cannot_be_told_apart_is_a_problem():
    declared = served(exports=[export(WAITING), export(WAITING, app="other")])
    (measure,) = declared.find("chat", "pods", "num_requests_waiting")
    assert measure.whose == "app=vllm"
    assert declared.problems[0].startswith("chat: num_requests_waiting is served already")


def test_a_name_that_cannot_stand_in_a_url_is_a_problem():
    metric = {"name": "a/b", "query": "x", "target": {"type": "PodsAverage", "averageValue": 1}}
    declared = served(policy(metric))
    assert list(declared.measures) == []
    assert declared.problems == ["chat/chat: 'a/b' cannot stand in a URL: give the metric another name"]


def test_a_policys_free_query_is_served_only_where_queries_are_allowed():
    metric = {"name": "m", "query": "x", "target": {"type": "PodsAverage", "averageValue": 1}}
    assert not list(served(policy(metric), queries_in=()).measures)
    assert "--allow-queries-in" in served(policy(metric), queries_in=("other",)).problems[0]
    for namespace in ("chat", "*"):
        assert list(served(policy(metric), queries_in=(namespace,)).measures)


def test_a_leader_worker_set_is_a_resource_of_its_own_group():
    ref = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "big"}
    declared = served(policy(TTFT, scaleTargetRef=ref))
    assert declared.find("chat", "leaderworkersets.leaderworkerset.x-k8s.io", "ttft")
