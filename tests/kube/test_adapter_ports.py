"""Reviews, trust, APIServices and the Secret, over an API server that answers what a test wants."""

from __future__ import annotations

import base64

import pytest

from autoscaler.errors import ClusterError, TargetError
from autoscaler.kube.api_services import COLLECTION, ApiServices, ServiceRef
from autoscaler.kube.reviews import KubeReviews
from autoscaler.kube.secrets import Secret
from autoscaler.kube.trust import CONFIG_MAP, KubeAuthenticationConfig, read_trust
from autoscaler.ports.identity import Access, AuthenticationConfig, User
from tests.adapter.authority import Authority
from tests.servers.eventually import eventually

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
RIGHTS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
NAME = "v1beta1.external.metrics.k8s.io"
OURS = ServiceRef("vllm-autoscaler", "adapter")


def status(**fields):
    return lambda call: call.json({"status": fields})


def test_a_token_is_whose_the_review_says(double):
    user = {"username": "hpa", "groups": ["a"], "uid": "1", "extra": {"k": ["v"]}}
    double.on("POST", TOKENS, status(authenticated=True, user=user))
    found = KubeReviews(double.api()).authenticate("t0")
    assert found == User("hpa", ("a",), "1", (("k", ("v",)),))
    assert double.requests[0].body["spec"] == {"token": "t0"}


@pytest.mark.parametrize(
    "answer",
    [{"authenticated": False}, {}, {"authenticated": True, "user": {}}, {"user": {"username": "x"}}],
)
def test_without_a_clear_yes_a_token_is_nobodys(double, answer):
    double.on("POST", TOKENS, status(**answer))
    assert KubeReviews(double.api()).authenticate("t0") is None


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ({"allowed": True}, True),
        ({"allowed": False}, False),
        ({"allowed": True, "denied": True}, False),
        ({}, False),
    ],
)
def test_without_a_clear_yes_nothing_is_allowed(double, answer, allowed):
    double.on("POST", RIGHTS, status(**answer))
    access = Access("get", "custom.metrics.k8s.io", "v1beta2", "chat", "pods", "waiting", "*")
    assert KubeReviews(double.api()).authorize(User("hpa", ("a",)), access) is allowed
    spec = double.requests[0].body["spec"]
    assert (spec["user"], spec["groups"]) == ("hpa", ["a"])
    assert spec["resourceAttributes"] == {
        "verb": "get",
        "group": "custom.metrics.k8s.io",
        "version": "v1beta2",
        "namespace": "chat",
        "resource": "pods",
        "subresource": "waiting",
        "name": "*",
    }


def test_a_path_is_asked_as_a_path(double):
    double.on("POST", RIGHTS, status(allowed=True))
    KubeReviews(double.api()).authorize(User("hpa"), Access("get", path="/openapi/v2"))
    assert double.requests[0].body["spec"]["nonResourceAttributes"] == {"path": "/openapi/v2", "verb": "get"}


def test_a_review_that_fails_is_no_answer(double):
    double.on("POST", RIGHTS, lambda call: call.refuse(500))
    with pytest.raises(ClusterError):
        KubeReviews(double.api()).authorize(User("hpa"), Access("get", path="/"))


A, B, C = (Authority(name).pem for name in "ABC")
CONFIG = {
    "client-ca-file": A,
    "requestheader-client-ca-file": B,
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-username-headers": '["X-Remote-User"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
}
TRUST = AuthenticationConfig(
    client_ca=A,
    requestheader_ca=B,
    allowed_names=("front-proxy-client",),
    username_headers=("X-Remote-User",),
    group_headers=("X-Remote-Group",),
    extra_prefixes=("X-Remote-Extra-",),
)


def test_the_trust_is_that_of_the_config_map():
    assert read_trust(CONFIG) == TRUST
    assert read_trust({}) == AuthenticationConfig()


@pytest.mark.parametrize("names", ["{}", "[1]", "nonsense"])
def test_names_that_are_none_are_an_error(names):
    with pytest.raises(ValueError, match=r"."):
        read_trust({**CONFIG, "requestheader-allowed-names": names})


BROKEN = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("bundle", [BROKEN, A + BROKEN, BROKEN + A, "words"])
@pytest.mark.parametrize("key", ["client-ca-file", "requestheader-client-ca-file"])
def test_a_bundle_with_a_block_that_is_not_a_certificate_is_an_error(key, bundle):
    with pytest.raises(ValueError, match=f"{key} holds what is not a certificate"):
        read_trust({**CONFIG, key: bundle})


def test_the_last_good_trust_stays_while_the_newest_cannot_be_used_and_is_told_once(double, caplog):
    double.on("GET", CONFIG_MAP, lambda call: call.json({"data": CONFIG}))
    trust = KubeAuthenticationConfig(double.api(), period_seconds=0.02)
    trust.start()
    assert trust.wait(10)
    first = trust.trust()
    broken = {**CONFIG, "requestheader-client-ca-file": B + BROKEN}
    double.instead("GET", CONFIG_MAP, lambda call: call.json({"data": broken}))
    eventually(lambda: trust.problem != "")
    asked = len(double.requests)
    eventually(lambda: len(double.requests) > asked + 3)
    assert trust.trust() is first
    assert caplog.text.count("requestheader-client-ca-file holds what is not a certificate") == 1
    double.instead("GET", CONFIG_MAP, lambda call: call.json({"data": CONFIG}))
    eventually(lambda: trust.problem == "")
    trust.stop()


def test_the_trust_follows_a_rotation_and_outlives_an_outage(double):
    double.on("GET", CONFIG_MAP, lambda call: call.refuse(500))
    trust = KubeAuthenticationConfig(double.api(), period_seconds=0.02)
    with pytest.raises(ClusterError, match="not read yet"):
        trust.trust()
    trust.start()
    double.instead("GET", CONFIG_MAP, lambda call: call.json({"data": CONFIG}))
    assert trust.wait(10)
    first = trust.trust()
    assert first == TRUST
    double.instead("GET", CONFIG_MAP, lambda call: call.refuse(500))
    asked = len(double.requests)
    eventually(lambda: len(double.requests) > asked + 3)
    assert trust.trust() is first
    double.instead("GET", CONFIG_MAP, lambda call: call.json({"data": {**CONFIG, "client-ca-file": C}}))
    eventually(lambda: trust.trust().client_ca == C)
    trust.stop()


def api_service(name="keda-operator-metrics-apiserver", namespace="keda", **fields):
    service = {"name": name, "namespace": namespace}
    return {"metadata": {"name": NAME, "resourceVersion": "7", **fields}, "spec": {"service": service}}


OWNERS = [
    (api_service(), "KEDA"),
    (api_service("custom-metrics-stackdriver-adapter", "custom-metrics"), "the Stackdriver adapter"),
    (api_service("prometheus-adapter", "monitoring"), "prometheus-adapter"),
    (api_service("x", "y", labels={"app.kubernetes.io/name": "acme-metrics"}), "acme-metrics"),
    (api_service("x", "y"), "another server"),
    ({"metadata": {"name": NAME, "resourceVersion": "7"}, "spec": {}}, "the API server itself"),
]


@pytest.mark.parametrize(("found", "owner"), OWNERS)
def test_the_owner_of_an_api_has_a_name(double, found, owner):
    double.on("GET", f"{COLLECTION}/{NAME}", lambda call: call.json(found))
    assert ApiServices(double.api()).find(NAME).owner == owner


def test_an_api_that_nobody_serves(double):
    assert ApiServices(double.api()).find(NAME) is None


def test_somebody_elses_api_is_never_touched(double):
    double.on("GET", f"{COLLECTION}/{NAME}", lambda call: call.json(api_service()))
    services = ApiServices(double.api())
    with pytest.raises(TargetError, match=r"is served by KEDA \(keda/keda-operator-metrics-apiserver\)"):
        services.trust(services.find(NAME), OURS, "PEM")
    assert double.seen("PATCH") == []


def test_our_own_api_gets_the_authority_once(double):
    mine = api_service(OURS.name, OURS.namespace)
    double.on("GET", f"{COLLECTION}/{NAME}", lambda call: call.json(mine))
    double.on("PATCH", f"{COLLECTION}/{NAME}", lambda call: call.json(mine))
    services = ApiServices(double.api())
    assert services.trust(services.find(NAME), OURS, "PEM")
    (patch,) = double.seen("PATCH")
    assert patch.body["metadata"] == {"resourceVersion": "7"}
    assert base64.b64decode(patch.body["spec"]["caBundle"]) == b"PEM"
    assert patch.body["spec"]["insecureSkipTLSVerify"] is None
    mine["spec"]["caBundle"] = patch.body["spec"]["caBundle"]
    assert not services.trust(services.find(NAME), OURS, "PEM")


def test_what_cert_manager_injects_is_cert_managers(double):
    mine = api_service(OURS.name, OURS.namespace, annotations={"cert-manager.io/inject-ca-from": "a/b"})
    double.on("GET", f"{COLLECTION}/{NAME}", lambda call: call.json(mine))
    services = ApiServices(double.api())
    assert not services.trust(services.find(NAME), OURS, "PEM")


def test_a_secret_is_replaced_as_it_was_read(double):
    path = "/api/v1/namespaces/a/secrets/tls"
    stored = {"metadata": {"name": "tls", "resourceVersion": "3"}, "type": "Opaque", "data": {"x": "eQ=="}}
    double.on("GET", path, lambda call: call.json(stored))
    double.on("PUT", path, lambda call: call.json(call.request.body))
    secret = Secret(double.api(), "a", "tls")
    assert secret.read() == {"x": "y"}
    secret.write({"x": "z"})
    (put,) = double.seen("PUT")
    assert put.body == {**stored, "data": {"x": "eg=="}}


def test_a_secret_that_is_not_there_is_an_error(double):
    with pytest.raises(ClusterError):
        Secret(double.api(), "a", "tls").read()
