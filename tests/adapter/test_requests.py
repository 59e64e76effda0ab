"""Paths as Go's clients escape them, and the attributes that Kubernetes authorizes by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.adapter.requests import Custom, Discovery, External, OpenApi, Plain, access, parse_target
from autoscaler.ports import Access

V2 = "/apis/custom.metrics.k8s.io/v1beta2"
GKE = "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"

PATHS = [
    ("/apis", Discovery()),
    ("/apis/", Discovery()),
    ("/apis?timeout=5s", Discovery()),
    ("/apis/custom.metrics.k8s.io", Discovery("custom.metrics.k8s.io")),
    (V2, Discovery("custom.metrics.k8s.io", "v1beta2")),
    ("/apis/external.metrics.k8s.io/v1beta1/", Discovery("external.metrics.k8s.io", "v1beta1")),
    (f"{V2}/namespaces/ns/pods/%2A/waiting", Custom("v1beta2", "ns", "pods", "*", "waiting")),
    (f"{V2}/namespaces/ns/pods/*/waiting", Custom("v1beta2", "ns", "pods", "*", "waiting")),
    (f"{V2}/namespaces/ns/pods/p-0/m", Custom("v1beta2", "ns", "pods", "p-0", "m")),
    (
        f"{V2}/namespaces/ns/pods/%2A/prometheus.googleapis.com%7Cvllm:num_requests_waiting%7Cgauge"
        "?labelSelector=app%3Dvllm%2Ctier+in+%28a%2Cb%29&metricLabelSelector=model%3Dllama",
        Custom("v1beta2", "ns", "pods", "*", GKE, "app=vllm,tier in (a,b)", "model=llama"),
    ),
    (f"{V2}/namespaces/ns/pods/%2A/running+waiting", Custom("v1beta2", "ns", "pods", "*", "running+waiting")),
    (f"{V2}/namespaces/ns/metrics/m", Custom("v1beta2", "ns", "namespaces", "ns", "m")),
    (
        f"{V2}/namespaces/ns/deployments.apps/vllm/ttft",
        Custom("v1beta2", "ns", "deployments.apps", "vllm", "ttft"),
    ),
    (
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/ttft?labelSelector=policy%3Dchat",
        External("v1beta1", "ns", "ttft", "policy=chat"),
    ),
    ("/openapi/v2", OpenApi("v2")),
    ("/openapi/v3", OpenApi("v3")),
    ("/openapi/v3/apis/custom.metrics.k8s.io/v1beta1", OpenApi("v3", "custom.metrics.k8s.io", "v1beta1")),
    ("/healthz", Plain("/healthz")),
    ("/apis/apps/v1", Plain("/apis/apps/v1")),
    ("/apis/external.metrics.k8s.io/v1beta2", Plain("/apis/external.metrics.k8s.io/v1beta2")),
    (f"{V2}/pods/p/m", Plain(f"{V2}/pods/p/m")),
    (f"{V2}/namespaces/ns//p/m", Plain(f"{V2}/namespaces/ns//p/m")),
]


@pytest.mark.parametrize(("target", "asked"), PATHS)
def test_a_path_asks_for(target, asked):
    assert parse_target(target) == asked


@pytest.mark.parametrize(
    "target",
    [
        f"{V2}/namespaces/ns/pods/a%2Fb/m",
        f"{V2}/namespaces/ns/pods/a%00b/m",
        f"{V2}/namespaces/ns/pods/%FF/m",
        f"{V2}/namespaces/ns/pods/p/m?" + "&".join(f"a{i}=1" for i in range(40)),
        "/" + "a" * 20_000,
    ],
)
def test_a_path_that_nobody_could_mean_is_refused(target):
    with pytest.raises(ValueError, match=r"."):
        parse_target(target)


ATTRIBUTES = [
    (
        "GET",
        f"{V2}/namespaces/ns/pods/%2A/m",
        Access("get", "custom.metrics.k8s.io", "v1beta2", "ns", "pods", "m", "*"),
    ),
    (
        "GET",
        f"{V2}/namespaces/ns/metrics/m",
        Access("get", "custom.metrics.k8s.io", "v1beta2", "ns", "metrics", name="m"),
    ),
    (
        "GET",
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/m",
        Access("list", "external.metrics.k8s.io", "v1beta1", "ns", "m"),
    ),
    (
        "DELETE",
        f"{V2}/namespaces/ns/pods/p/m",
        Access("delete", "custom.metrics.k8s.io", "v1beta2", "ns", "pods", "m", "p"),
    ),
    ("GET", "/apis/custom.metrics.k8s.io?x=1", Access("get", path="/apis/custom.metrics.k8s.io")),
    ("GET", "/openapi/v2", Access("get", path="/openapi/v2")),
    ("GET", "/%68ealthz", Access("get", path="/healthz")),
]


@pytest.mark.parametrize(("method", "target", "expected"), ATTRIBUTES)
def test_the_authorizer_is_asked(method, target, expected):
    assert access(parse_target(target), method, target) == expected


@given(st.text("/apis.%*|=&?+~customexternal2Fé\0", max_size=60))
def test_any_text_is_a_question_or_an_error(text):
    try:
        asked = parse_target("/" + text)
    except ValueError:
        return
    assert access(asked, "GET", "/" + text).verb in ("get", "list")
