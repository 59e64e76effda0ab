"""Discovery and OpenAPI in the shapes that Kubernetes' clients read."""

import json

import pytest

from autoscaler.adapter import api_resources as discovery
from autoscaler.adapter import openapi
from autoscaler.adapter.wire import CUSTOM, EXTERNAL, PODS, VERSIONS, GroupResource

DEPLOYMENTS = GroupResource("deployments.apps", "Deployment", "apps/v1")
METRICS = {
    CUSTOM: [(PODS, "waiting"), (DEPLOYMENTS, "ttft"), (PODS, "a|b"), (PODS, "waiting")],
    EXTERNAL: [(None, "ttft")],
}


def body(document):
    return json.loads(document.body)


def test_the_groups_and_their_preferred_versions():
    groups = body(discovery.group_list([CUSTOM, EXTERNAL]))["groups"]
    assert [group["name"] for group in groups] == [CUSTOM, EXTERNAL]
    assert groups[0]["versions"] == [
        {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"},
        {"groupVersion": "custom.metrics.k8s.io/v1beta1", "version": "v1beta1"},
    ]
    assert groups[0]["preferredVersion"]["version"] == "v1beta2"
    assert body(discovery.group(EXTERNAL))["kind"] == "APIGroup"


def test_resources_are_listed_once_each_and_always_in_the_same_order():
    shown = body(discovery.resource_list(CUSTOM, "v1beta1", METRICS))
    assert shown["groupVersion"] == "custom.metrics.k8s.io/v1beta1"
    assert [entry["name"] for entry in shown["resources"]] == [
        "deployments.apps/ttft",
        "pods/a|b",
        "pods/waiting",
    ]
    assert shown["resources"][0] == {
        "name": "deployments.apps/ttft",
        "singularName": "",
        "namespaced": True,
        "kind": "MetricValueList",
        "verbs": ["get"],
    }
    turned = {CUSTOM: METRICS[CUSTOM][::-1]}
    etags = {discovery.resource_list(CUSTOM, "v1beta1", found).etag for found in (METRICS, turned)}
    assert len(etags) == 1


def test_external_metrics_are_resources_themselves():
    shown = body(discovery.resource_list(EXTERNAL, "v1beta1", METRICS))["resources"]
    assert [(entry["name"], entry["kind"]) for entry in shown] == [("ttft", "ExternalMetricValueList")]


@pytest.mark.parametrize("group", VERSIONS)
def test_a_list_without_metrics_is_not_empty_and_promises_nothing(group):
    (entry,) = body(discovery.resource_list(group, "v1beta1", {}))["resources"]
    assert entry["verbs"] == []
    shown = body(discovery.aggregated([group], {}, "v2"))["items"][0]["versions"][0]["resources"]
    assert [found["verbs"] for found in shown] == [[]]


def test_the_aggregated_document_holds_both_groups():
    document = discovery.aggregated([CUSTOM, EXTERNAL], METRICS, "v2")
    assert document.media_type == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    shown = body(document)
    assert shown["apiVersion"] == "apidiscovery.k8s.io/v2"
    custom, external = shown["items"]
    assert [version["version"] for version in custom["versions"]] == ["v1beta2", "v1beta1"]
    parents = {found["resource"]: found for found in custom["versions"][0]["resources"]}
    assert [sub["subresource"] for sub in parents["pods"]["subresources"]] == ["a|b", "waiting"]
    assert parents["pods"]["scope"] == "Namespaced"
    assert [found["resource"] for found in external["versions"][0]["resources"]] == ["ttft"]


AGGREGATOR = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (AGGREGATOR, "v2"),
        (AGGREGATOR.partition(",")[2], "v2beta1"),
        ("application/vnd.kubernetes.protobuf;as=APIGroupDiscoveryList," + AGGREGATOR, "v2"),
        ("application/json", None),
        ("application/json," + AGGREGATOR, None),
        ("application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList", None),
        ("*/*", None),
        ("", None),
        (";;;=,", None),
    ],
)
def test_the_accept_header_chooses_the_form(accept, version):
    assert discovery.wants_aggregated(accept) == version


def references(part):
    if isinstance(part, dict):
        found = [part["$ref"]] if "$ref" in part else []
        return found + [ref for value in part.values() for ref in references(value)]
    return [ref for item in part for ref in references(item)] if isinstance(part, list) else []


def test_openapi_v2_refers_to_what_it_defines():
    document = json.loads(openapi.v2())
    assert document["swagger"] == "2.0"
    for reference in references(document):
        assert reference.removeprefix("#/definitions/") in document["definitions"]
    for path, operations in document["paths"].items():
        parameters = operations["get"]["parameters"]
        names = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert names == {word[1:-1] for word in path.split("/") if word.startswith("{")}


def test_openapi_v3_lists_every_version_and_each_refers_to_what_it_defines():
    paths = json.loads(openapi.v3())["paths"]
    assert len(paths) == 3
    for place, entry in paths.items():
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{place}?hash=")
        document = json.loads(openapi.v3_of(*place.split("/")[1:]))
        assert document["openapi"] == "3.0.0"
        (schema,) = document["components"]["schemas"].values()
        kind = schema["x-kubernetes-group-version-kind"][0]
        assert place == f"apis/{kind['group']}/{kind['version']}"
        referred = [ref.rpartition("/")[2] for ref in references(document)]
        assert referred == [*document["components"]["schemas"]]
