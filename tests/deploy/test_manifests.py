"""Every manifest is what its owner's types say, and no pod asks for more than `restricted` allows."""

import re
import subprocess

import pytest

from tests.deploy.kustomize import build, checker, kustomizations, objects, pod_templates

pytestmark = pytest.mark.e2e

# NFS is tuned by a privileged init container, and a new share is root's; both kustomizations say so.
EXCEPTIONS = {
    "examples/vllm/overlays/gemma-2-9b-2xl4-filestore": 'container "tune-nfs"',
    "examples/volumes/filestore": 'container "make-folder"',
}

# Kinds whose Go types the module proxy did not have, checked against their documented fields below.
UNPUBLISHED = {
    "PodMonitoring", "ClusterPodMonitoring", "ClusterRules", "LeaderWorkerSet", "GCPBackendPolicy",
    "HealthCheckPolicy", "ScalingPolicy", "MetricExport",
}  # fmt: skip

# Their image is ours, and none is published: it is empty until it is named, and refused until then.
OURS = {
    "base", "overlays/dry-run", "overlays/generic-prometheus", "overlays/gke-managed-prometheus",
    "examples/batch",
}  # fmt: skip

ENDPOINT = {"port", "scheme", "path", "params", "interval", "timeout", "metricRelabeling"}
DOCUMENTED = {
    "PodMonitoring": {"selector", "endpoints", "targetLabels", "limits", "filterRunning"},
    "ClusterPodMonitoring": {"selector", "endpoints", "targetLabels", "limits", "filterRunning"},
    "LeaderWorkerSet": {
        "replicas",
        "leaderWorkerTemplate",
        "rolloutStrategy",
        "startupPolicy",
        "networkConfig",
    },
    "GCPBackendPolicy": {"default", "targetRef"},
    "HealthCheckPolicy": {"default", "targetRef"},
    "ClusterRules": {"groups"},
}


@pytest.mark.parametrize("folder", kustomizations())
def test_published_types_and_pod_security(folder):
    ended = subprocess.run([checker()], input=build(folder), capture_output=True, text=True, check=False)
    excepted = EXCEPTIONS.get(folder)
    problems = [line for line in ended.stdout.splitlines() if not (excepted and excepted in line)]
    assert problems == []
    assert set(re.findall(r"Kind=(\w+)", ended.stderr)) <= UNPUBLISHED


def test_the_checker_finds_what_is_wrong():
    broken = "\n---\n".join(
        [
            "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {prots: []}}",
            "{apiVersion: v1, kind: Service, metadata: {name: b}, metadata: {name: c}}",
            "{apiVersion: batch/v1, kind: Job, metadata: {name: d}, "
            "spec: {template: {spec: {containers: [{name: c}]}}}}",
        ]
    )
    ended = subprocess.run([checker()], input=broken, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert 'unknown field "spec.prots"' in ended.stdout
    assert 'key "metadata" already set' in ended.stdout
    assert "runAsNonRoot != true" in ended.stdout


@pytest.mark.parametrize("folder", kustomizations())
def test_every_image_has_a_version(folder):
    for item in objects(folder):
        for template in pod_templates(item):
            spec = template["spec"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                if folder in OURS and container["image"] == "":
                    continue
                _, _, tag = container["image"].rpartition("/")[2].partition(":")
                assert tag not in ("", "latest"), container["image"]


@pytest.mark.parametrize("folder", kustomizations())
def test_documented_fields_of_the_others(folder):
    for item in objects(folder):
        if documented := DOCUMENTED.get(item["kind"]):
            assert set(item["spec"]) <= documented, item["metadata"]["name"]
        if item["kind"].endswith("PodMonitoring"):
            for endpoint in item["spec"]["endpoints"]:
                assert set(endpoint) <= ENDPOINT
                assert {"port", "interval"} <= set(endpoint)
