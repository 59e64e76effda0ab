from __future__ import annotations

import pytest

from autoscaler.kube.conflicts import HPA_COLLECTION
from autoscaler.kube.controller_ports import ControllerPorts, own_identity, own_namespace
from autoscaler.kube.policy_files import PolicyFiles
from autoscaler.kube.watched_policies import COLLECTION, KubePolicies
from tests.api.build import VALID
from tests.kube.objects import pod, policy
from tests.servers.eventually import eventually


def serve(double, path, *objects):
    body = {"metadata": {"resourceVersion": "1"}, "items": list(objects)}
    double.on("GET", path, lambda call: call.json(body))


def test_all_that_a_controller_needs_comes_from_one_server(double):
    serve(double, "/api/v1/pods", pod("vllm-0"))
    serve(double, HPA_COLLECTION)
    serve(double, COLLECTION, policy())
    cluster = ControllerPorts(double.api(), "autoscaler-0")
    assert "/api/v1/pods was not read yet" in str(cluster.stale())
    cluster.start()
    assert cluster.wait(30)
    assert cluster.stale() is None
    assert isinstance(cluster.policies, KubePolicies)
    (stored,) = cluster.policies.policies()
    assert cluster.owners.conflicts(stored) == []
    assert [one.name for one in cluster.targets.pods("chat", "app=vllm")] == ["vllm-0"]
    cluster.stop()


def test_a_list_that_never_comes_is_waited_for_no_longer_than_asked(double):
    cluster = ControllerPorts(double.api(), "autoscaler-0")
    cluster.start()
    assert not cluster.wait(0.05)
    cluster.stop()


def test_with_a_folder_of_policies_the_cluster_is_not_asked_for_any(double, tmp_path):
    (tmp_path / "a.yaml").write_text(VALID)
    serve(double, "/api/v1/pods")
    serve(double, HPA_COLLECTION)
    cluster = ControllerPorts(double.api(), "autoscaler-0", folder=tmp_path)
    cluster.start()
    assert cluster.wait(30)
    assert isinstance(cluster.policies, PolicyFiles)
    (stored,) = cluster.policies.policies()
    assert cluster.owners.conflicts(stored) == []
    assert double.seen("GET", COLLECTION) == []
    cluster.stop()


def test_only_the_namespaces_that_were_named_are_listed(double):
    cluster = ControllerPorts(double.api(), "autoscaler-0", namespaces=("chat", "code"))
    cluster.start()

    def pods() -> set[str]:
        return {one.path for one in double.seen("GET") if one.path.endswith("/pods")}

    eventually(lambda: len(pods()) > 1)
    cluster.stop()
    assert pods() == {"/api/v1/namespaces/chat/pods", "/api/v1/namespaces/code/pods"}


def test_a_process_knows_where_it_runs_and_is_like_no_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POD_NAMESPACE", "here")
    monkeypatch.setenv("POD_NAME", "autoscaler-abc")
    assert own_namespace() == "here"
    first, second = own_identity(), own_identity()
    assert first != second
    assert first.startswith("autoscaler-abc_")
    monkeypatch.delenv("POD_NAMESPACE")
    assert own_namespace() == "default"
