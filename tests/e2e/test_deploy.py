"""The installation guide, followed on the control plane: an overlay, an example, and it scales.

No image can be built here, so the controller runs as a process of this machine, with the arguments
and as the service account that the overlay gives it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import requests
import yaml
from kubernetes.client import ApiException

from tests.deploy.kustomize import DEPLOY, objects, of_kind
from tests.e2e.cluster import Cluster
from tests.e2e.controller import PATIENCE, condition_of, load, replicas
from tests.e2e.manifests import deployment
from tests.servers.api import JSON, Api
from tests.servers.eventually import eventually
from tests.servers.process import Server, free_port

pytestmark = pytest.mark.e2e

OVERLAY = "overlays/generic-prometheus"
EXAMPLE = "examples/vllm/overlays/gemma-2-9b-h100-gcsfuse"
HOME = "vllm-autoscaler"
FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass", "ServiceAccount")

# Kinds of others, which their owners would have installed.
FOREIGN = {
    "ClusterRules": ("monitoring.googleapis.com", "v1", "clusterrules"),
    "PodMonitoring": ("monitoring.googleapis.com", "v1", "podmonitorings"),
    "PrometheusRule": ("monitoring.coreos.com", "v1", "prometheusrules"),
    "ServiceMonitor": ("monitoring.coreos.com", "v1", "servicemonitors"),
}


def any_fields(kind: str) -> JSON:
    """A definition of a foreign kind that takes whatever it is given."""
    group, version, plural = FOREIGN[kind]
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster" if kind.startswith("Cluster") else "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def apply(cluster: Cluster, folder: str | Path, cache: Path) -> None:
    """``kubectl apply --server-side -k``, or the same objects through the API where there is no kubectl.

    kubectl learns of new kinds from the aggregator, which asks for them once a minute.
    """
    if kubectl := shutil.which("kubectl"):
        where = ["--kubeconfig", str(cluster.kubeconfig), "--cache-dir", str(cache)]
        # Other tests have applied some of these objects, in their own name.
        words = ["apply", "--server-side", "--force-conflicts", "-k", str(DEPLOY / folder)]
        eventually(partial(succeeds, [kubectl, *where, *words]), within=90, every=2)
        return
    for manifest in sorted(objects(folder), key=lambda one: one["kind"] not in FIRST):
        eventually(partial(accepted, cluster.api, manifest), within=20)


def succeeds(command: list[str]) -> bool:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return True


def accepted(api: Api, manifest: JSON) -> bool:
    """Whether the server took it; it does not know a new kind at once."""
    try:
        api.apply(manifest)
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    return True


def with_image(folder: Path, overlay: str) -> Path:
    """A kustomization of one's own over an overlay, which names the image of all Deployments."""
    image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example/mine:1"}
    target = {"kind": "Deployment", "name": "vllm-autoscaler.*"}
    kustomization = {
        "resources": [os.path.relpath(DEPLOY / overlay, folder.resolve())],
        "patches": [{"target": target, "patch": yaml.safe_dump([image])}],
    }
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def in_namespace(folder: Path, name: str, example: str) -> Path:
    """A kustomization of one's own over an example, in another namespace."""
    resource = os.path.relpath(DEPLOY / example, folder.resolve())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": name, "resources": [resource]}))
    return folder


class Shipped(Server):
    """The process that the overlay's Deployment describes."""

    def __init__(self, deployment: JSON, settings: dict[str, str], kubeconfig: Path, log: Path) -> None:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        arguments = [_expanded(argument, settings) for argument in container["args"]]
        self.port = free_port()
        here = ["--kubeconfig", str(kubeconfig), "--metrics-address=127.0.0.1", f"--metrics-port={self.port}"]
        super().__init__([sys.executable, "-m", "autoscaler", *arguments, *here], log, settings)

    def ready(self) -> bool:
        """As the readiness probe asks."""
        return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).ok


def _expanded(argument: str, settings: dict[str, str]) -> str:
    for name, value in settings.items():
        argument = argument.replace(f"$({name})", value)
    return argument


def status(call: Callable[[], JSON]) -> int:
    try:
        call()
    except ApiException as error:
        return int(error.status)
    return 200


@pytest.fixture
def foreign(cluster):
    """The kinds of others are there."""
    for kind in FOREIGN:
        cluster.api.apply(any_fields(kind))


@pytest.mark.usefixtures("foreign")
def test_a_dry_run_may_not_write_a_scale_until_it_goes_live(composed, cluster, namespace, tmp_path):
    cluster.api.apply(deployment(namespace, replicas=1))
    controller = Api(composed.kubeconfig_of_service_account(HOME, "vllm-autoscaler"))
    scale = f"/apis/apps/v1/namespaces/{namespace}/deployments/vllm/scale"

    def answers() -> tuple[int, int]:
        """To reading and to writing the scale."""
        read = status(lambda: controller.get(scale))
        return read, status(lambda: controller.patch(scale, {"spec": {"replicas": 2}}))

    apply(cluster, with_image(tmp_path / "dry-run", "overlays/dry-run"), tmp_path / "kubectl")
    eventually(lambda: answers() == (200, 403))
    live = with_image(tmp_path / "live", "overlays/gke-managed-prometheus")
    apply(cluster, live, tmp_path / "kubectl")
    eventually(lambda: answers() == (200, 200))


@pytest.mark.usefixtures("foreign")
def test_the_guide_as_written(composed, cluster, prometheus, namespace, script, tmp_path):
    api = cluster.api
    cache = tmp_path / "kubectl"
    mine = with_image(tmp_path / "mine", OVERLAY)
    apply(cluster, mine, cache)
    apply(cluster, mine, cache)  # again, and nothing is in its own way

    apply(cluster, in_namespace(tmp_path, namespace, EXAMPLE), cache)
    # A real API server defaults spec.replicas to 1; the composed one has no defaults.
    api.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/vllm/scale", {"spec": {"replicas": 1}})

    (shipped,) = of_kind(OVERLAY, "Deployment")
    settings = {"PROMETHEUS_URL": prometheus.url, "POD_NAME": "vllm-autoscaler-0", "POD_NAMESPACE": HOME}
    kubeconfig = composed.kubeconfig_of_service_account(HOME, "vllm-autoscaler")
    with Shipped(shipped, settings, kubeconfig, tmp_path / "controller.log"):
        eventually(lambda: condition_of(cluster, namespace, "ScalingActive") is not None, PATIENCE)
        script.change(lambda _: load(running=70, waiting=0))
        eventually(lambda: replicas(cluster, namespace) == 3, 2 * PATIENCE)
