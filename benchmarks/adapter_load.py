"""The adapter's throughput, latency and memory at 100 to 10,000 pods.

Each size has a namespace of its own, whose pods are objects in the composed API server of
tests/controlplane; one endpoint with a series for each pod stands behind a real Prometheus. The
adapter is one process, asked directly over TLS with a
bearer token and kept connections, by callers that are processes themselves. It is held against
Prometheus' own answer to the same query, and against a peer's, if one is given.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests

from tests.e2e.adapter import HOME, RunningAdapter, certs, export, install, manifests, mount
from tests.e2e.cluster import Cluster
from tests.servers.api import Api
from tests.servers.controlplane import ControlPlane
from tests.servers.eventually import eventually
from tests.servers.exporter import Exporter
from tests.servers.prometheus import Prometheus

METRIC = "num_requests_waiting"
SERIES = "vllm:num_requests_waiting"
HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
SCRAPE_SECONDS = 15.0
PATIENCE = {"ours": 60.0, "peer": 900.0}
"""Seconds until a server has answered first. Start the peer meanwhile."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server of custom.metrics.k8s.io, and a caller's token."""

    name: str
    url: str
    token: str
    version: str = "v1beta2"
    metric: str = METRIC

    def path(self, namespace: str, pod: str) -> str:
        """The path for one pod, or for all pods (``*``) with the labels that an HPA would give."""
        root = f"/apis/custom.metrics.k8s.io/{self.version}/namespaces/{namespace}/pods"
        labels = "?labelSelector=app%3Dvllm" if pod == "*" else ""
        return f"{root}/{quote(pod, safe='')}/{quote(self.metric, safe=':')}{labels}"


def main() -> None:
    """Measures and prints."""
    options = _options()
    users = (HPA,)
    with tempfile.TemporaryDirectory() as name, ControlPlane(Path(name) / "plane", users) as plane:
        cluster = Cluster(plane.kubeconfig, Path(name), plane)
        sizes = options.pods
        with (
            _metrics(Path(name), sizes) as prometheus,
            _adapter(Path(name), cluster, prometheus, sizes) as adapter,
        ):
            servers = [Server("ours", adapter.url, plane.tokens[HPA])]
            if options.peer_url:
                file = options.peer_token_file
                token = file.read_text().strip() if file else plane.tokens[HPA]
                servers.append(Server("peer", options.peer_url, token, "v1beta1", options.peer_metric))
                print(f"for the peer: Prometheus {prometheus.url}, kubeconfig {plane.kubeconfig}", flush=True)
            for size in sizes:
                _make_pods(cluster.api, _namespace(size), size)
                _measure(servers, prometheus, adapter, size, options.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pods", type=lambda text: [int(part) for part in text.split(",")], default=[100, 1000, 10_000]
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument(
        "--peer-url", help="another adapter; start it with the address and kubeconfig printed first"
    )
    parser.add_argument("--peer-token-file", type=Path, help="the token of its requests; default: the HPA's")
    parser.add_argument("--peer-metric", default=METRIC)
    return parser.parse_args()


def _namespace(size: int) -> str:
    return f"load-{size}"


@contextmanager
def _metrics(folder: Path, sizes: list[int]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the metrics of all sizes' pods every 15 s."""
    lines = [
        f'{SERIES}{{namespace="{_namespace(size)}",pod="vllm-{index}"}} {index % 7}'
        for size in sizes
        for index in range(size)
    ]
    with Exporter(f"# TYPE {SERIES} gauge\n" + "\n".join(lines) + "\n") as pods:
        config = {"job_name": "pods", "honor_labels": True, "static_configs": [{"targets": [pods.address]}]}
        with Prometheus(folder / "prometheus", interval=SCRAPE_SECONDS, scrape_configs=[config]) as server:
            eventually(lambda: len(server.query(SERIES)) == len(lines), 60)
            yield server


@contextmanager
def _adapter(
    folder: Path, cluster: Cluster, prometheus: Prometheus, sizes: list[int]
) -> Iterator[RunningAdapter]:
    install(cluster.api, manifests(folder, "adapter", "adapter-api-custom"))
    certs(cluster.account(HOME, "vllm-autoscaler-certs"))
    mount(cluster.api, folder / "tls")
    adapter = RunningAdapter(folder, cluster, prometheus.url, "--scrape-interval", str(SCRAPE_SECONDS))
    adapter.serve(*(export(_namespace(size), {"name": METRIC, "signal": "waiting"}) for size in sizes))
    with adapter:
        yield adapter


def _make_pods(api: Api, namespace: str, size: int) -> None:
    """Pods that no node runs: objects with a name and a label are all that matters here."""
    api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"containers": [{"name": "vllm", "image": "vllm"}]}

    def make(index: int) -> None:
        api.post(path, {"metadata": {"name": f"vllm-{index}", "labels": {"app": "vllm"}}, "spec": spec})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(make, range(size)))


def _measure(
    servers: list[Server], prometheus: Prometheus, adapter: RunningAdapter, size: int, seconds: float
) -> None:
    namespace = _namespace(size)
    raw = _timed(lambda: _raw(prometheus, namespace), seconds / 2)
    print(f"\n{size} pods    Prometheus itself, one caller: {_shown(raw, seconds / 2)}", flush=True)
    for server in servers:
        eventually(partial(_answers_for, server, namespace, size), PATIENCE[server.name])
        before = _queries(prometheus)
        for pod, callers in (("*", 1), ("*", 4), (f"vllm-{size // 2}", 1), (f"vllm-{size // 2}", 8)):
            cpu = _cpu_seconds(adapter)
            taken = _called(server, server.path(namespace, pod), callers, seconds)
            each = (_cpu_seconds(adapter) - cpu) / len(taken) * 1000
            what = f"{'list' if pod == '*' else 'one pod'}, {callers} callers"
            own = f"   CPU {each:5.2f} ms each" if server.name == "ours" else ""
            print(f"  {server.name:5}{what:20}{_shown(taken, seconds)}{own}", flush=True)
        asked = _queries(prometheus) - before
        print(f"  {server.name:5}Prometheus was asked {asked:.0f} times in {4 * seconds:.0f} s")
    assert adapter.process is not None
    status = Path(f"/proc/{adapter.process.pid}/status").read_text()
    now, peak = (int(status.partition(f"{name}:")[2].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    print(f"  ours memory: {now:.0f} MB, at most {peak:.0f} MB", flush=True)


def _cpu_seconds(adapter: RunningAdapter) -> float:
    """CPU seconds of the adapter's process so far, in all its threads."""
    assert adapter.process is not None
    fields = Path(f"/proc/{adapter.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _raw(prometheus: Prometheus, namespace: str) -> None:
    query = {"query": f'{SERIES}{{namespace="{namespace}"}}'}
    requests.post(f"{prometheus.url}/api/v1/query", query, timeout=10).raise_for_status()


def _queries(prometheus: Prometheus) -> float:
    """The number of queries that Prometheus has answered."""
    page = requests.get(f"{prometheus.url}/metrics", timeout=10).text
    lines = [line for line in page.splitlines() if line.startswith("prometheus_http_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'handler="/api/v1/query"' in line)


def _timed(call: Callable[[], object], seconds: float) -> list[float]:
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


def _connection(server: Server) -> http.client.HTTPSConnection:
    url = urlsplit(server.url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # our own loopback
    return http.client.HTTPSConnection(str(url.hostname), url.port, context=context, timeout=30)


def _get(connection: http.client.HTTPSConnection, server: Server, path: str) -> bytes:
    headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise AssertionError(f"{server.name}: {path}: {answer.status} {body[:200]!r}")
    return body


def _answers_for(server: Server, namespace: str, size: int) -> bool:
    """True once the server has a value for each pod."""
    body = json.loads(_get(_connection(server), server, server.path(namespace, "*")))
    return len(body["items"]) == size


def _called(server: Server, path: str, callers: int, seconds: float) -> list[float]:
    """The seconds of each request, by ``callers`` processes that each send one after the other."""
    with multiprocessing.Pool(callers) as pool:
        return list(chain.from_iterable(pool.starmap(_caller, [(server, path, seconds)] * callers)))


def _caller(server: Server, path: str, seconds: float) -> list[float]:
    connection = _connection(server)
    return _timed(lambda: _get(connection, server, path), seconds)


def _shown(taken: list[float], seconds: float) -> str:
    taken = sorted(taken)
    p50, p99 = (taken[min(len(taken) - 1, int(len(taken) * share))] * 1000 for share in (0.5, 0.99))
    return f"{len(taken) / seconds:7.0f} requests/s   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms"


if __name__ == "__main__":
    try:
        main()
    except pytest.skip.Exception as skipped:
        print(f"skipped: {skipped}")
