"""The unfinished rows of a batch, for Prometheus: the queue that wakes a policy at 0 replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from autoscaler.api.signals import GATEWAY_QUEUE
from autoscaler.batch.runner import BatchRun
from autoscaler.errors import Diagnostic, InputError

POOL = "autoscale-batch"


class BatchCollector(Collector):
    """The rows of a run: those that wait are the signal ``gatewayQueue``."""

    def __init__(self, run: BatchRun, total: int) -> None:
        """``total``: the rows of the input."""
        self._run = run
        self._total = total

    def collect(self) -> Iterator[Metric]:
        """The queue by both names of the signal, which are never added up, then finished rows by outcome."""
        run, done = self._run, len(self._run.journal.done)
        failed = run.journal.failed
        waiting = max(self._total - done - run.in_flight, 0)
        for name in GATEWAY_QUEUE:
            yield _gauge(name, "Rows that wait for a server.", {"inference_pool": POOL}, waiting)
        rows = _gauge("autoscale_batch_rows", "Rows of the batch.", {"state": "succeeded"}, done - failed)
        rows.add_sample(rows.name, {"state": "failed"}, failed)
        rows.add_sample(rows.name, {"state": "running"}, run.in_flight)
        rows.add_sample(rows.name, {"state": "waiting"}, waiting)
        yield rows


def _gauge(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    metric = Metric(name, text, "gauge")
    metric.add_sample(name, labels, value)
    return metric


IDLE_SECONDS = 10.0
"""Less than a scrape interval: each scrape may open a connection of its own."""


@asynccontextmanager
async def served(
    collector: BatchCollector, port: int, idle_seconds: float = IDLE_SECONDS
) -> AsyncIterator[int]:
    """``/metrics`` on all addresses; gives the port, which is a free one for 0.

    A connection without a whole request for ``idle_seconds`` is closed.

    Raises:
        InputError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(collector)

    async def metrics(_: web.Request) -> web.Response:
        body = generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=idle_seconds)
    await runner.setup()
    try:
        await _listen(runner, port)
        yield min(runner.addresses, key=len)[1]  # IPv4's, as port 0 is another one for each family
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, None, port).start()
    except OSError as error:
        message = f"cannot listen on port {port}: {error.strerror}"
        raise InputError([Diagnostic("--metrics-port", None, "", message)]) from None
