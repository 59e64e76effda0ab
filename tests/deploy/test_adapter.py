"""The adapter's components, as they are listed in somebody's kustomization."""

import subprocess
from pathlib import Path

import pytest

from autoscaler.cli.adapter import adapter as adapter_command
from autoscaler.policy.exports import load_exports
from tests.deploy.kustomize import DEPLOY, build, checker
from tests.e2e.adapter import COMPONENTS, GROUPS, HOME, SERVICE, manifests

APIS = {f"{version}.{group}" for group, versions in GROUPS.items() for version in versions}


def named(documents, kind):
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


@pytest.mark.e2e
@pytest.mark.parametrize("more", [(), ("adapter-cert-manager",)])
def test_published_types_and_pod_security(tmp_path, more):
    manifests(tmp_path, *COMPONENTS, *more)
    ended = subprocess.run([checker()], input=build(tmp_path), capture_output=True, text=True, check=False)
    assert ended.stdout == ""


def test_no_api_is_taken_without_being_asked_for(tmp_path):
    assert named(manifests(tmp_path, "adapter"), "APIService") == {}


def test_every_api_trusts_its_service_by_a_certificate_alone(tmp_path):
    services = named(manifests(tmp_path, *COMPONENTS), "APIService")
    assert set(services) == APIS
    for service in services.values():
        assert service["spec"]["service"] == {"name": SERVICE, "namespace": HOME, "port": 443}
        assert "insecureSkipTLSVerify" not in service["spec"]


def test_replicas_see_the_serving_certificate_and_never_the_authoritys_key(tmp_path):
    deployment = named(manifests(tmp_path, *COMPONENTS), "Deployment")[SERVICE]
    volumes = {one["name"]: one for one in deployment["spec"]["template"]["spec"]["volumes"]}
    assert [item["key"] for item in volumes["tls"]["secret"]["items"]] == ["tls.crt", "tls.key"]
    assert deployment["spec"]["replicas"] == 2


def test_with_cert_manager_nobody_of_ours_writes(tmp_path):
    documents = manifests(tmp_path, *COMPONENTS, "adapter-cert-manager")
    assert "vllm-autoscaler-certs" not in {one["metadata"]["name"] for one in documents}
    for service in named(documents, "APIService").values():
        assert service["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == f"{HOME}/{SERVICE}"


def test_the_shipped_exports_are_valid():
    (loaded,) = load_exports(Path(DEPLOY) / "components" / "adapter" / "exports.yaml")
    names = {name for one in loaded.export.spec.metrics for name in (one.name, *one.aliases)}
    assert "prometheus.googleapis.com|vllm:num_requests_waiting|gauge" in names


def test_on_gke_it_reads_managed_prometheus_with_the_overlays_settings(tmp_path):
    documents = manifests(
        tmp_path,
        "adapter",
        "adapter-managed-prometheus",
        "adapter-api-custom",
        below="overlays/gke-managed-prometheus",
    )
    deployments, config = named(documents, "Deployment"), named(documents, "ConfigMap")
    (adapter,) = deployments[SERVICE]["spec"]["template"]["spec"]["containers"]
    (controller,) = deployments["vllm-autoscaler"]["spec"]["template"]["spec"]["containers"]
    (settings,) = (one for name, one in config.items() if name.startswith("vllm-autoscaler-settings-"))
    assert adapter["envFrom"] == controller["envFrom"]
    assert adapter["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    asked = adapter_command.make_context("adapter", adapter["args"][1:], resilient_parsing=True).params
    assert asked["google_project"] == "$(GOOGLE_PROJECT)"
    assert (asked["cluster"], asked["location"]) == ("$(CLUSTER)", "$(LOCATION)")
    assert asked["prometheus_url"] is None
    assert set(settings["data"]) == {"GOOGLE_PROJECT", "CLUSTER", "LOCATION"}


def test_whoever_scrapes_the_controller_scrapes_the_adapter(tmp_path):
    documents = manifests(tmp_path, "adapter", "podmonitoring", "servicemonitor")
    (wanted,) = named(documents, "PodMonitoring")["vllm-autoscaler"]["spec"]["selector"]["matchExpressions"]
    templates = [
        named(documents, "Deployment")[name]["spec"]["template"] for name in ("vllm-autoscaler", SERVICE)
    ]
    assert wanted["values"] == [one["metadata"]["labels"][wanted["key"]] for one in templates]
    monitor = named(documents, "ServiceMonitor")["vllm-autoscaler"]["spec"]
    for name in ("vllm-autoscaler", SERVICE):
        service = named(documents, "Service")[name]
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert "metrics" in {port["name"] for port in service["spec"]["ports"]}
    for template in templates:
        (container,) = template["spec"]["containers"]
        assert {"name": "metrics", "containerPort": 8080} in container["ports"]
