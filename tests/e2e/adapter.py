"""The adapter as it is deployed: its manifests, its identities, and the program behind its Service."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.deploy.kustomize import DEPLOY, objects
from tests.e2e.cluster import Cluster
from tests.servers.api import JSON, Api
from tests.servers.process import Server, free_port

HOME = "vllm-autoscaler"
SERVICE = "vllm-autoscaler-adapter"
HOST = f"{SERVICE}.{HOME}.svc"
GROUPS = {"custom.metrics.k8s.io": ("v1beta1", "v1beta2"), "external.metrics.k8s.io": ("v1beta1",)}
COMPONENTS = ("adapter", "adapter-api-custom", "adapter-api-external")

HOST_VARIABLE = "E2E_HOST"
"""Where a real cluster's control plane reaches this machine; for kind, the gateway of its network."""

# What only controllers would act on, and the composed control plane has none of.
INERT = {"Deployment", "PodDisruptionBudget", "NetworkPolicy"}


def manifests(folder: Path, *components: str, below: str | None = "base") -> list[JSON]:
    """The base, an overlay or nothing with components on top, as ``kubectl apply -k`` would send them."""
    kustomization: dict[str, Any] = {
        "namespace": HOME,
        "resources": [os.path.relpath(DEPLOY / below, folder)] if below else [],
        "components": [os.path.relpath(DEPLOY / "components" / one, folder) for one in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return objects(folder)


def install(api: Api, documents: list[JSON]) -> None:
    """Applies them, what others need first."""
    first = ("Namespace", "CustomResourceDefinition")
    for document in sorted(documents, key=lambda one: one["kind"] not in first):
        if document["kind"] not in INERT:
            api.apply(document)


def certs(kubeconfig: Path, *options: str) -> str:
    """What ``autoscale certs`` prints."""
    command = [sys.executable, "-m", "autoscaler", "certs", "--kubeconfig", kubeconfig]
    asked = [*map(str, command), "--service", f"{HOME}/{SERVICE}", *options]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mount(api: Api, folder: Path) -> None:
    """The Secret as files, as the Deployment mounts it."""
    data = api.get(f"/api/v1/namespaces/{HOME}/secrets/{SERVICE}-tls")["data"]
    folder.mkdir(exist_ok=True)
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (folder / name).write_bytes(base64.b64decode(data[name]))


def export(namespace: str, *metrics: JSON) -> JSON:
    """A MetricExport for the pods of the tests' workloads."""
    return {
        "apiVersion": "vllm-autoscaler.io/v1alpha1",
        "kind": "MetricExport",
        "metadata": {"name": "names", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "vllm"}}, "metrics": list(metrics)},
    }


class RunningAdapter(Server):
    """``autoscale adapter`` with its service account's rights; ``folder`` has ``tls`` and ``exports``."""

    def __init__(self, folder: Path, cluster: Cluster, prometheus_url: str, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.host = os.environ.get(HOST_VARIABLE, "127.0.0.1")
        self.url = f"https://{self.host}:{self.port}"
        (folder / "exports").mkdir(exist_ok=True)
        command: list[str | Path] = [
            *(sys.executable, "-m", "autoscaler", "adapter"),
            *("--kubeconfig", cluster.account(HOME, SERVICE), "--service", f"{HOME}/{SERVICE}"),
            *("--prometheus-url", prometheus_url, "--exports", folder / "exports"),
            *("--tls-cert-file", folder / "tls" / "tls.crt", "--tls-key-file", folder / "tls" / "tls.key"),
            *("--address", self.host, "--port", str(self.port), "--scrape-interval", "6"),
            *("--metrics-address", "127.0.0.1", "--metrics-port", "0", "--log-format", "text"),
            *options,
        ]
        super().__init__(command, folder / "adapter.log")

    def serve(self, *exports: JSON) -> None:
        """From now on these exports."""
        path = self.folder / "exports" / "exports.yaml"
        path.write_text("---\n".join(yaml.safe_dump(one) for one in exports))

    def ready(self) -> bool:
        """Whether it can answer well."""
        return requests.get(f"{self.url}/readyz", verify=False, timeout=10).ok

    def connect(self, api: Api) -> None:
        """Makes it the endpoint of its Service, as Kubernetes would with its pod."""
        api.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": SERVICE,
                    "namespace": HOME,
                    "labels": {"kubernetes.io/service-name": SERVICE},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [self.host], "conditions": {"ready": True}}],
                "ports": [{"name": "https", "protocol": "TCP", "port": self.port}],
            }
        )
