"""Who may ask the adapter, what it may itself, and whose APIs it leaves alone."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from functools import partial
from urllib.parse import urlsplit

import pytest
import requests
import yaml
from kubernetes import config
from kubernetes.client import Configuration

from autoscaler.api.models import ScaleTargetRef
from autoscaler.errors import ClusterError, TargetError
from autoscaler.kube.adapter_ports import AdapterPorts
from autoscaler.kube.api_services import ApiServices, ServiceRef
from autoscaler.kube.secrets import Secret
from autoscaler.ports.identity import Access, User
from autoscaler.ports.targets import TargetKey
from tests.deploy.kustomize import DEPLOY
from tests.e2e.adapter import HOME, HOST, SERVICE, certs, export, manifests, mount
from tests.e2e.controller import PATIENCE, load
from tests.e2e.kube_world import install_definition, pod
from tests.e2e.manifests import deployment
from tests.e2e.test_rbac import GROUPS, TARGETS, Noted, granted, of_replica_set
from tests.servers.aggregation import MetricsOfAnHPA, available
from tests.servers.certificates import Authority
from tests.servers.controlplane import FRONT_PROXY
from tests.servers.eventually import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

V2 = "/apis/custom.metrics.k8s.io/v1beta2"
CERTS = "vllm-autoscaler-certs"


def ask(adapter, path, pair=None, **headers):
    """A request past the aggregation layer; ``pair``: the client's certificate."""
    cert = (str(pair.certificate), str(pair.key)) if pair else None
    return requests.get(adapter.url + path, cert=cert, headers=headers, verify=False, timeout=PATIENCE)


@pytest.fixture
def proxy(composed):
    return composed.apiserver.front_proxy.issue(FRONT_PROXY)


def test_the_aggregator_without_groups_gets_discovery_and_no_values(adapter, proxy):
    remote = {"X-Remote-User": "system:kube-aggregator"}
    for path in ("/apis", V2, "/apis/external.metrics.k8s.io/v1beta1", "/openapi/v2", "/openapi/v3"):
        assert ask(adapter, path, proxy, **remote).status_code == 200
    denied = ask(adapter, f"{V2}/namespaces/default/pods/*/x", proxy, **remote)
    assert denied.status_code == 403
    assert denied.json()["message"].startswith('forbidden: User "system:kube-aggregator" cannot get resource')


def test_identities_that_are_not_believed_are_refused(adapter, composed):
    masters = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    wrong_name = composed.apiserver.front_proxy.issue("somebody-else")
    client = composed.apiserver.authority.issue("alice")
    path = f"{V2}/namespaces/default/pods/*/x"
    assert ask(adapter, path, **masters).status_code == 401  # spoofed
    assert ask(adapter, path, wrong_name, **masters).status_code == 401
    assert ask(adapter, path).status_code == 401
    assert ask(adapter, path, Authorization="Bearer nonsense").status_code == 401
    assert ask(adapter, path, client, **masters).status_code == 403  # alice, whatever the headers say


def test_a_certificate_of_a_stranger_ends_in_an_alert(adapter, tmp_path):
    pair = Authority(tmp_path, "stranger").issue(FRONT_PROXY)
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)) as caught:
        ask(adapter, "/livez", pair)
    assert "alert unknown ca" in str(caught.value).lower()


def test_tokens_are_judged_by_the_cluster(adapter, composed):
    (token,) = composed.tokens.values()
    answer = ask(adapter, f"{V2}/namespaces/default/pods/*/none", Authorization=f"Bearer {token}")
    assert answer.status_code == 404  # it may read, and there is no such metric


def test_a_stranger_in_the_cluster_is_refused_through_the_aggregation_layer(cluster, adapter):  # noqa: ARG001
    stranger = MetricsOfAnHPA(cluster.account("default", "stranger"))
    with pytest.raises(RuntimeError, match=r"cannot (get|list) resource"):
        stranger.pods("default", "num_requests_waiting", "app=vllm")


def test_the_certificate_is_renewed_while_it_serves(cluster, namespace, script, adapter):
    adapter.serve(export(namespace, {"name": "waiting", "signal": "waiting"}))
    script.change(lambda _: load(waiting=7))
    cluster.api.apply(deployment(namespace, replicas=1))
    hpa = MetricsOfAnHPA(cluster.account("kube-system", "horizontal-pod-autoscaler"))

    def reads():
        try:
            return len(hpa.pods(namespace, "waiting", "app=vllm")["items"]) == 1
        except RuntimeError:
            return False

    eventually(reads, PATIENCE)
    before = served_certificate(adapter)
    account = cluster.account(HOME, CERTS)
    assert "a new certificate" not in certs(account)  # nothing is due
    assert served_certificate(adapter) == before

    lost = {"data": {"tls.crt": "", "tls.key": ""}}
    cluster.api.patch(f"/api/v1/namespaces/{HOME}/secrets/{SERVICE}-tls", lost)
    assert f"a new certificate for {HOST}" in certs(account)
    mount(cluster.api, adapter.folder / "tls")
    eventually(lambda: served_certificate(adapter) != before, PATIENCE)
    eventually(reads, PATIENCE)


def served_certificate(adapter):
    url = urlsplit(adapter.url)
    return ssl.get_server_certificate((url.hostname, url.port))


KEDA = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
    "spec": {
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": "keda-operator-metrics-apiserver", "namespace": "keda", "port": 443},
        "caBundle": "S0VEQSdz",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    },
}


def test_an_api_of_somebody_else_is_left_alone(cluster, adapter):  # noqa: ARG001 (it is there first)
    path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
    ours = cluster.api.get(path)
    cluster.api.apply(KEDA)
    taken = cluster.api.get(path)
    told = certs(cluster.account(HOME, CERTS), "--owners")
    assert "v1beta2.custom.metrics.k8s.io: ours" in told
    assert "served by KEDA (keda/keda-operator-metrics-apiserver)" in told
    certs(cluster.account(HOME, CERTS))
    assert cluster.api.get(path)["spec"] == taken["spec"]
    eventually(lambda: available(cluster.api, "custom.metrics.k8s.io", "v1beta2"), PATIENCE)
    cluster.api.patch(path, {"spec": ours["spec"]})


STACKDRIVER = {
    **KEDA,
    "spec": {
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": "custom-metrics-stackdriver-adapter", "namespace": "custom-metrics", "port": 443},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    },
}


def test_the_guides_way_from_the_stackdriver_adapter_and_back(cluster, adapter, tmp_path):  # noqa: ARG001
    kubectl = shutil.which("kubectl") or pytest.skip("no kubectl here")

    def run(*words):
        command = [kubectl, "--kubeconfig", cluster.kubeconfig, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def owner():
        told = certs(cluster.account(HOME, CERTS), "--owners")
        return next(line for line in told.splitlines() if line.startswith(KEDA["metadata"]["name"]))

    theirs, ours = (
        tmp_path / "theirs.yaml",
        DEPLOY / "components" / "adapter-api-external" / "api-services.yaml",
    )
    theirs.write_text(yaml.safe_dump(STACKDRIVER))
    assert run("delete", "-f", ours).returncode == 0
    assert run("apply", "-f", theirs).returncode == 0
    assert "served by the Stackdriver adapter" in owner()

    assert run("apply", "--server-side", "-f", ours).returncode == 0
    assert ": ours" in owner()
    assert "the authority is in its caBundle" in certs(cluster.account(HOME, CERTS))
    spec = cluster.api.get(f"/apis/apiregistration.k8s.io/v1/apiservices/{KEDA['metadata']['name']}")["spec"]
    assert spec["caBundle"]
    assert "insecureSkipTLSVerify" not in spec

    assert "may not be true if caBundle is present" in run("apply", "-f", theirs).stderr
    assert run("delete", "-f", ours).returncode == 0
    assert run("apply", "-f", theirs).returncode == 0
    assert "served by the Stackdriver adapter" in owner()

    assert run("apply", "--server-side", "-f", ours).returncode == 0
    certs(cluster.account(HOME, CERTS))


def identity(cluster, name):
    configuration = Configuration()
    kubeconfig = str(cluster.account(HOME, name))
    config.load_kube_config(kubeconfig, client_configuration=configuration, persist_config=False)
    return Noted(configuration)


def shipped_for(folder, account):
    """The rights in the component's manifests for one of its two identities."""
    documents = manifests(folder, "adapter", below=None)
    return granted([one for one in documents if (CERTS in one["metadata"]["name"]) is (account == CERTS)])


DELEGATED = {
    ("authentication.k8s.io", "tokenreviews", "create"),
    ("authorization.k8s.io", "subjectaccessreviews", "create"),
}


def asks_with_a_call(api, key, right):
    """Reads a target that nothing watches yet; the watch that begins with it may still be faster."""
    extension = AdapterPorts(api)
    with pytest.raises(TargetError, match="there is no"):
        extension.targets.read(key)
    extension.targets.stop()
    return right in api.used


def test_its_rights_are_those_that_its_calls_need(cluster, namespace, adapter, tmp_path):  # noqa: ARG001
    install_definition(cluster.api, GROUPS)
    api = identity(cluster, SERVICE)
    keys = {
        (version.partition("/")[0], f"{plural}/scale", "get"): TargetKey(
            namespace, ScaleTargetRef(api_version=version, kind=kind, name="vllm")
        )
        for version, kind, plural in TARGETS
    }
    for right, key in keys.items():
        eventually(partial(asks_with_a_call, api, key, right), PATIENCE)
    extension = AdapterPorts(api)
    extension.start()
    assert extension.wait(PATIENCE)
    for key in keys.values():  # and now the watches that begin with a read may last
        with pytest.raises(TargetError, match="there is no"):
            extension.targets.read(key)
    eventually(lambda: extension.unready() == [], PATIENCE)
    apart = cluster.api.post("/api/v1/namespaces", {"metadata": {"generateName": "owners-"}})["metadata"][
        "name"
    ]
    cluster.api.post(f"/api/v1/namespaces/{apart}/pods", of_replica_set(pod("vllm-0")))
    target = TargetKey(apart, ScaleTargetRef(kind="Deployment", name="vllm"))
    eventually(lambda: extension.targets.own_pods(target, "app=vllm").pods, PATIENCE)
    assert extension.reviews.authenticate("nonsense") is None
    assert extension.reviews.authorize(User("nobody"), Access("get", path="/x")) is False
    ApiServices(api).find("v1beta1.external.metrics.k8s.io")
    needed = shipped_for(tmp_path, SERVICE) | DELEGATED
    eventually(lambda: needed - api.used == set(), PATIENCE)
    extension.stop()
    assert api.used == needed


def test_who_issues_certificates_may_that_and_nothing_else(cluster, adapter, tmp_path):  # noqa: ARG001
    api = identity(cluster, CERTS)
    secret = Secret(api, HOME, f"{SERVICE}-tls")
    secret.write(secret.read())
    services = ApiServices(api)
    found = services.find("v1beta2.custom.metrics.k8s.io")
    assert found is not None
    ours = ServiceRef(HOME, SERVICE)
    services.trust(found, ours, found.ca_bundle + "\n")
    again = services.find(found.name)
    assert again is not None
    services.trust(again, ours, found.ca_bundle)
    assert api.used == shipped_for(tmp_path, CERTS)
    with pytest.raises(ClusterError, match="cannot get resource"):
        api.get(f"/api/v1/namespaces/{HOME}/secrets/another")
