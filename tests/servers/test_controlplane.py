"""The composed control plane behaves as a cluster does, as far as the tests lean on it."""

from __future__ import annotations

import copy
import json
import time

import pytest
from kubernetes import client, config, watch
from kubernetes.client import ApiException

from tests.servers.api import APPLY, Api
from tests.servers.eventually import eventually

pytestmark = pytest.mark.e2e

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "vllm"},
    "spec": {
        "selector": {"matchLabels": {"app": "vllm"}},
        "template": {
            "metadata": {"labels": {"app": "vllm"}},
            "spec": {"containers": [{"name": "vllm", "image": "vllm"}]},
        },
    },
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "vllm-0", "annotations": {"e2e/ready-after": "500ms"}},
    "spec": {"nodeName": "gpu-node", "containers": [{"name": "vllm", "image": "vllm"}]},
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "engines.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Engine", "plural": "engines", "singular": "engine"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "additionalPrinterColumns": [
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"replicas": {"type": "integer"}, "most": {"type": "integer"}},
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "self.replicas <= self.most",
                                        "message": "replicas may not exceed most",
                                    }
                                ],
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def api(control_plane):
    return Api(control_plane.kubeconfig)


@pytest.fixture
def namespace(api):
    made = api.post("/api/v1/namespaces", {"metadata": {"generateName": "plane-"}})
    return made["metadata"]["name"]


def status_of(error: pytest.ExceptionInfo[ApiException]) -> tuple[int, str]:
    return error.value.status, json.loads(str(error.value.body))["message"]


def test_the_official_client_scales_a_deployment(control_plane, api, namespace):
    api.post(DEPLOYMENTS.format(namespace), DEPLOYMENT)
    apps = client.AppsV1Api(config.new_client_from_config(str(control_plane.kubeconfig)))
    before = apps.read_namespaced_deployment_scale("vllm", namespace)
    assert (before.spec.replicas, before.status.selector) == (1, "app=vllm")
    apps.patch_namespaced_deployment_scale("vllm", namespace, {"spec": {"replicas": 3}})
    after = apps.read_namespaced_deployment("vllm", namespace)
    assert (after.spec.replicas, after.metadata.generation) == (3, 2)


def test_writes_at_an_old_version_conflict(api, namespace):
    scale = DEPLOYMENTS.format(namespace) + "/vllm/scale"
    api.post(DEPLOYMENTS.format(namespace), DEPLOYMENT)
    old = api.get(scale)
    api.patch(scale, {"spec": {"replicas": 2}})
    old["spec"]["replicas"] = 5
    with pytest.raises(ApiException) as error:
        api.put(scale, old)
    assert status_of(error)[0] == 409
    assert api.get(scale)["spec"]["replicas"] == 2


def test_field_managers_are_known_and_conflict(api, namespace):
    path = DEPLOYMENTS.format(namespace) + "/vllm"
    manifest = copy.deepcopy(DEPLOYMENT) | {"metadata": {"name": "vllm", "namespace": namespace}}
    manifest["spec"]["replicas"] = 1
    api.apply(manifest)
    api.patch(f"{path}/scale?fieldManager=autoscaler", {"spec": {"replicas": 4}})
    owners = {
        entry["manager"]: entry.get("subresource", "")
        for entry in api.get(path)["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners == {"autoscaler": "scale"}
    with pytest.raises(ApiException) as error:
        api.patch(f"{path}?fieldManager=kubectl", manifest, APPLY)
    status, message = status_of(error)
    assert status == 409
    assert 'conflict with "autoscaler"' in message


def test_a_status_write_leaves_the_spec_alone_and_the_other_way_round(api, namespace):
    path = DEPLOYMENTS.format(namespace) + "/vllm"
    api.post(DEPLOYMENTS.format(namespace), DEPLOYMENT | {"status": {"replicas": 7}})
    assert "replicas" not in api.get(path)["status"]
    api.patch(path + "/status", {"spec": {"replicas": 9}, "status": {"replicas": 1, "observedGeneration": 1}})
    read = api.get(path)
    assert (read["spec"]["replicas"], read["status"]["replicas"], read["metadata"]["generation"]) == (1, 1, 1)


def ready(pod: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def test_a_pod_runs_gets_ready_after_its_delay_and_ends(api, namespace):
    pods = f"/api/v1/namespaces/{namespace}/pods"
    api.post(pods, POD)
    eventually(lambda: api.get(pods + "/vllm-0")["status"]["phase"] == "Running")
    pod = eventually(lambda: ready(api.get(pods + "/vllm-0")) and api.get(pods + "/vllm-0"))
    assert pod["status"]["podIP"]
    api.delete(pods + "/vllm-0")
    eventually(lambda: api.get(pods)["items"] == [])


def test_a_pod_without_a_node_stays_pending(api, namespace):
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pending = copy.deepcopy(POD)
    del pending["spec"]["nodeName"]
    api.post(pods, pending)
    api.post(pods, copy.deepcopy(POD) | {"metadata": {"name": "other"}})
    eventually(lambda: api.get(pods + "/other")["status"]["phase"] == "Running")
    assert api.get(pods + "/vllm-0")["status"]["phase"] == "Pending"
    selected = api.get(pods + "?fieldSelector=spec.nodeName%3Dgpu-node")["items"]
    assert [pod["metadata"]["name"] for pod in selected] == ["other"]


def test_a_service_account_may_do_what_it_is_bound_to_and_no_more(control_plane, api, namespace):
    api.post(DEPLOYMENTS.format(namespace), DEPLOYMENT)
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/"
    rules = [{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]}]
    api.post(role + "roles", {"metadata": {"name": "reader"}, "rules": rules})
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "autoscaler", "namespace": namespace}],
    }
    api.post(role + "rolebindings", binding)
    account = Api(control_plane.kubeconfig_of_service_account(namespace, "autoscaler"))
    scale = DEPLOYMENTS.format(namespace) + "/vllm/scale"
    eventually(lambda: allowed(account, scale))
    for forbidden in (
        lambda: account.patch(scale, {"spec": {"replicas": 2}}),
        lambda: account.get(DEPLOYMENTS.format(namespace)),
        lambda: account.get("/apis/apps/v1/namespaces/default/deployments/vllm/scale"),
    ):
        with pytest.raises(ApiException) as error:
            forbidden()
        assert error.value.status == 403


def allowed(account: Api, path: str) -> bool:
    try:
        return bool(account.get(path))
    except client.exceptions.ForbiddenException:
        return False  # the binding is not in the authorizer's cache yet


def test_tokens_are_reviewed_and_rights_are_told(control_plane, api):
    user, token = next(iter(control_plane.tokens.items()))
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    assert api.post(reviews, review)["status"]["user"]["username"] == user
    assert not api.post(reviews, review | {"spec": {"token": "made up"}})["status"].get("authenticated")
    access = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    metrics = {"verb": "list", "group": "custom.metrics.k8s.io", "resource": "pods", "namespace": "x"}
    for who, verdict in ((user, True), ("outsider", False)):
        asked = {"spec": {"user": who, "resourceAttributes": metrics}}
        assert api.post(access, asked)["status"]["allowed"] is verdict


@pytest.fixture(scope="module")
def engines(control_plane):
    api = Api(control_plane.kubeconfig)
    api.apply(CRD)
    eventually(lambda: "example.com" in [group["name"] for group in api.get("/apis")["groups"]])
    return "/apis/example.com/v1/namespaces/{}/engines"


def engine(replicas: int, **more: object) -> dict:
    spec = {"replicas": replicas, "most": 4, **more}
    return {"apiVersion": "example.com/v1", "kind": "Engine", "metadata": {"name": "x"}, "spec": spec}


def test_a_custom_resource_is_held_to_its_schema_and_its_rules(api, namespace, engines):
    path = engines.format(namespace)
    with pytest.raises(ApiException) as error:
        api.post(path, engine(5))
    status, message = status_of(error)
    assert status == 422
    assert "replicas may not exceed most" in message
    with pytest.raises(ApiException) as error:
        api.post(path + "?fieldValidation=Strict", engine(1, typo=1))
    assert 'unknown field "spec.typo"' in status_of(error)[1]


def test_a_custom_resource_has_a_scale(api, namespace, engines):
    path = engines.format(namespace)
    api.post(path, engine(2))
    api.patch(path + "/x/status", {"status": {"replicas": 1, "selector": "app=x"}})
    scale = api.get(path + "/x/scale")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 1, "selector": "app=x"}
    api.patch(path + "/x/scale", {"spec": {"replicas": 3}})
    assert api.get(path + "/x")["spec"]["replicas"] == 3


def test_what_was_stored_survives_restarts(control_plane, api, namespace):
    api.post(DEPLOYMENTS.format(namespace), DEPLOYMENT)
    control_plane.apiserver.restart()
    assert api.get(DEPLOYMENTS.format(namespace) + "/vllm")
    control_plane.etcd.restart()
    eventually(lambda: answers(api, namespace), within=30)


def answers(api: Api, namespace: str) -> bool:
    try:
        return bool(api.get(DEPLOYMENTS.format(namespace) + "/vllm"))
    except ApiException:
        return False


def test_a_watch_from_a_forgotten_version_has_expired(control_plane, api, namespace):
    apiserver = control_plane.apiserver
    apiserver.watch_cache = False
    apiserver.restart()
    try:
        maps = f"/api/v1/namespaces/{namespace}/configmaps"
        old = api.get(maps)["metadata"]["resourceVersion"]
        for n in range(3):
            api.post(maps, {"metadata": {"name": f"m{n}"}})
        control_plane.etcd.compact()
        core = client.CoreV1Api(config.new_client_from_config(str(control_plane.kubeconfig)))
        with pytest.raises(ApiException) as error:
            list(
                watch.Watch().stream(
                    core.list_namespaced_config_map, namespace, resource_version=old, timeout_seconds=5
                )
            )
        assert error.value.status == 410
    finally:
        apiserver.watch_cache = True
        apiserver.restart()


def test_a_paused_server_answers_when_it_goes_on(control_plane, api):
    control_plane.apiserver.pause()
    began = time.monotonic()
    try:
        with pytest.raises(Exception, match="timed out"):
            api.get("/readyz", timeout=0.5)
    finally:
        control_plane.apiserver.resume()
    assert time.monotonic() - began > 0.4
    assert api.get("/api/v1/namespaces/default")
