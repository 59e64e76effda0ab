"""Open-loop load on an emulated vLLM, and what its client measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from aiohttp import web

from autoscaler.client.endpoint import Endpoint
from autoscaler.client.load_generator import OpenLoop, SentRequest
from autoscaler.client.prompts import FIRST_ID, LAST_ID, Prompts
from autoscaler.errors import RequestError, TraceError
from simulator.emulator.emulator import Emulator
from simulator.emulator.pod import EmulatorClock, PodSettings
from simulator.startup.plan import StartupModel
from tests.simulator.profiles import make_profile

LONG = 14_000


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """10 ms a step, 20 times as fast. Answers of ``LONG`` tokens do not end while a test looks at them."""
    settings = PodSettings(make_profile(max_model_len_tokens=15_000), ("m",))
    found = Emulator(settings, StartupModel(name="0"), EmulatorClock(speed=20.0))
    yield found
    await found.close()


@pytest.fixture
async def endpoint(emulator) -> AsyncIterator[Endpoint]:
    async with Endpoint((await emulator.add("vllm-0")).url) as found:
        yield found


def loop(endpoint: Endpoint, form="completions") -> OpenLoop:
    return OpenLoop(endpoint, Prompts("m", form, seed=0))


@pytest.mark.parametrize("form", ["completions", "chat"])
async def test_every_request_gets_the_tokens_that_it_asked_for(endpoint, form):
    run = loop(endpoint, form)
    await run.run([(0.0, 20, 5), (0.01, 30, 50), (0.01, 1, 1)])
    assert [request.completion_tokens for request in run.requests] == [5, 50, 1]
    for request in run.requests:
        assert request.completed
        assert request.sent_s >= request.arrival_s
        assert 0 < request.ttft_s <= request.e2e_s
    assert run.requests[1].tpot_s == (run.requests[1].e2e_s - run.requests[1].ttft_s) / 49
    assert run.requests[2].tpot_s is None
    assert run.in_flight == 0


async def test_token_ids_have_exactly_the_traces_length(emulator, endpoint):
    await loop(endpoint).run([(0.0, 123, 1), (0.0, 1, 1)])
    text = emulator.pods[0].registry.get_sample_value(
        "vllm:prompt_tokens_total", {"model_name": "m", "engine": "0"}
    )
    assert text == 124


async def test_requests_leave_at_their_times_though_no_answer_has_come(endpoint):
    """An open loop does not wait: all 30 are in flight before the first ends."""
    run = loop(endpoint)
    running = asyncio.create_task(run.run([(number * 0.001, 10, LONG) for number in range(30)]))
    while run.in_flight < 30:
        await asyncio.sleep(0.001)
    assert not any(request.completed for request in run.requests)
    assert [request.arrival_s for request in run.requests] == [number * 0.001 for number in range(30)]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_refused_requests_are_rows_with_an_error(endpoint):
    run = loop(endpoint)
    await run.run([(0.0, 14_990, 50), (0.0, 10, 2)])
    refused, fine = run.requests
    assert "maximum context length is 15000" in refused.error
    assert (refused.completed, refused.ttft_s) == (False, None)
    assert fine.completed


async def test_a_model_that_the_server_does_not_know_ends_the_run_at_once(endpoint):
    run = OpenLoop(endpoint, Prompts("other", "completions", seed=0))
    with pytest.raises(RequestError, match="404 Not Found: The model `other` does not exist"):
        await run.run([(0.0, 10, 2), (3600.0, 10, 2)])


async def test_one_that_has_measured_something_goes_on(endpoint):
    run = loop(endpoint)
    await run.run([(0.0, 10, 2)])
    run.prompts = Prompts("other", "completions", seed=0)
    await run.run([(0.0, 10, 2), (0.01, 10, 2)])
    assert [request.completed for request in run.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("ends", "failure"), [(Emulator.remove, "aborted"), (Emulator.kill, "broken")], ids=["SIGTERM", "SIGKILL"]
)
async def test_a_server_that_goes_leaves_failures_not_gaps(emulator, endpoint, ends, failure):
    """Told to end, it says 200 and aborts after some tokens; those are no measurement."""
    run = loop(endpoint)
    running = asyncio.create_task(run.run([(0.0, 10, LONG)] * 5))
    while emulator.pods[0].serving.in_flight < 5 or not all(request.ttft_s for request in run.requests):
        await asyncio.sleep(0.001)
    await ends(emulator, "vllm-0")
    await running
    assert [(request.completed, request.failure) for request in run.requests] == [(False, failure)] * 5
    assert all(request.error for request in run.requests)


async def test_what_a_draining_server_answers_with_200_and_no_token_has_failed(emulator, endpoint):
    """It drains for as long as the first request runs."""
    emulator.shutdown_timeout_s = 30.0
    run = loop(endpoint)
    running = asyncio.create_task(run.run([(0.0, 10, LONG), (0.1, 10, 5), (0.1, 10, 5)]))
    while not emulator.pods[0].serving.in_flight:
        await asyncio.sleep(0.001)
    removing = asyncio.create_task(emulator.remove("vllm-0"))
    while len(run.requests) < 3 or run.in_flight > 1:
        await asyncio.sleep(0.001)
    assert [request.failure for request in run.requests] == [None, "aborted", "aborted"]
    running.cancel()
    await removing


async def test_cancelled_it_keeps_what_is_known(endpoint):
    run = loop(endpoint)
    running = asyncio.create_task(run.run([(0.0, 10, 2), (0.0, 10, LONG), (3600.0, 10, 2)]))
    while not (len(run.requests) == 2 and run.requests[0].completed):
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [(request.completed, request.error) for request in run.requests] == [(True, None), (False, None)]


async def test_an_error_of_the_trace_passes_through(endpoint):
    def trace():
        yield 0.0, 10, LONG
        raise TraceError([])

    run = loop(endpoint)
    with pytest.raises(TraceError):
        await run.run(trace())
    assert len(run.requests) == 1


DIALECTS = {
    "reasoning": [{"reasoning": "w"}] * 3 + [{"content": "a"}, {}],
    "reasoning_content beside a role": [
        *[{"role": None, "content": None, "reasoning_content": "w", "tool_calls": None}] * 3,
        *[{"role": None, "content": "a", "reasoning_content": None, "tool_calls": None}] * 2,
    ],
    "thinking alone, with the role in each event": [{"role": "assistant", "content": "", "reasoning": "w"}]
    * 5,
    "a tool call": [{"role": None, "tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}] * 5,
    "text": [{"role": "assistant", "content": "a"}] * 5,
}


@pytest.mark.parametrize("deltas", DIALECTS.values(), ids=DIALECTS)
async def test_the_first_token_is_the_first_whatever_it_says(deltas):
    """The clock ticks once with each event; the first one only names the speaker."""
    opening = {"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None}
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in [opening, *deltas]]
    events[-1]["choices"][0]["finish_reason"] = "stop"
    events.append({"choices": [], "usage": {"completion_tokens": 5}})

    async def chat(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in [*map(json.dumps, events), "[DONE]"]:
            await response.write(f"data: {event}\n\n".encode())
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    async with listening(app) as url, Endpoint(url) as endpoint:
        run = OpenLoop(endpoint, Prompts("m", "chat", seed=0), clock=count(0.0).__next__)
        await run.run([(0.0, 10, 5)])
    (request,) = run.requests
    assert (request.ttft_s, request.e2e_s, request.tpot_s, request.max_gap_s) == (2.0, 6.0, 1.0, 1.0)


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def test_prompts_are_the_same_for_the_same_seed_and_otherwise_not():
    first, again, other = (Prompts("m", "completions", seed).body(50, 5).body for seed in (1, 1, 2))
    assert first == again != other
    assert first["max_tokens"] == 5
    assert all(FIRST_ID <= token <= LAST_ID for token in first["prompt"])


def test_lateness_is_the_generators_own():
    measured = SentRequest(arrival_s=2.0, prompt_tokens=1, output_tokens=1, sent_s=2.25)
    assert measured.late_s == 0.25
