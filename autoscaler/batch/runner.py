"""One run of a batch: sends what has no result yet, as fast as the server takes it, and keeps each result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from autoscaler.batch.congestion import CongestionWindow
from autoscaler.batch.journal import Journal
from autoscaler.batch.request_builder import BatchRequest
from autoscaler.batch.results import RowResult, answered, failed
from autoscaler.client.endpoint import Endpoint
from autoscaler.client.failures import REFUSES_ALL
from autoscaler.errors import RequestError, ServerError


def _quietly(_: ServerError) -> None:
    """Ignores the error."""


async def find_model(
    endpoint: Endpoint,
    window: CongestionWindow,
    patience_s: float,
    on_wait: Callable[[ServerError], None] = _quietly,
) -> str:
    """The server's first model, once the server lists it; ``on_wait`` gets the first error.

    Raises:
        RequestError: it refuses to.
        ServerError: it was not there for longer than the patience.
    """
    started, failures = _now(), 0
    while True:
        try:
            return await endpoint.model()
        except ServerError as error:
            failures += 1
            pause_s = window.pause_s(failures)
            if _now() + pause_s - started > patience_s:
                raise
            if failures == 1:
                on_wait(error)
            await asyncio.sleep(pause_s)


@dataclass(slots=True)
class BatchRun:
    """Sends requests and keeps results.

    ``model``: for the asks that name none; None: the server's first. ``attempts``: how often a row is
    sent before it gets an error; a server that is overloaded, ends or is not there does not count.
    ``patience_s``: the run gives up when no answer has come for this long. ``on_wait`` is called once, if
    the first requests get none: the address may be wrong.
    """

    endpoint: Endpoint
    journal: Journal
    window: CongestionWindow
    model: str | None
    attempts: int
    patience_s: float
    on_result: Callable[[RowResult], None] = lambda _: None
    on_wait: Callable[[ServerError], None] = _quietly
    in_flight: int = 0
    sent: int = 0
    _last_answer: float = 0.0
    _begun: bool = False  # an answer has come, or on_wait was called
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, asks: Iterable[BatchRequest]) -> None:
        """Sends every ask that the journal has no result of.

        Raises:
            InputError: the journal has a result for another ask of that row, or cannot be written.
            RequestError: the server refuses all rows alike.
            ServerError: it was not there, or overloaded, for longer than the patience.
        """
        if self.model is None:
            self.model = await find_model(self.endpoint, self.window, self.patience_s, self.on_wait)
        self._last_answer = _now()
        try:
            await self._send_all(asks)
        except ExceptionGroup as errors:  # the task group's; whatever went wrong first ended the others
            raise errors.exceptions[0] from None

    async def _send_all(self, asks: Iterable[BatchRequest]) -> None:
        # Rows are read as places become free; those that wait for another attempt keep theirs.
        places = asyncio.Semaphore(self.window.most)
        async with asyncio.TaskGroup() as tasks:
            for ask in asks:
                if self.journal.has(ask.row, ask.key):
                    continue
                await places.acquire()
                await self._enter()
                task = tasks.create_task(self._row(ask))
                task.add_done_callback(lambda _: places.release())

    async def _row(self, ask: BatchRequest) -> None:
        """Sends one row until it has a result. The caller has entered for the first attempt."""
        failures = 0
        while True:
            sent_at = _now()
            try:
                answer = await self._post(ask)
            except RequestError as error:
                if error.status in REFUSES_ALL:
                    raise
                return self._keep(failed(ask, failures + 1, str(error)))
            except ServerError as error:
                self._refused(error, sent_at)
                failures += not error.unavailable
                if failures >= self.attempts:
                    return self._keep(failed(ask, failures, str(error)))
            else:
                self.window.answered()
                self._last_answer = _now()
                self._begun = True
                return self._keep(answered(ask, failures + 1, answer))
            if failures:
                await asyncio.sleep(self.window.pause_s(failures))
            await self._enter()

    async def _post(self, ask: BatchRequest) -> dict[str, Any]:
        self.sent += 1
        try:
            return await self.endpoint.post(ask.path, {"model": self.model, **ask.body})
        finally:
            self.in_flight -= 1
            self._changed.set()

    async def _enter(self) -> None:
        """Waits for a place in the window."""
        while True:
            pause_s = self.window.paused_until - _now()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            elif self.in_flight < self.window.limit:
                self.in_flight += 1
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    def _refused(self, error: ServerError, sent_at: float) -> None:
        now = _now()
        self.window.refused(sent_at, now, error.retry_after_seconds)
        if error.unavailable and now - self._last_answer > self.patience_s:
            message = f"no answer for {self.patience_s:g} s, the last was: {error}"
            raise ServerError(message, kind=error.kind)
        if error.unavailable and not self._begun:
            self._begun = True
            self.on_wait(error)

    def _keep(self, result: RowResult) -> None:
        self.journal.append(result)
        self.on_result(result)


def _now() -> float:
    return asyncio.get_running_loop().time()
