"""What a batch tells Prometheus: the queue that wakes a policy at 0 replicas."""

from __future__ import annotations

import asyncio
from random import Random
from urllib.parse import urlsplit

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from autoscaler.api.models import Signal
from autoscaler.api.signals import GATEWAY_QUEUE
from autoscaler.batch.congestion import CongestionWindow
from autoscaler.batch.journal import Journal
from autoscaler.batch.progress_metrics import BatchCollector, served
from autoscaler.batch.results import RowResult
from autoscaler.batch.runner import BatchRun
from autoscaler.client.endpoint import Endpoint
from autoscaler.errors import InputError


@pytest.fixture
def run(tmp_path):
    """Ten rows have succeeded, two have failed, three are in flight."""
    with Journal(tmp_path / "out.jsonl") as journal:
        for row in range(12):
            error = "no" if row < 2 else None
            journal.append(RowResult(row, str(row), "k", "text", "stop", 1, 1, 1, error))
        found = BatchRun(
            Endpoint("http://127.0.0.1:9"), journal, CongestionWindow(8, Random(0)), "m", 3, 30.0
        )
        found.in_flight = 3
        yield found


def test_what_waits_is_the_signal_of_the_catalogue(run):
    registry = CollectorRegistry()
    registry.register(BatchCollector(run, 100))
    (source,) = Signal.GATEWAY_QUEUE.info.sources
    for name in source.names:  # who asks by one of them alone finds it, and the signal takes one of them
        assert registry.get_sample_value(name, {"inference_pool": "autoscale-batch"}) == 85
    rows = {
        state: registry.get_sample_value("autoscale_batch_rows", {"state": state})
        for state in ("succeeded", "failed", "running", "waiting")
    }
    assert rows == {"succeeded": 10, "failed": 2, "running": 3, "waiting": 85}


async def test_it_is_served_on_a_free_port_until_the_end(run):
    async with aiohttp.ClientSession() as http:
        async with served(BatchCollector(run, 15), 0) as port:
            url = f"http://127.0.0.1:{port}/metrics"
            async with http.get(url) as answer:
                assert answer.content_type == "text/plain"
                text = await answer.text()
            for name in GATEWAY_QUEUE:
                assert f'{name}{{inference_pool="autoscale-batch"}} 0.0' in text
            with pytest.raises(InputError, match=f"--metrics-port: cannot listen on port {port}"):
                async with served(BatchCollector(run, 15), urlsplit(url).port):
                    pass
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(url)


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_a_connection_that_asks_for_nothing_is_closed(run, sent):
    async with served(BatchCollector(run, 15), 0, idle_seconds=0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
