"""An API server of a test behind the aggregation layer, and what an HPA reads from it."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

from tests.servers.api import JSON, Api
from tests.servers.controlplane import binaries


def aggregate(api: Api, group: str, version: str, port: int, trust: Path) -> None:
    """Makes the control plane pass GROUP/VERSION on to ``https://127.0.0.1:port``.

    ``trust``: the PEM of who signed its certificate, which must name ``GROUP.kube-system.svc``.
    """
    name, namespace = group.replace(".", "-"), "kube-system"
    meta = {"name": name, "namespace": namespace}
    service = {"port": 443, "protocol": "TCP", "name": "https"}
    api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [service]}})
    api.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta | {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
            "ports": [service | {"port": port}],
        }
    )
    api.apply(
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group,
                "version": version,
                "service": {"name": name, "namespace": namespace, "port": 443},
                "caBundle": base64.b64encode(trust.read_bytes()).decode(),
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        }
    )


def available(api: Api, group: str, version: str) -> bool:
    """True once the aggregation layer reaches the server behind it."""
    service = api.get(f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{group}")
    conditions = service.get("status", {}).get("conditions", [])
    return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)


class MetricsOfAnHPA:
    """The HPA controller's own clients, as a program: they read, or fail, as they would there.

    Raises:
        RuntimeError: the client reports an error; its text is the message.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._command = [str(binaries() / "hpametrics"), f"--kubeconfig={kubeconfig}"]

    def pods(self, namespace: str, metric: str, labels: str) -> JSON:
        """A Pods metric, of the pods that ``labels`` select: a custom MetricValueList."""
        return self._read(namespace, metric, "", "pods", labels)

    def object(self, namespace: str, metric: str, kind: str, name: str, metric_selector: str = "") -> JSON:
        """An Object metric; ``kind`` with its group: ``Deployment.apps``."""
        return self._read(namespace, metric, metric_selector, "object", kind, name)

    def external(self, namespace: str, metric: str, metric_selector: str = "") -> JSON:
        """An External metric: an ExternalMetricValueList."""
        return self._read(namespace, metric, metric_selector, "external")

    def _read(self, namespace: str, metric: str, metric_selector: str, *source: str) -> JSON:
        asked = [f"--namespace={namespace}", f"--metric={metric}", f"--metric-selector={metric_selector}"]
        read = subprocess.run([*self._command, *asked, *source], capture_output=True, text=True, timeout=60)
        if read.returncode:
            raise RuntimeError(read.stderr.strip())
        return json.loads(read.stdout)
