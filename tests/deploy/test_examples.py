"""The serving examples: what they promise to somebody who autoscales them."""

import pytest
import yaml

from autoscaler.documents.manifests import Manifest
from autoscaler.documents.policies import load_policy_text
from autoscaler.lint.workload_rules import fit
from tests.deploy.kustomize import DEPLOY, kustomizations, objects, of_kind, pod_templates

pytestmark = pytest.mark.e2e

SERVING = [name for name in kustomizations() if "/vllm/overlays/" in name or name.endswith("multi-node")]
WORKLOADS = ("Deployment", "StatefulSet", "LeaderWorkerSet")


def servers(folder):
    """The containers that answer requests, each with its pod's spec."""
    for item in of_kind(folder, *WORKLOADS):
        for template in pod_templates(item):
            for container in template["spec"]["containers"]:
                if container.get("ports"):
                    yield template["spec"], container


def test_there_are_serving_examples():
    assert len(SERVING) >= 7


@pytest.mark.parametrize("folder", SERVING)
def test_no_replicas_that_each_apply_would_set_back(folder):
    assert all("replicas" not in item["spec"] for item in of_kind(folder, *WORKLOADS))


@pytest.mark.parametrize("folder", SERVING)
def test_running_requests_are_finished_before_the_pod_goes(folder):
    (settings,) = of_kind(folder, "ConfigMap")
    drain = int(settings["data"]["SHUTDOWN_TIMEOUT_SECONDS"])
    found = list(servers(folder))
    assert found
    for spec, container in found:
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > pause + drain
        assert any("--shutdown-timeout" in argument for argument in container["args"])


@pytest.mark.parametrize("folder", SERVING)
def test_patience_belongs_to_the_start_alone(folder):
    for _, container in servers(folder):
        startup, readiness, liveness = (
            container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")
        )
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 900
        assert "initialDelaySeconds" not in readiness
        assert readiness["periodSeconds"] * readiness["failureThreshold"] <= 15
        assert liveness["periodSeconds"] * liveness["failureThreshold"] <= 120


@pytest.mark.parametrize("folder", SERVING)
def test_a_second_replica_can_mount_the_weights(folder):
    for volume in of_kind(folder, "PersistentVolume", "PersistentVolumeClaim"):
        assert volume["spec"]["accessModes"] == ["ReadOnlyMany"]


@pytest.mark.parametrize("folder", SERVING)
def test_gpus_are_those_of_the_parallelism(folder):
    for item in of_kind(folder, "Deployment"):
        (settings,) = of_kind(folder, "ConfigMap")
        (template,) = pod_templates(item)
        limits = template["spec"]["containers"][0]["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == settings["data"]["TENSOR_PARALLEL_SIZE"]


@pytest.mark.parametrize("folder", SERVING)
def test_services_and_scrapes_find_the_servers(folder):
    labels = [
        template["metadata"]["labels"]
        for item in of_kind(folder, "Deployment")
        for template in pod_templates(item)
    ]
    for item in objects(folder):
        spec = item.get("spec", {})
        selector = spec.get("selector", {})
        wanted = selector if item["kind"] == "Service" else selector.get("matchLabels", {})
        if item["kind"] in ("Service", "PodMonitoring", "PodMonitor") and labels:
            assert any(wanted.items() <= found.items() for found in labels), item["kind"]


@pytest.mark.parametrize("folder", SERVING)
def test_exactly_one_autoscaler_owns_the_server(folder):
    owners = of_kind(folder, "ScalingPolicy", "HorizontalPodAutoscaler")
    (workload,) = of_kind(folder, *WORKLOADS)
    (owner,) = owners
    target = owner["spec"]["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"], target["name"]) == (
        workload["apiVersion"],
        workload["kind"],
        workload["metadata"]["name"],
    )
    if owner["kind"] == "ScalingPolicy":
        (loaded,) = load_policy_text(yaml.safe_dump(owner), folder)
        manifests = [Manifest(f"{item['kind']} {item['metadata']['name']}", item) for item in objects(folder)]
        assert fit(loaded, manifests) == ()
    else:
        assert {"scaleUp", "scaleDown"} <= owner["spec"]["behavior"].keys()


@pytest.mark.parametrize("folder", SERVING)
def test_settings_left_no_placeholder(folder):
    assert "set-by-" not in yaml.safe_dump_all(objects(folder))


def test_streams_behind_the_gateway_last_as_long_as_a_replica_drains():
    """GKE refuses routes with timeouts: its own policy has them."""
    gateway = "examples/gateway"
    (policy,) = of_kind(gateway, "GCPBackendPolicy")
    (settings,) = of_kind("examples/vllm/overlays/gemma-2-9b-h100-gcsfuse", "ConfigMap")
    drain = int(settings["data"]["SHUTDOWN_TIMEOUT_SECONDS"])
    assert policy["spec"]["default"]["timeoutSec"] == drain
    assert policy["spec"]["default"]["connectionDraining"]["drainingTimeoutSec"] == drain
    (route,) = of_kind(gateway, "HTTPRoute")
    assert all("timeouts" not in rule for rule in route["spec"]["rules"])
    (service,) = of_kind("examples/vllm/overlays/gemma-2-9b-h100-gcsfuse", "Service")
    (backend,) = route["spec"]["rules"][0]["backendRefs"]
    assert backend == {"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}


@pytest.mark.parametrize("name", ["hpa-queue-size", "hpa-batch-size", "hpa-gpu"])
def test_the_adapter_serves_what_the_hpas_ask_for(name):
    exported = yaml.safe_load((DEPLOY / "components/adapter/exports.yaml").read_text())["spec"]["metrics"]
    served = {alias for metric in exported for alias in (metric["name"], *metric.get("aliases", ()))}
    hpa = yaml.safe_load((DEPLOY / f"examples/vllm/components/scaling/{name}/hpa.yaml").read_text())
    assert {metric["pods"]["metric"]["name"] for metric in hpa["spec"]["metrics"]} <= served
