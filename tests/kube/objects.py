"""Kubernetes objects for tests, as the API writes them."""

from __future__ import annotations

from typing import Any


def pod(name: str, namespace: str = "chat", **changed: Any) -> dict[str, Any]:
    """A pod that is ready; ``labels``, ``phase``, ``ready``, ``deleting``, ``cost``, ``owners`` change it."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "resourceVersion": "1"}
    metadata["labels"] = changed.get("labels", {"app": "vllm"})
    if changed.get("deleting"):
        metadata["deletionTimestamp"] = "2026-03-01T08:30:00Z"
    if "cost" in changed:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": changed["cost"]}
    if "owners" in changed:
        metadata["ownerReferences"] = list(changed["owners"])
    ready = {"type": "Ready", "status": "True" if changed.get("ready", True) else "False"}
    return {"metadata": metadata, "status": {"phase": changed.get("phase", "Running"), "conditions": [ready]}}


def controller(kind: str, name: str, version: str = "apps/v1", **changed: Any) -> dict[str, Any]:
    """An owner reference to a controller."""
    ref = {"apiVersion": version, "kind": kind, "name": name, "uid": f"uid-of-{name}", "controller": True}
    return {**ref, **changed}


def owned(name: str, *owners: dict[str, Any], namespace: str = "chat", **metadata: Any) -> dict[str, Any]:
    """The metadata of an object with owners, as a ReplicaSet's."""
    meta = {"name": name, "namespace": namespace, "uid": f"uid-of-{name}", "resourceVersion": "1"}
    return {"metadata": {**meta, "ownerReferences": list(owners), **metadata}}


def deployment(name: str = "vllm", replicas: int = 2, version: int = 1, **changed: Any) -> dict[str, Any]:
    """A Deployment; ``gpus`` of its pod, ``selector``, and the ``setters`` of its replicas change it."""
    limits = {"nvidia.com/gpu": str(changed["gpus"])} if "gpus" in changed else {}
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    return {
        "metadata": {
            "name": name,
            "namespace": changed.get("namespace", "chat"),
            "resourceVersion": str(version),
            "managedFields": [
                {"manager": manager, "fieldsV1": fields} for manager in changed.get("setters", ())
            ],
        },
        "spec": {
            "replicas": replicas,
            "selector": changed.get("selector", {"matchLabels": {"app": name}}),
            "template": {"spec": {"containers": [{"name": "vllm", "resources": {"limits": limits}}]}},
        },
        "status": {"replicas": replicas},
    }


def policy(name: str = "chat", namespace: str = "chat", **changed: Any) -> dict[str, Any]:
    """A ScalingPolicy; ``uid``, ``generation``, ``created`` and ``status`` change it, ``spec`` adds to it."""
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
        "maxReplicas": 10,
        "metrics": [{"signal": "running", "target": {"type": "PodsAverage", "averageValue": 32}}],
    }
    found = {
        "apiVersion": "vllm-autoscaler.io/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": changed.get("uid", f"uid-of-{name}"),
            "generation": changed.get("generation", 1),
            "resourceVersion": "1",
            "creationTimestamp": changed.get("created", "2026-03-01T08:30:00Z"),
            "managedFields": [],
        },
        "spec": {**spec, **changed.get("spec", {})},
    }
    return {**found, "status": changed["status"]} if "status" in changed else found


def scaler(own_name: str, own_namespace: str = "chat", **ref: str) -> dict[str, Any]:
    """An HPA or a ScaledObject; ``ref`` is its scaleTargetRef."""
    return {"metadata": {"name": own_name, "namespace": own_namespace}, "spec": {"scaleTargetRef": ref}}
