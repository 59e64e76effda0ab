"""Every query of the dashboards is understood by a real Prometheus and finds what it asks for there."""

from __future__ import annotations

import sys

import pytest
import requests

from tests.e2e.controller import PATIENCE, policy, status_of
from tests.e2e.manifests import deployment
from tests.servers.eventually import eventually
from tests.servers.process import Server, free_port
from tools.dashboards import rows

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

VARIABLES = {"$ns": ".*", "$policy": ".*", "$window": "30s", "$price": "2.5"}


class Gpu(Server):
    """An emulated vLLM for its GPU's metrics."""

    def __init__(self, namespace, log):
        self.port, self.address = free_port(), f"127.0.0.1:{free_port()}"
        dcgm = self.address.rpartition(":")[2]
        command = [
            sys.executable,
            "-m",
            "autoscaler",
            "emulate",
            "--port",
            str(self.port),
            "--dcgm-port",
            dcgm,
        ]
        super().__init__([*command, "--namespace", namespace], log)

    def ready(self):
        return requests.get(f"http://{self.address}/metrics", timeout=2).ok


def queries():
    for _, panels in rows():
        for panel in panels:
            for legend, expression in panel.queries:
                for ours, value in VARIABLES.items():
                    expression = expression.replace(ours, value)
                yield f"{panel.title}: {legend}", expression


def with_gpus(manifest):
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["resources"] = {"limits": {"nvidia.com/gpu": "2"}}
    return manifest


def test_every_panel_shows_something(cluster, namespace, fleet, endpoints, prometheus, start, tmp_path):
    controller = start()
    with Gpu(namespace, tmp_path / "gpu.log") as gpu:
        cluster.api.apply(with_gpus(deployment(namespace)))
        cluster.api.apply(policy(namespace))
        cluster.api.apply(policy(namespace, name="shadow", mode="DryRun"))
        nowhere = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nowhere"}
        cluster.api.apply(policy(namespace, name="lost", scaleTargetRef=nowhere))
        endpoints.others = [
            {"targets": [f"127.0.0.1:{controller.port}"], "labels": {}},
            {"targets": [gpu.address], "labels": {}},
        ]
        fleet.keep(8)
        eventually(lambda: status_of(cluster, namespace).get("lastDecision"), PATIENCE)
        missing = dict(queries())

        def all_answered():
            for name, expression in list(missing.items()):
                if prometheus.query(expression):
                    del missing[name]
            assert not missing
            return True

        try:
            eventually(all_answered, within=2 * PATIENCE, every=1)
        finally:
            endpoints.others = []
