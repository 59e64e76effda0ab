"""Open-loop load: requests leave at their times, whatever has come back until then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from autoscaler.client.endpoint import Endpoint
from autoscaler.client.failures import REFUSES_ALL
from autoscaler.client.prompts import Prompts
from autoscaler.errors import AutoscalerError, RequestError, ServerError

Clock = Callable[[], float]


@dataclass(slots=True)
class SentRequest:
    """One request as the client saw it. Times in seconds.

    ``arrival_s``: when it was to leave, ``sent_s``: when it left, both from the run's start; latencies
    are from ``sent_s``. ``completion_tokens``: what the server says it generated. ``error``: why the
    answer is not complete, and ``failure`` the kind of that: a ``FailureKind``, "rejected" for what would
    be refused again, "empty" for a complete answer without tokens. A request without an ``e2e_s`` and
    without an ``error`` was cut off.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    sent_s: float
    ttft_s: float | None = None
    e2e_s: float | None = None
    max_gap_s: float = 0.0
    completion_tokens: int | None = None
    error: str | None = None
    failure: str | None = None

    @property
    def completed(self) -> bool:
        """True if the answer is complete."""
        return self.e2e_s is not None

    @property
    def late_s(self) -> float:
        """How long after its time the generator itself sent it."""
        return self.sent_s - self.arrival_s

    @property
    def tpot_s(self) -> float | None:
        """Mean seconds per token after the first; None for one token or no whole answer."""
        tokens = self.completion_tokens or self.output_tokens
        if self.e2e_s is None or self.ttft_s is None or tokens < 2:
            return None
        return (self.e2e_s - self.ttft_s) / (tokens - 1)


@dataclass(slots=True)
class OpenLoop:
    """One replay. ``requests`` grows in the order of sending, its rows change while they run."""

    endpoint: Endpoint
    prompts: Prompts
    requests: list[SentRequest] = field(default_factory=list)
    in_flight: int = 0
    clock: Clock = field(default_factory=lambda: asyncio.get_running_loop().time)
    started: float = 0.0

    def now(self) -> float:
        """Seconds since the start of the run."""
        return self.clock() - self.started

    async def run(self, trace: Iterable[tuple[float, int, int]]) -> None:
        """Sends ``(second, prompt tokens, output tokens)`` and waits for all answers.

        Cancelled, it cuts off what is in flight; ``requests`` then holds what is known. So does an error
        of the trace, which passes through.

        Raises:
            RequestError: before any token came, the server refuses what it would refuse of all requests.
        """
        self.started = self.clock()
        try:
            await self._send_all(trace)
        except ExceptionGroup as errors:  # the task group's; whatever went wrong first ended the others
            raise errors.exceptions[0] from None

    async def _send_all(self, trace: Iterable[tuple[float, int, int]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for arrival_s, prompt_tokens, output_tokens in trace:
                body = self.prompts.body(prompt_tokens, output_tokens)
                await asyncio.sleep(max(arrival_s - self.now(), 0.0))
                measured = SentRequest(arrival_s, prompt_tokens, output_tokens, self.now())
                self.requests.append(measured)
                tasks.create_task(self._send(measured, *body))

    async def _send(self, measured: SentRequest, path: str, body: dict[str, object]) -> None:
        measured.sent_s = self.now()
        self.in_flight += 1
        try:
            await self._follow(measured, path, body)
        except AutoscalerError as error:
            if self._refuses_all(error):
                raise
            measured.error = " ".join(str(error).split())
            measured.failure = error.kind if isinstance(error, ServerError) else "rejected"
        finally:
            self.in_flight -= 1

    def _refuses_all(self, error: AutoscalerError) -> bool:
        """True if the server refuses every request; a run that has measured something continues."""
        refused = isinstance(error, RequestError) and error.status in REFUSES_ALL
        return refused and all(request.ttft_s is None for request in self.requests)

    async def _follow(self, measured: SentRequest, path: str, body: dict[str, object]) -> None:
        last_s = None
        async for piece in self.endpoint.stream(path, body):
            now = self.now() - measured.sent_s
            if piece.completion_tokens is not None:
                measured.completion_tokens = piece.completion_tokens
            if not piece.output:
                continue
            if last_s is None:
                measured.ttft_s = now
            else:
                measured.max_gap_s = max(measured.max_gap_s, now - last_s)
            last_s = now
        if last_s is None:
            measured.error, measured.failure = "the answer has no tokens", "empty"
        else:
            measured.e2e_s = last_s
