"""A pod in time: a clock that a test turns, and what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import pytest

from simulator.emulator.openai_requests import GenerationRequest
from simulator.emulator.pod import EmulatedPod, EmulatorClock, PodSettings
from tests.simulator.profiles import make_profile


class TurnedClock(EmulatorClock):
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.speed = 1.0
        self._now = 0.0
        self._order = count()
        self._calls: list[tuple[float, int, asyncio.Handle, Callable[[], None]]] = []

    def now(self) -> float:
        return self._now

    def call_at(self, when, callback) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        handle = asyncio.TimerHandle(when, callback, (), loop)
        heappush(self._calls, (when, next(self._order), handle, callback))
        return handle

    async def turn(self, until: float) -> None:
        """Lets time pass, and everybody do what it makes possible."""
        await _settle()
        while self._calls and self._calls[0][0] <= until:
            when, _, handle, callback = heappop(self._calls)
            if not handle.cancelled():
                self._now = max(self._now, when)
                callback()
                await _settle()
        self._now = until
        await _settle()


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


def make_pod(clock: EmulatorClock, load_s: float = 0.0, **profile) -> EmulatedPod:
    return EmulatedPod(PodSettings(make_profile(**profile), ("m",)), "vllm-0", clock, load_s)


async def follow(pod: EmulatedPod, ask: GenerationRequest, seen: list[tuple[float, int]]) -> None:
    async with pod.answering(ask) as answer:
        sent = 0
        while sent < answer.output:
            sent = await pod.tokens_after(answer, sent)
            seen.append((round(pod.clock.now(), 4), sent))


async def test_tokens_leave_when_their_step_ends(clock):
    """12 ms a step: the ticks in between bring nothing, or what is due."""
    pod = make_pod(clock, base_ms=12.0)
    seen = []
    task = asyncio.create_task(follow(pod, GenerationRequest(10, 4, 4, "length"), seen))
    await clock.turn(1.0)
    assert task.done()
    first, *between, last = seen
    assert first == (0.012, 1)
    assert last == (0.048, 4)
    for at, tokens in between:
        assert tokens == at // 0.012
        assert at < tokens * 0.012 + 0.010


async def test_a_long_answer_in_one_piece_needs_no_more_than_its_time(clock):
    pod = make_pod(clock)
    async with pod.answering(GenerationRequest(10, 500, 500, "length")) as answer:
        waiting = asyncio.create_task(pod.tokens_after(answer, 499))
        await clock.turn(4.999)
        assert not waiting.done()
        await clock.turn(5.0)
        assert waiting.done()
        assert await waiting == 500


async def test_a_request_that_comes_later_shares_the_steps(clock):
    pod = make_pod(clock, per_sequence_us=10_000.0)
    one, two = [], []
    tasks = [asyncio.create_task(follow(pod, GenerationRequest(10, 3, 3, "length"), one))]
    await clock.turn(0.005)
    tasks.append(asyncio.create_task(follow(pod, GenerationRequest(10, 2, 2, "length"), two)))
    await clock.turn(1.0)
    assert all(task.done() for task in tasks)
    # 10 ms for the first prompt, 20 for one that decodes (with the second prompt), 30 for both.
    assert one[-1] == (0.06, 3)
    assert two[-1] == (0.06, 2)


async def test_requests_that_keep_coming_do_not_put_off_the_tokens_of_others(clock):
    """One place in the batch, and a new request every 5 ms: they all wait, and change nothing."""
    pod = make_pod(clock, max_num_seqs=1)
    seen = []
    task = asyncio.create_task(follow(pod, GenerationRequest(10, 20, 20, "length"), seen))
    others = []
    for number in range(40):
        await clock.turn(number * 0.005)
        others.append(asyncio.create_task(follow(pod, GenerationRequest(10, 1, 1, "length"), [])))
    await clock.turn(0.2)
    assert task.done()
    assert len(seen) >= 10
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def test_it_loads_for_as_long_as_it_was_told(clock):
    pod = make_pod(clock, load_s=30.0)
    await clock.turn(29.0)
    assert (pod.loaded, pod.loads_for()) == (False, 1.0)
    await clock.turn(30.0)
    assert pod.loaded


async def test_the_context_must_fit_into_the_kv_cache():
    profile = make_profile(kv_cache_tokens=1003, max_model_len_tokens=2000)
    assert PodSettings(profile, ("m",)).max_model_len == 992


async def test_it_drains_until_the_last_answer_and_aborts_what_comes_meanwhile(clock):
    pod = make_pod(clock)
    seen, late = [], []
    task = asyncio.create_task(follow(pod, GenerationRequest(10, 50, 50, "length"), seen))
    await clock.turn(0.1)
    draining = asyncio.create_task(pod.drain(3600.0))
    await clock.turn(0.2)
    async with pod.answering(GenerationRequest(10, 50, 50, "length")) as answer:
        assert (await pod.tokens_after(answer, 49), answer.reason) == (0, "abort")
    await follow(pod, GenerationRequest(10, 5, 5, "length"), late)
    assert (late, pod.serving.in_flight, draining.done()) == ([], 1, False)
    await clock.turn(0.6)
    assert task.done()
    assert seen[-1] == (0.5, 50)
    await draining


async def test_what_has_not_ended_in_its_time_is_aborted_after_its_tokens(clock):
    pod = make_pod(clock)
    seen = []
    task = asyncio.create_task(follow(pod, GenerationRequest(10, 500, 500, "length"), seen))
    await clock.turn(0.1)
    await pod.drain(0.0)
    await task
    assert seen[-1] == (0.1, 10)
    assert pod.serving.in_flight == 0
