"""Objects of a test in a real API server, and the live side's view of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes.client import ApiException

from autoscaler.api.crd import custom_resource_definition
from autoscaler.kube.client.api import connect
from autoscaler.kube.controller_ports import ControllerPorts
from tests.servers.api import Api
from tests.servers.eventually import eventually

POLICIES = "/apis/vllm-autoscaler.io/v1alpha1/namespaces/{}/scalingpolicies"


@contextmanager
def watching(kubeconfig: Path, *namespaces: str, **options: Any) -> Iterator[ControllerPorts]:
    """A cluster as the controller sees it, its lists complete; ``namespaces``: none for all."""
    cluster = ControllerPorts(connect(str(kubeconfig)), "autoscaler-0", namespaces, **options)
    cluster.start()
    try:
        assert cluster.wait(20)
        yield cluster
    finally:
        cluster.stop()


def install_definition(api: Api, definition: dict[str, Any]) -> None:
    """Applies a CustomResourceDefinition and waits until its objects can be listed."""
    api.apply(definition)
    spec = definition["spec"]
    path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    eventually(lambda: is_there(api, path), within=20)


def is_there(api: Api, path: str) -> bool:
    """Whether something can be read at a path."""
    try:
        api.get(path)
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    return True


def install_policies(api: Api) -> None:
    """Makes ScalingPolicies known."""
    install_definition(api, custom_resource_definition())


def scalable(
    group: str, kind: str, selector_path: str = ".status.selector", version: str = "v1"
) -> dict[str, Any]:
    """A definition of a kind with a scale subresource, as an operator for vLLM may bring one."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": selector_path,
                        },
                    },
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
            ],
        },
    }


KEDA = scalable("keda.sh", "ScaledObject", version="v1alpha1")
"""KEDA's kind, as far as anybody here looks at it."""


def workload(kind: str = "Deployment", name: str = "vllm", replicas: int = 2) -> dict[str, Any]:
    """A Deployment or StatefulSet of vLLM pods with two GPUs each."""
    limits = {"limits": {"nvidia.com/gpu": "2"}}
    container = {"name": "vllm", "image": "vllm", "resources": limits}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def pod(name: str, app: str = "vllm", ready_after: str = "1ms") -> dict[str, Any]:
    """A pod that kwok gets ready after a while."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}, "annotations": {"e2e/ready-after": ready_after}},
        "spec": {"nodeName": "gpu-node", "containers": [{"name": "vllm", "image": "vllm"}]},
    }


def policy(name: str = "chat", target: str = "vllm", **spec: Any) -> dict[str, Any]:
    """A ScalingPolicy for a Deployment."""
    return {
        "apiVersion": "vllm-autoscaler.io/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": target},
            "maxReplicas": 10,
            "metrics": [{"signal": "running", "target": {"type": "PodsAverage", "averageValue": 32}}],
            **spec,
        },
    }
