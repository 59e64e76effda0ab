"""The cost of a round of queries: of our process, and of the Prometheus that answers.

One exporter serves the series of all pods to a real Prometheus. CPU seconds hardly depend on what else
the machine does; wall seconds do, so the fastest of the rounds is shown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

import requests

from autoscaler.api.models import Signal
from autoscaler.metrics.promql import Area
from autoscaler.metrics.sources.bounded_queries import RetryPolicy
from autoscaler.metrics.sources.connection import PrometheusConnection
from autoscaler.metrics.sources.prometheus import PrometheusSource
from autoscaler.ports.metrics import SignalQuestion
from simulator.run.latency_histograms import TTFT_EDGES
from tests.servers.eventually import eventually
from tests.servers.exporter import Exporter
from tests.servers.prometheus import Prometheus

NAMESPACES = 50
GAUGES = (Signal.RUNNING_WAITING, Signal.KV_CACHE_USAGE, Signal.WAITING)
PATIENT = RetryPolicy(deadline=120.0, attempt=120.0)
SCRAPE_SECONDS = 10


def exposition(pods: int, requests_so_far: int) -> str:
    """The metrics of ``pods`` replicas, as far as the signals need them."""
    lines = []
    for number in range(pods):
        labels = f'namespace="team-{number % NAMESPACES}",pod="vllm-{number}",model_name="m"'
        lines += [
            f"vllm:num_requests_running{{{labels}}} {number % 7}",
            f"vllm:num_requests_waiting{{{labels}}} 0",
            f"vllm:kv_cache_usage_perc{{{labels}}} 0.5",
            f"vllm:time_to_first_token_seconds_count{{{labels}}} {requests_so_far}",
        ]
        for edge in TTFT_EDGES:
            le = "+Inf" if edge == float("inf") else f"{edge}"
            lines.append(f'vllm:time_to_first_token_seconds_bucket{{{labels},le="{le}"}} {requests_so_far}')
    return "\n".join(lines) + "\n"


def cpu_seconds(process_id: int) -> float:
    """CPU seconds of a process so far (Linux)."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(server: Prometheus, signals: Collection[Signal], rounds: int) -> tuple[float, float, float]:
    """Seconds a round: our CPU, Prometheus' CPU, and the fastest round's wall clock."""
    assert server.process is not None
    questions = [SignalQuestion(signal, window_seconds=60) for signal in signals]
    namespaces = [f"team-{number}" for number in range(NAMESPACES)]
    theirs, ours, walls = cpu_seconds(server.process.pid), time.process_time(), []
    with closing(
        PrometheusSource(PrometheusConnection(server.url, requests.Session()), Area(), PATIENT)
    ) as source:
        for _ in range(rounds):
            began = time.monotonic()
            answers = source.answers(questions, namespaces)
            walls.append(time.monotonic() - began)
            assert all(answer.points or answer.buckets for answer in answers.values()), answers
    used = time.process_time() - ours
    return used / rounds, (cpu_seconds(server.process.pid) - theirs) / rounds, min(walls)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints one row for the gauges of the policy ``chat`` and one for ``ttft``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, Exporter(exposition(options.pods, 100)) as exporter:
        job = {
            "job_name": "all",
            "honor_labels": True,
            "static_configs": [{"targets": [exporter.address]}],
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "scrape_timeout": f"{SCRAPE_SECONDS}s",
        }
        with Prometheus(Path(folder), scrape_configs=[job]) as server:
            found: list[tuple[dict[str, str], float]] = [({}, float(options.pods))]
            eventually(lambda: server.query("count(vllm:num_requests_running)") == found, within=120.0)
            exporter.text = exposition(options.pods, 200)
            rate = "count(rate(vllm:time_to_first_token_seconds_count[60s]))"
            eventually(lambda: server.query(rate) == found, within=120.0, every=1.0)
            print(f"{options.pods} pods, seconds a round: our CPU, Prometheus' CPU, wall clock")
            for name, signals in (("three gauges", GAUGES), ("ttft", (Signal.TTFT,))):
                print(f"{name:<14}", *(f"{value:8.2f}" for value in measure(server, signals, options.rounds)))


if __name__ == "__main__":
    main()
