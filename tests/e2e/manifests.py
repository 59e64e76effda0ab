"""The workloads of the tests: fake vLLM servers that get ready after a while."""

from __future__ import annotations

from tests.e2e.cluster import Cluster
from tests.servers.api import JSON

IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"


def pod_template(ready_after: str = "300ms", app: str = "vllm") -> JSON:
    """``ready_after``: whole seconds or milliseconds, e.g. 2s. In a real cluster a probe waits as long."""
    seconds = int(ready_after.removesuffix("s")) if not ready_after.endswith("ms") else 1
    probe = {"httpGet": {"path": "/", "port": 8080}, "initialDelaySeconds": seconds, "periodSeconds": 1}
    container = {
        "name": "vllm",
        "image": IMAGE,
        "args": ["netexec"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": probe,
    }
    return {
        "metadata": {"labels": {"app": app}, "annotations": {"e2e/ready-after": ready_after}},
        "spec": {"containers": [container]},
    }


def deployment(namespace: str, replicas: int = 1, ready_after: str = "300ms", name: str = "vllm") -> JSON:
    """A Deployment."""
    return _workload("Deployment", namespace, replicas, ready_after, name)


def stateful_set(namespace: str, replicas: int = 1) -> JSON:
    """A StatefulSet named vllm."""
    document = _workload("StatefulSet", namespace, replicas, "300ms")
    document["spec"] |= {"serviceName": "vllm", "podManagementPolicy": "Parallel"}
    return document


def leader_worker_set(namespace: str, replicas: int = 1, size: int = 2) -> JSON:
    """A LeaderWorkerSet named vllm: one replica is a group of ``size`` pods."""
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "vllm", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "leaderWorkerTemplate": {"size": size, "workerTemplate": pod_template()},
        },
    }


def _workload(kind: str, namespace: str, replicas: int, ready_after: str, name: str = "vllm") -> JSON:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": pod_template(ready_after, name),
        },
    }


def pods_of(cluster: Cluster, namespace: str) -> list[JSON]:
    """The pods of a namespace that were not deleted."""
    pods = cluster.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
