"""The server between API and engine: it takes requests and emits tokens, each at its time.

Pure: time is an argument, so tests run in simulated time and a pod in real time. The engine jumps
over runs of equal steps; this server asks it how many tokens each request has by now.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf, isnan
from typing import Literal, Protocol

from simulator.vllm.engine import FastReplica
from simulator.vllm.profile import Profile
from simulator.vllm.request_table import RequestOutcome, RequestTable

FinishReason = Literal["stop", "length", "abort"]


class Generation:
    """One request inside the server.

    ``max_tokens``: the tokens that the client allows; ``output``: the tokens of the answer, or those
    sent before an abort. ``first_at`` and ``done_at``: the times at which the first token and the end
    leave the server; ``inf`` until they are known.
    """

    __slots__ = ("arrived_at", "done_at", "first_at", "max_tokens", "output", "prompt", "reason", "row")

    def __init__(
        self, row: int, prompt: int, output: int, max_tokens: int, reason: FinishReason, now: float
    ) -> None:
        self.row = row
        self.prompt = prompt
        self.output = output
        self.max_tokens = max_tokens
        self.reason = reason
        self.arrived_at = now
        self.first_at = inf
        self.done_at = inf


class QueueFullError(Exception):
    """The server has as many requests as it may have."""


class ServingObserver(Protocol):
    """Receives the events of the server, for ``/metrics``."""

    def first_token(self, answer: Generation) -> None:
        """``answer.first_at`` is known."""

    def run(
        self, prompt_tokens: int, sequences: int, steps: int, first_step_s: float, growth_s: float
    ) -> None:
        """``steps`` steps emitted ``sequences`` tokens each; a single step computed ``prompt_tokens``."""

    def finished(self, answer: Generation, queue_s: float) -> None:
        """``answer.done_at`` is known; ``queue_s``: arrival to first step."""

    def aborted(self) -> None:
        """An answer ended before it was complete: its client disconnected, or the server ends."""


class Serving:
    """One vLLM server. Times never go back; ``now`` is the time that it was advanced to."""

    def __init__(self, profile: Profile, observer: ServingObserver, name: str, now: float) -> None:
        self.now = now
        self._table = RequestTable(keep_rows=False)
        self.replica = FastReplica(profile, self._table, name, 0, now)
        self._run = self.replica.observer = _Run()
        self._observer = observer
        self._prompt_tokens = 0
        self._working: dict[int, Generation] = {}  # by row, in order of arrival
        self._due: list[float] = []  # the known times at which something leaves the server

    @property
    def in_flight(self) -> int:
        """Requests that the engine has not finished."""
        return len(self._working)

    @property
    def preemptions(self) -> int:
        """Preemptions so far."""
        return self._table.preempted

    def submit(
        self, prompt: int, output: int, max_tokens: int, reason: FinishReason, now: float
    ) -> Generation:
        """Takes a request of ``prompt`` tokens whose answer has ``output`` tokens; both from 1 up.

        Raises:
            QueueFullError: ``max_num_queued_reqs`` others run or wait.
        """
        self.advance(now)
        row = self._table.add(now, prompt, output)
        if self.replica.is_full:
            self.replica.refuse(row)
            raise QueueFullError
        answer = self._working[row] = Generation(row, prompt, output, max_tokens, reason, now)
        self.replica.submit(row, now)
        return answer

    def advance(self, now: float) -> None:
        """Processes every event up to and including ``now``."""
        replica = self.replica
        while replica.run_end <= now:
            self._finish_run()
        self.now = now
        while self._due and self._due[0] <= now:
            heappop(self._due)

    def next_event(self) -> float:
        """The time at which a run of steps ends or something leaves the server; ``inf`` when idle."""
        return min(self.replica.run_end, self._due[0] if self._due else inf)

    def tokens(self, answer: Generation) -> int:
        """Tokens of an answer that have left the server.

        The last token leaves at ``done_at``; the engine's delay of the tokens before it is left out.
        """
        if self.now < answer.first_at:
            return 0
        if self.now >= answer.done_at:
            return answer.output
        if answer.row not in self._working:
            return answer.output - 1
        return min(max(self.replica.tokens_of(answer.row, self.now), 1), answer.output - 1)

    def abort(self, answer: Generation, now: float) -> None:
        """Ends an answer with the tokens sent so far; an answer that the engine has completed stays whole."""
        self.advance(now)
        if self._working.get(answer.row) is answer:
            answer.output, answer.reason, answer.done_at = self.tokens(answer), "abort", now
            del self._working[answer.row]
            self.replica.abort(answer.row, now)
            self._observer.aborted()

    def abort_all(self, now: float) -> None:
        """Aborts every answer that the engine has not finished."""
        for answer in list(self._working.values()):
            self.abort(answer, now)

    def _finish_run(self) -> None:
        """Ends one run of the engine; it computed the prompt tokens that were planned before it."""
        replica, run = self.replica, self._run
        planned, self._prompt_tokens = replica.prompt_tokens - self._prompt_tokens, replica.prompt_tokens
        run.sequences, run.steps = 0, 1
        replica.advance(replica.run_end)
        self._observer.run(planned, run.sequences, run.steps, run.first_step_s, run.growth_s)
        self._collect()

    def _collect(self) -> None:
        table = self._table
        ended = []
        for answer in self._working.values():
            row = answer.row
            if answer.first_at == inf and not isnan(table.ttft_s[row]):
                answer.first_at = answer.arrived_at + table.ttft_s[row]
                heappush(self._due, answer.first_at)
                self._observer.first_token(answer)
            if table.outcome[row] == RequestOutcome.COMPLETED:
                answer.done_at = answer.arrived_at + table.e2e_s[row]
                heappush(self._due, answer.done_at)
                self._observer.finished(answer, table.queue_s[row])
                ended.append(row)
        for row in ended:
            del self._working[row]


class _Run:
    """The run that the engine has just ended."""

    def __init__(self) -> None:
        self.sequences = 0
        self.steps = 1
        self.first_step_s = 0.0
        self.growth_s = 0.0

    def first_token(self, ttft_s: float) -> None:
        """Ignored: the table of requests has this latency."""

    def decode_run(self, sequences: int, steps: int, first_step_s: float, growth_s: float) -> None:
        """Notes the run."""
        self.sequences, self.steps = sequences, steps
        self.first_step_s, self.growth_s = first_step_s, growth_s
