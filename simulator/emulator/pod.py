"""One emulated pod: runs the engine's events at their real times and wakes the requests that wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from time import time

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from simulator.emulator.openai_requests import GenerationRequest, OpenAiError, ServedModel
from simulator.emulator.serving import Generation, QueueFullError, Serving
from simulator.emulator.vllm_metrics import Observed, VllmCollector
from simulator.vllm.profile import Profile

TICK_S = 0.010
"""Tokens that are due within so many real seconds leave together, as vLLM's do when its API server lags."""


class EmulatorClock:
    """Simulated seconds since the clock was made: real ones times ``speed``."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()

    def now(self) -> float:
        """Simulated seconds."""
        return (self._loop.time() - self._start) * self.speed

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Calls back at a simulated time."""
        return self._loop.call_at(self._start + when / self.speed, callback)


@dataclass(frozen=True, slots=True)
class PodSettings:
    """The settings of all pods of one emulator.

    ``model_names``: the names that clients may use; answers and metrics have the first.
    ``mean_output_tokens``: the mean length of answers that end by themselves.
    """

    profile: Profile
    model_names: tuple[str, ...]
    mean_output_tokens: float = 200.0

    @property
    def max_model_len(self) -> int:
        """The context, which must fit into the KV cache."""
        memory, scheduler = self.profile.memory, self.profile.scheduler
        held = memory.kv_cache_tokens // scheduler.block_size_tokens * scheduler.block_size_tokens
        return min(self.profile.max_model_len_tokens, held)


class EmulatedPod:
    """A vLLM server in real time, in the clock's event loop."""

    def __init__(self, settings: PodSettings, name: str, clock: EmulatorClock, load_s: float = 0.0) -> None:
        """``load_s``: simulated seconds from now until it serves; until then it answers 503."""
        self.name = name
        self.clock = clock
        self.settings = settings
        self.loaded_at = clock.now() + load_s
        self.created = int(time())
        self.model = ServedModel(
            settings.model_names, settings.max_model_len, settings.mean_output_tokens, name
        )
        observed = Observed(settings.max_model_len)
        self.serving = Serving(settings.profile, observed, name, clock.now())
        self.registry = CollectorRegistry()
        GCCollector(self.registry)
        PlatformCollector(self.registry)
        ProcessCollector(registry=self.registry)
        model_name = settings.model_names[0]
        self.registry.register(
            VllmCollector(self.serving, observed, settings.profile, model_name, float(self.created))
        )
        self.draining = False
        self._answering = 0
        self._answered = asyncio.Event()
        self._progress = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf  # the time at which the timer fires

    @property
    def loaded(self) -> bool:
        """True once the model is loaded and the pod serves."""
        return self.loads_for() == 0.0

    def loads_for(self) -> float:
        """Simulated seconds until the pod serves."""
        return max(self.loaded_at - self.clock.now(), 0.0)

    def close(self) -> None:
        """Stops the timer: no further event of this pod happens."""
        if self._timer is not None:
            self._timer.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Ends answers as a vLLM that got SIGTERM does; everything else is served as before.

        New requests are aborted before their first token. Running and waiting requests have
        ``timeout_s`` real seconds to end; then they are aborted, too.
        """
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._answering:
                    self._answered.clear()
                    await self._answered.wait()
        self.serving.abort_all(self.clock.now())
        self._wake()

    @asynccontextmanager
    async def answering(self, ask: GenerationRequest) -> AsyncIterator[Generation]:
        """Gives a request to the engine; aborts it if the block is left before the answer is complete.

        Raises:
            OpenAiError: 503; the queue is full.
        """
        now = self.clock.now()
        try:
            answer = self.serving.submit(ask.prompt, ask.output, ask.max_tokens, ask.reason, now)
        except QueueFullError:
            most = self.settings.profile.scheduler.max_num_queued_reqs
            message = f"The server has {most} requests in flight and takes no more (max_num_queued_reqs)."
            raise OpenAiError(503, "ServiceUnavailableError", message) from None
        if self.draining:
            self.serving.abort(answer, self.clock.now())
        self._schedule()
        self._answering += 1
        try:
            yield answer
        finally:
            self._answering -= 1
            self._answered.set()
            self.serving.abort(answer, self.clock.now())
            self._schedule()

    async def tokens_after(self, answer: Generation, sent: int) -> int:
        """Waits for more than ``sent`` tokens of an answer, or for its end; returns the number of tokens.

        The last token comes with the answer's end. The number is ``answer.output`` then; an abort has
        lowered that to the tokens sent.
        """
        while (tokens := self.serving.tokens(answer)) <= sent and tokens < answer.output:
            await self._progress.wait()
        return tokens

    def catch_up(self) -> None:
        """Processes every event that is due."""
        self.serving.advance(self.clock.now())

    def _tick(self) -> None:
        self._timer = None
        self.catch_up()
        self._wake()
        self._schedule()

    def _wake(self) -> None:
        """Wakes all requests that wait now, and none that wait later."""
        self._progress.set()
        self._progress.clear()

    def _schedule(self) -> None:
        """Schedules the next tick: at the next event, or soon if tokens may be due before it."""
        due = self.serving.next_event()
        if due == inf:
            return
        if self.serving.in_flight:
            due = min(due, self.clock.now() + TICK_S * self.clock.speed)
        if self._timer is not None:
            if self._due <= due:
                return  # a stream of requests must not postpone the tick
            self._timer.cancel()
        self._due = due
        self._timer = self.clock.call_at(due, self._tick)
