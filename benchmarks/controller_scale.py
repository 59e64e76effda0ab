"""A thousand policies on a real API server and a real Prometheus: CPU, memory, queries, reaction time.

::

    python -m benchmarks.controller_scale [--policies 1000] [--seconds 180] [--interval 15]

Every policy has a Deployment of its own with two ready pods. One exporter says what all pods say.
While the controller runs, every policy's load rises once, at some moment; how long it takes until
the Deployment's replicas are patched is measured at the API server, from the moment on which the
exporter has the new value. Needs `make controlplane`; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from autoscaler.api.crd import GROUP, VERSION, custom_resource_definition
from tests.servers.api import Api
from tests.servers.controlplane import ControlPlane
from tests.servers.eventually import eventually
from tests.servers.exporter import Exporter
from tests.servers.process import Server, free_port
from tests.servers.prometheus import Prometheus

NAMESPACES = 20
PODS = 2
CALM, BUSY = 1, 12
TARGET = 5
STATUS = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
_TICKS = os.sysconf("SC_CLK_TCK")


class Controller(Server):
    """`autoscale run`, measured from outside."""

    def __init__(self, folder: Path, kubeconfig: Path, prometheus: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        port = self.url.rpartition(":")[2]
        command: list[str | Path] = [
            *(sys.executable, "-m", "autoscaler", "run", "--kubeconfig", kubeconfig),
            *("--prometheus-url", prometheus, "--metrics-address", "127.0.0.1", "--metrics-port", port),
            *("--decision-log", folder / "decisions.jsonl", "--lease-namespace", "default"),
        ]
        super().__init__(command, folder / "controller.log")

    def ready(self) -> bool:
        """True once it has read the cluster."""
        return requests.get(f"{self.url}/readyz", timeout=2).ok

    def total(self, name: str) -> float:
        """A metric, added up over its labels."""
        page = requests.get(f"{self.url}/metrics", timeout=10).text
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if _is(line, name))

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return cpu_seconds(self)

    @property
    def peak_mib(self) -> float:
        """The most memory that was resident at a time."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def _is(line: str, name: str) -> bool:
    return line.startswith((f"{name} ", f"{name}{{"))


def cpu_seconds(server: Server) -> float:
    """User and system time of a server's process."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Load:
    """The metrics of each workload's pods, and the time of their last change."""

    def __init__(self, names: Sequence[tuple[str, str]]) -> None:
        self.waiting = dict.fromkeys(names, CALM)
        self.changed: dict[tuple[str, str], float] = {}

    def text(self) -> str:
        """The exporter's page."""
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        metrics = (("vllm:num_requests_waiting", None), ("vllm:kv_cache_usage_perc", 0.3))
        for metric, fixed in metrics:
            yield f"# TYPE {metric} gauge\n"
            for (namespace, name), waiting in self.waiting.items():
                value = waiting if fixed is None else fixed
                for pod in range(PODS):
                    yield f'{metric}{{namespace="{namespace}",pod="{name}-{pod}",engine="0"}} {value}\n'


def names(count: int) -> list[tuple[str, str]]:
    """Namespace and name of each policy and its workload."""
    return [(f"team-{number % NAMESPACES}", f"vllm-{number}") for number in range(count)]


def deployment(namespace: str, name: str) -> dict[str, Any]:
    """A workload; nothing here makes pods of it but ``pods``."""
    container = {"name": "vllm", "image": "vllm"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def policy(namespace: str, name: str) -> dict[str, Any]:
    """A policy as most are: one driver, and the guards that are on by default."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "maxReplicas": 10,
            "metrics": [{"signal": "waiting", "target": {"type": "PodsAverage", "averageValue": TARGET}}],
        },
    }


def set_up(api: Api, workloads: Sequence[tuple[str, str]]) -> None:
    """Creates all objects that the controller finds."""
    api.apply(custom_resource_definition())
    eventually(lambda: f"/apis/{GROUP}/{VERSION}" in api.get("/")["paths"], within=30)
    for number in range(NAMESPACES):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}})

    def make(workload: tuple[str, str]) -> None:
        namespace, name = workload
        api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(namespace, name))
        status = {"replicas": PODS, "readyReplicas": PODS}
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status"
        api.patch(path, {"status": status})
        for pod in range(PODS):
            metadata = {"name": f"{name}-{pod}", "namespace": namespace, "labels": {"app": name}}
            spec = {"nodeName": "elsewhere", "containers": [{"name": "vllm", "image": "vllm"}]}
            pods = f"/api/v1/namespaces/{namespace}/pods"
            api.post(pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
            api.patch(f"{pods}/{name}-{pod}/status", {"status": STATUS})
        plural = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/scalingpolicies"
        api.post(plural, policy(namespace, name))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, workloads))


class Patches:
    """Watches the Deployments, and notes when each one's replicas were patched."""

    def __init__(self, plane: ControlPlane) -> None:
        self.at: dict[tuple[str, str], float] = {}
        server = plane.apiserver
        self._identity: dict[str, Any] = {
            "cert": (str(server.admin.certificate), str(server.admin.key)),
            "verify": str(server.authority.certificate),
        }
        self._url = f"{plane.apiserver.url}/apis/apps/v1/deployments"
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        version = requests.get(self._url, timeout=60, **self._identity).json()["metadata"]["resourceVersion"]
        parameters = {"watch": "1", "resourceVersion": version}
        with requests.get(
            self._url, params=parameters, stream=True, timeout=3600, **self._identity
        ) as stream:
            for line in stream.iter_lines(chunk_size=None):
                event = json.loads(line)["object"]
                key = (event["metadata"]["namespace"], event["metadata"]["name"])
                if event["spec"]["replicas"] > PODS:
                    self.at.setdefault(key, time.monotonic())


def raise_loads(load: Load, exporter: Exporter, seconds: float) -> None:
    """Every workload becomes busy once, at some moment of these seconds."""
    chance = random.Random(0)
    moments = sorted((chance.uniform(0, seconds), workload) for workload in load.waiting)
    began = time.monotonic()
    while moments:
        now = time.monotonic()
        due = [workload for at, workload in moments if began + at <= now]
        moments = moments[len(due) :]
        for workload in due:
            load.waiting[workload] = BUSY
        if due:
            exporter.text = load.text()
            load.changed |= dict.fromkeys(due, time.monotonic())
        time.sleep(0.1)


def quantile(sorted_values: Sequence[float], share: float) -> float:
    """The value that a share of the others is not above."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def since(began: float, look: Callable[[], bool], within: float) -> float:
    """Seconds from ``began`` until something is so."""
    eventually(look, within)
    return time.monotonic() - began


def measure(
    controller: Controller, prometheus: Server, plane: ControlPlane, seconds: float
) -> dict[str, float]:
    """The costs of a calm stretch, per sync period of 15 s."""
    servers = {"controller": controller, "prometheus": prometheus, "apiserver": plane.apiserver}
    before = {name: cpu_seconds(server) for name, server in servers.items()}
    decisions = controller.total("vllm_autoscaler_decisions_total")
    queries = controller.total("vllm_autoscaler_questions_total")
    time.sleep(seconds)
    ticks = seconds / 15.0
    costs = {
        f"{name}_cpu_s_per_tick": round((cpu_seconds(server) - before[name]) / ticks, 2)
        for name, server in servers.items()
    }
    decided = controller.total("vllm_autoscaler_decisions_total") - decisions
    asked = controller.total("vllm_autoscaler_questions_total") - queries
    return costs | {"decisions_per_tick": round(decided / ticks), "queries_per_tick": round(asked / ticks, 1)}


def said(what: str) -> None:
    """Prints the progress."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Runs the benchmark and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=180.0, help="in which all loads rise")
    parser.add_argument("--calm", type=float, default=60.0, help="over which CPU is measured")
    parser.add_argument("--interval", type=float, default=15.0, help="between scrapes")
    options = parser.parse_args()
    workloads = names(options.policies)
    load = Load(workloads)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        plane = stack.enter_context(ControlPlane(folder / "plane"))
        exporter = stack.enter_context(Exporter(load.text()))
        job = {"job_name": "vllm", "honor_labels": True, "static_configs": [{"targets": [exporter.address]}]}
        prometheus = stack.enter_context(
            Prometheus(folder / "prometheus", interval=options.interval, scrape_configs=[job])
        )
        said("setting up")
        set_up(Api(plane.kubeconfig), workloads)
        said("waiting for the first scrape")
        eventually(lambda: len(prometheus.query("vllm:num_requests_waiting")) == len(workloads) * PODS, 60)
        began = time.monotonic()
        controller = stack.enter_context(Controller(folder, plane.kubeconfig, prometheus.url))
        decided = "vllm_autoscaler_decisions_total"
        found: dict[str, object] = {
            "policies": options.policies,
            "first_decision_s": round(since(began, lambda: controller.total(decided) > 0, 60), 1),
            "all_decided_s": round(
                since(began, lambda: controller.total(decided) >= options.policies, 120), 1
            ),
        }
        said(f"started: {found}")
        time.sleep(20.0)  # the first statuses are written
        found |= measure(controller, prometheus, plane, options.calm)
        said("the loads rise")
        patches = Patches(plane)
        time.sleep(2.0)
        raise_loads(load, exporter, options.seconds)
        eventually(lambda: len(patches.at) >= options.policies, 90)
        waits = sorted(patches.at[workload] - at for workload, at in load.changed.items())
        found["reaction_s"] = {share: round(quantile(waits, share), 1) for share in (0.5, 0.9, 0.99, 1.0)}
        found["reaction_limit_s"] = options.interval + 15.0 + 2.0
        found["peak_mib"] = round(controller.peak_mib)
        said("restarting it")
        controller.stop()
        began = time.monotonic()
        controller.start()
        found["restart_all_decided_s"] = round(
            since(began, lambda: controller.total(decided) >= options.policies, 120), 1
        )
    print(json.dumps(found, indent=2))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"on {os.cpu_count()} cores, {soft} open files allowed", file=sys.stderr)


if __name__ == "__main__":
    main()
