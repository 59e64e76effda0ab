"""Paths as Go's clients escape them, and the attributes that Kubernetes authorizes by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.adapter.requests import (
    CustomMetricRequest,
    DiscoveryRequest,
    ExternalMetricRequest,
    OpenApiRequest,
    PlainRequest,
    access,
    parse_target,
)
from autoscaler.ports.identity import Access

V2 = "/apis/custom.metrics.k8s.io/v1beta2"
GKE = "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"

PATHS = [
    ("/apis", DiscoveryRequest()),
    ("/apis/", DiscoveryRequest()),
    ("/apis?timeout=5s", DiscoveryRequest()),
    ("/apis/custom.metrics.k8s.io", DiscoveryRequest("custom.metrics.k8s.io")),
    (V2, DiscoveryRequest("custom.metrics.k8s.io", "v1beta2")),
    ("/apis/external.metrics.k8s.io/v1beta1/", DiscoveryRequest("external.metrics.k8s.io", "v1beta1")),
    (f"{V2}/namespaces/ns/pods/%2A/waiting", CustomMetricRequest("v1beta2", "ns", "pods", "*", "waiting")),
    (f"{V2}/namespaces/ns/pods/*/waiting", CustomMetricRequest("v1beta2", "ns", "pods", "*", "waiting")),
    (f"{V2}/namespaces/ns/pods/p-0/m", CustomMetricRequest("v1beta2", "ns", "pods", "p-0", "m")),
    (
        f"{V2}/namespaces/ns/pods/%2A/prometheus.googleapis.com%7Cvllm:num_requests_waiting%7Cgauge"
        "?labelSelector=app%3Dvllm%2Ctier+in+%28a%2Cb%29&metricLabelSelector=model%3Dllama",
        CustomMetricRequest("v1beta2", "ns", "pods", "*", GKE, "app=vllm,tier in (a,b)", "model=llama"),
    ),
    (
        f"{V2}/namespaces/ns/pods/%2A/running+waiting",
        CustomMetricRequest("v1beta2", "ns", "pods", "*", "running+waiting"),
    ),
    (f"{V2}/namespaces/ns/metrics/m", CustomMetricRequest("v1beta2", "ns", "namespaces", "ns", "m")),
    (
        f"{V2}/namespaces/ns/deployments.apps/vllm/ttft",
        CustomMetricRequest("v1beta2", "ns", "deployments.apps", "vllm", "ttft"),
    ),
    (
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/ttft?labelSelector=policy%3Dchat",
        ExternalMetricRequest("v1beta1", "ns", "ttft", "policy=chat"),
    ),
    ("/openapi/v2", OpenApiRequest("v2")),
    ("/openapi/v3", OpenApiRequest("v3")),
    (
        "/openapi/v3/apis/custom.metrics.k8s.io/v1beta1",
        OpenApiRequest("v3", "custom.metrics.k8s.io", "v1beta1"),
    ),
    ("/healthz", PlainRequest("/healthz")),
    ("/apis/apps/v1", PlainRequest("/apis/apps/v1")),
    ("/apis/external.metrics.k8s.io/v1beta2", PlainRequest("/apis/external.metrics.k8s.io/v1beta2")),
    (f"{V2}/pods/p/m", PlainRequest(f"{V2}/pods/p/m")),
    (f"{V2}/namespaces/ns//p/m", PlainRequest(f"{V2}/namespaces/ns//p/m")),
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
