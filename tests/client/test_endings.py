"""One of two vLLMs behind a Service ends in the middle of a batch, and of a load: each answer stays whole."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from random import Random

import pytest

from autoscaler.batch.congestion import CongestionWindow
from autoscaler.batch.journal import Journal
from autoscaler.batch.request_builder import BatchRequest
from autoscaler.batch.runner import BatchRun
from autoscaler.client.endpoint import Endpoint
from autoscaler.client.load_generator import OpenLoop
from autoscaler.client.prompts import Prompts
from simulator.emulator.emulator import Emulator
from simulator.emulator.pod import EmulatedPod, EmulatorClock, PodSettings
from simulator.startup.plan import StartupModel
from tests.client.service import Service
from tests.simulator.profiles import make_profile

ROWS = 200
MOST = 32
SEVERAL = 5
LONG = {"model": "m", "prompt": [1], "max_tokens": 14_000, "ignore_eos": True}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """10 ms a step, 20 times as fast; two pods."""
    settings = PodSettings(make_profile(max_model_len_tokens=15_000), ("m",))
    found = Emulator(settings, StartupModel(name="0"), EmulatorClock(speed=20.0))
    yield found
    await found.close()


def aborted(pod: EmulatedPod) -> float:
    labels = {"model_name": "m", "engine": "0", "finished_reason": "abort"}
    return pod.registry.get_sample_value("vllm:request_success_total", labels) or 0.0


class Ending:
    """The first of two pods ends: its Service drops it, then it gets SIGTERM.

    ``timeout_s``: how long it may drain.
    """

    def __init__(self, emulator: Emulator, timeout_s: float) -> None:
        self._emulator = emulator
        emulator.shutdown_timeout_s = timeout_s

    async def __aenter__(self) -> Service:
        listeners = [await self._emulator.add(f"vllm-{number}") for number in range(2)]
        self.service = Service(*[listener.port for listener in listeners])
        self.pod = self._emulator.pods[0]
        # Somebody else's answer is long, so a drain lasts for as long as this test needs it.
        self._endpoint = await Endpoint(listeners[0].url).__aenter__()
        self._other = asyncio.create_task(self._endpoint.post("/v1/completions", LONG))
        while not self.pod.serving.in_flight:
            await asyncio.sleep(0)
        self._removing: asyncio.Task[None] | None = None
        return self.service

    def begin(self) -> None:
        """Once, and not before several requests are in flight there."""
        self.pod.catch_up()
        if not self.begun and self.pod.serving.in_flight > SEVERAL:
            del self.service.ports[0]
            self._removing = asyncio.create_task(self._emulator.remove("vllm-0"))

    @property
    def begun(self) -> bool:
        return self._removing is not None

    async def __aexit__(self, *error: object) -> None:
        self._other.cancel()
        await asyncio.gather(self._other, return_exceptions=True)
        await self._endpoint.__aexit__(None, None, None)
        if self._removing is not None:
            await self._removing


@pytest.mark.parametrize("timeout_s", [600.0, 0.0], ids=["draining", "at once"])
async def test_a_batch_loses_no_row_and_sends_at_most_those_in_flight_again(emulator, tmp_path, timeout_s):
    ending = Ending(emulator, timeout_s)
    body = {"prompt": [1, 2, 3], "ignore_eos": True}
    lengths = [200 + 10 * (row % 41) for row in range(ROWS)]
    asks = [
        BatchRequest(row, f"id-{row}", "/v1/completions", {**body, "max_tokens": length}, f"key-{row}")
        for row, length in enumerate(lengths)
    ]
    async with ending as service, service.listening() as url, Endpoint(url) as endpoint:
        window = CongestionWindow(MOST, Random(0), shortest_pause_s=0.005, longest_pause_s=0.05)
        with Journal(tmp_path / "out.jsonl") as journal:
            run = BatchRun(endpoint, journal, window, "m", 3, 30.0)
            run.on_result = lambda _: ending.begin() if len(journal.done) > ROWS // 4 else None
            await run.run(asks)
            results = list(journal.ordered())
        again = aborted(ending.pod) - (timeout_s == 0.0)  # the other client's is one of them
    assert [result.row for result in results] == list(range(ROWS))
    assert [result.completion_tokens for result in results] == lengths
    assert {(result.finish_reason, result.error) for result in results} == {("length", None)}
    assert 0 < again <= MOST
    assert ROWS + again <= run.sent <= ROWS + MOST


@pytest.mark.parametrize("timeout_s", [600.0, 0.0], ids=["draining", "at once"])
async def test_a_load_counts_what_was_aborted_and_measures_the_rest(emulator, timeout_s):
    ending = Ending(emulator, timeout_s)
    async with ending as service, service.listening() as url, Endpoint(url) as endpoint:
        run = OpenLoop(endpoint, Prompts("m", "completions", seed=0))
        running = asyncio.create_task(run.run([(number * 0.005, 10, 400) for number in range(200)]))
        while not (ending.begun or running.done()):
            await asyncio.sleep(0.001)
            if sum(request.completed for request in run.requests) > 30:
                ending.begin()
        await running
        failures = Counter(request.failure for request in run.requests if not request.completed)
        counted = aborted(ending.pod) - (timeout_s == 0.0)
    assert 0 < counted == failures["aborted"]
    # What is sent in the very moment in which a port closes may meet a connection that is gone.
    assert failures.keys() <= ({"aborted", "broken"} if timeout_s == 0.0 else {"aborted"})
    assert {request.completion_tokens for request in run.requests if request.completed} == {400}
