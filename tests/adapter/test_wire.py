"""The bodies, byte for byte as Kubernetes' own adapters write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.adapter.wire import (
    CUSTOM,
    EXTERNAL,
    NAMESPACES,
    PODS,
    GroupResource,
    custom_item,
    external_item,
    quantity,
    status,
    value_list,
)
from autoscaler.api.quantity import parse_quantity

NEW_YEAR = 1767225600.0  # 2026-01-01T00:00:00Z


def test_a_list_of_pods_in_v1beta2():
    item = custom_item("v1beta2", PODS, "ns", "m", 60)
    assert value_list(CUSTOM, "v1beta2", [item("p", 1.5, NEW_YEAR)]) == (
        b'{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":['
        b'{"describedObject":{"kind":"Pod","namespace":"ns","name":"p","apiVersion":"/v1"},'
        b'"metric":{"name":"m","selector":null},"timestamp":"2026-01-01T00:00:00Z","value":"1500m",'
        b'"windowSeconds":60}]}'
    )


def test_a_list_of_pods_in_v1beta1_names_metric_and_window_differently():
    item = custom_item("v1beta1", PODS, "ns", "m", 60)
    assert value_list(CUSTOM, "v1beta1", [item("p", 4, NEW_YEAR), item("q", 0.85, NEW_YEAR)]) == (
        b'{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":['
        b'{"describedObject":{"kind":"Pod","namespace":"ns","name":"p","apiVersion":"/v1"},'
        b'"metricName":"m","timestamp":"2026-01-01T00:00:00Z","value":"4","window":60,"selector":null},'
        b'{"describedObject":{"kind":"Pod","namespace":"ns","name":"q","apiVersion":"/v1"},'
        b'"metricName":"m","timestamp":"2026-01-01T00:00:00Z","value":"850m","window":60,"selector":null}]}'
    )


def test_an_external_list():
    item = external_item("ttft", {"policy": "chat", "a": "b"}, 60)
    assert value_list(EXTERNAL, "v1beta1", [item("", 0.25, NEW_YEAR)]) == (
        b'{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},'
        b'"items":[{"metricName":"ttft","metricLabels":{"a":"b","policy":"chat"},'
        b'"timestamp":"2026-01-01T00:00:00Z","value":"250m","window":60}]}'
    )


def test_an_object_is_described_by_its_own_kind_and_a_namespace_is_in_none():
    deployment = GroupResource("deployments.apps", "Deployment", "apps/v1")
    shown = json.loads(custom_item("v1beta2", deployment, "ns", "m", 0)("vllm", 1, NEW_YEAR))
    assert shown["describedObject"] == {
        "kind": "Deployment",
        "namespace": "ns",
        "name": "vllm",
        "apiVersion": "apps/v1",
    }
    shown = json.loads(custom_item("v1beta2", NAMESPACES, "ns", "m", 0)("ns", 1, NEW_YEAR))
    assert shown["describedObject"] == {"kind": "Namespace", "name": "ns", "apiVersion": "/v1"}


def test_the_selector_of_a_request_comes_back():
    selector = {"matchLabels": {"model": "llama"}}
    for version, place in (("v1beta1", ["selector"]), ("v1beta2", ["metric", "selector"])):
        shown = json.loads(custom_item(version, PODS, "ns", "m", 0, selector)("p", 1, NEW_YEAR))
        for key in place:
            shown = shown[key]
        assert shown == selector


def test_a_sample_is_never_made_younger():
    shown = json.loads(external_item("m", {}, 0)("", 1, NEW_YEAR + 0.999))
    assert shown["timestamp"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (4, "4"), (1.5, "1500m"), (0.85, "850m"), (0.0001, "1m"), (2.867, "2867m"), (-0.5, "-500m")],
)
def test_values_are_quantities_in_milli_rounded_up(value, text):
    assert quantity(value) == text


@given(st.floats(-1e12, 1e12))
def test_a_quantity_is_the_value_within_a_milli(value):
    read = float(parse_quantity(quantity(value)))
    assert -1e-12 * abs(value) <= read - value <= 0.001 + 1e-9 * abs(value)


def test_an_error_is_a_status():
    assert status(404, "NotFound", "the server could not find the metric m for pods") == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"the server could not find the metric m for pods","reason":"NotFound","code":404}'
    )


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_whatever_the_names_are_the_body_is_json(namespace, metric, pod):
    for version in ("v1beta1", "v1beta2"):
        body = value_list(CUSTOM, version, [custom_item(version, PODS, namespace, metric, 0)(pod, 1, 0)])
        assert json.loads(body)["items"][0]["describedObject"]["name"] == pod
