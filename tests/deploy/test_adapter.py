"""The adapter's components, as they are listed in somebody's kustomization."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from autoscaler.cli.commands.adapter import adapter as adapter_command
from autoscaler.cli.commands.certs import certs as certs_command
from autoscaler.documents.exports import load_exports
from tests.deploy.kustomize import DEPLOY, build, checker, objects
from tests.e2e.adapter import COMPONENTS, GROUPS, HOME, SERVICE, manifests

APIS = {f"{version}.{group}" for group, versions in GROUPS.items() for version in versions}


def named(documents, kind):
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


@pytest.mark.e2e
@pytest.mark.parametrize("more", [(), ("adapter-cert-manager",), ("adapter-managed-prometheus",)])
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


GUIDE = DEPLOY.parent / "docs" / "adapter.md"


def as_in_the_guide(folder, *, gke):
    """The kustomization of step 3, for one of the two kinds of metrics."""
    (text,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", GUIDE.read_text(), re.DOTALL)
    said = yaml.safe_load(re.sub(r"# - (\S+)", r"- \1", text))
    left_out = {"adapter-cert-manager", "dry-run", "network-default-deny"}
    left_out |= set() if gke else {"adapter-managed-prometheus"}
    parts = [part for part in said["components"] if Path(part).name not in left_out]
    overlay = "../gke-managed-prometheus" if gke else said["resources"][0]
    mine = DEPLOY / "overlays" / "mine"
    said["components"] = [os.path.relpath(mine / part, folder) for part in parts]
    said["resources"] = [os.path.relpath(mine / overlay, folder)]
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({**said, "patches": said["patches"][:1] if gke else said["patches"]})
    )
    return objects(folder)


@pytest.mark.parametrize("gke", [False, True])
def test_the_guides_kustomization_reads_your_prometheus(tmp_path, gke):
    documents = as_in_the_guide(tmp_path.resolve(), gke=gke)
    controller, container = (
        named(documents, "Deployment")[name]["spec"]["template"]["spec"]["containers"][0]
        for name in ("vllm-autoscaler", SERVICE)
    )
    images = {
        one["image"]
        for deployment in named(documents, "Deployment").values()
        for one in deployment["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"REGISTRY/vllm-autoscaler:VERSION"}  # the controller's and that of certs as well
    assert set(named(documents, "APIService")) == APIS
    variables = {one["name"]: one.get("value") for one in container["env"]}
    options = [arg.partition("=")[0] for arg in container["args"]]
    if not gke:
        assert variables["PROMETHEUS_URL"] == "http://prometheus-operated.monitoring:9090"
        return
    assert "--prometheus-url" not in options
    assert {"--google-project", "--cluster", "--location"} < set(options)
    assert container["envFrom"] == controller["envFrom"]
    (given,) = container["envFrom"]
    settings = named(documents, "ConfigMap")[given["configMapRef"]["name"]]["data"]
    assert set(settings) == {"GOOGLE_PROJECT", "CLUSTER", "LOCATION"}


@pytest.mark.parametrize("parts", [COMPONENTS, (*COMPONENTS, "adapter-managed-prometheus")])
def test_the_arguments_are_those_of_the_command(tmp_path, parts):
    deployment = named(manifests(tmp_path, *parts), "Deployment")[SERVICE]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    command, *args = container["args"]
    known = {name for option in adapter_command.params for name in option.opts}
    assert command == "adapter"
    assert {arg.partition("=")[0] for arg in args} <= known


def test_certs_is_probed_where_its_command_serves_health(tmp_path):
    deployment = named(manifests(tmp_path, *COMPONENTS), "Deployment")["vllm-autoscaler-certs"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    command, *args = container["args"]
    params = certs_command.make_context(command, args).params
    assert params["every"] > 0
    assert container["ports"] == [{"name": "health", "containerPort": params["health_port"]}]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")}
    assert probes == {
        "liveness": {"path": "/healthz", "port": "health"},
        "readiness": {"path": "/readyz", "port": "health"},
    }


def test_the_shipped_exports_are_valid():
    (loaded,) = load_exports(Path(DEPLOY) / "components" / "adapter" / "exports.yaml")
    names = {name for one in loaded.export.spec.metrics for name in (one.name, *one.aliases)}
    assert "prometheus.googleapis.com|vllm:num_requests_waiting|gauge" in names


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
