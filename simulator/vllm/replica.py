"""One vLLM server as the cluster and the scraper see it, whichever engine is inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import Protocol

from simulator.vllm.profile import Profile, StepTime
from simulator.vllm.request_table import QueueLimit, RequestTable


class StepObserver(Protocol):
    """Receives the tokens as they are emitted, for latency histograms."""

    def first_token(self, ttft_s: float) -> None:
        """A request's first token, ``ttft_s`` after its arrival."""
        ...

    def decode_run(self, sequences: int, steps: int, first_step_s: float, growth_s: float) -> None:
        """``steps`` steps emitted ``sequences`` tokens each; step i took first_step_s + i * growth_s."""
        ...


class Replica(ABC):
    """One vLLM server. Drive it with ``submit`` and ``advance``; times never go back, in seconds.

    ``run_end``: the time of the next change, ``inf`` while idle; ``busy_s``, ``prompt_tokens``,
    ``generated_tokens`` and ``finished``: counted up to the last change. ``refused``: requests that
    came while the server was full, None without a limit.
    """

    def __init__(self, profile: Profile, requests: RequestTable, name: str, index: int, now: float) -> None:
        memory = profile.memory
        self.name = name
        self.index = index
        self.in_flight = 0
        self.run_end = inf
        self.busy_s = 0.0
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.finished = 0
        self.last_finish = now
        self._limit = profile.scheduler.max_num_queued_reqs
        self.refused: int | None = None if self._limit is None else 0
        self.observer: StepObserver | None = None
        self.total_blocks = memory.usable_blocks(profile.scheduler.block_size_tokens)
        self.gpu_memory_mib = (memory.weights_gib + memory.kv_cache_gib) * 1024
        self._requests = requests

    @property
    @abstractmethod
    def running(self) -> int:
        """``vllm:num_requests_running``: decoding sequences and those still in prefill."""

    @abstractmethod
    def waiting(self, now: float) -> int:
        """``vllm:num_requests_waiting``: passed over by the scheduler, or preempted.

        vLLM reads its input between two plans, so requests that arrived since are in no gauge yet.
        """

    @abstractmethod
    def kv_usage(self, now: float) -> float:
        """``vllm:kv_cache_usage_perc`` (0 to 1) at ``now``."""

    @property
    def is_full(self) -> bool:
        """True while it refuses new requests: ``max_num_queued_reqs`` run or wait."""
        return self._limit is not None and self.in_flight >= self._limit

    def refuse(self, row: int) -> None:
        """Counts a request that came while the server was full, and rejects it."""
        assert self._limit is not None, "only a full server refuses"
        self.refused = (self.refused or 0) + 1
        self._requests.reject(row, QueueLimit("max_num_queued_reqs", self._limit))

    @abstractmethod
    def submit(self, row: int, now: float) -> None:
        """Takes a request at ``now``, or refuses it. Call ``advance`` to ``now`` first."""

    @abstractmethod
    def advance(self, now: float) -> None:
        """Processes every event up to and including ``now``."""

    @abstractmethod
    def busy_until(self, now: float) -> float:
        """Seconds spent in steps up to ``now``."""

    @abstractmethod
    def tokens_generated_until(self, now: float) -> int:
        """Tokens emitted up to ``now``."""


class ApiServer:
    """vLLM's front end: one thread that takes requests and sends tokens, one after the other.

    ``front``: the time at which its work so far is done.
    """

    def __init__(self, cost: StepTime, now: float) -> None:
        self.front = now
        self._overhead = cost.request_overhead_ms / 1e3
        self._overhead_per_token = cost.request_overhead_per_prompt_token_us / 1e6
        self._output_s = cost.per_output_token_us / 1e6

    def overhead_s(self, prompt_tokens: int) -> float:
        """Seconds that a request costs before the engine has it."""
        return self._overhead + self._overhead_per_token * prompt_tokens

    def accept(self, prompt_tokens: int, now: float) -> None:
        """Takes a request."""
        self.front = max(self.front, now) + self.overhead_s(prompt_tokens)

    def send(self, tokens: int, ready: float) -> None:
        """Sends the tokens of a step, which are available at ``ready``."""
        self.front = max(self.front, ready) + tokens * self._output_s

    def send_steps(self, steps: int, tokens: int, first_ready: float, last_ready: float) -> None:
        """Sends the tokens of ``steps`` steps, ``tokens`` each.

        A step is sent at ``F = max(F, ready) + tokens * cost``. The times at which steps are ready are
        convex in their number, so the last F follows from the first step or the last one.
        """
        cost = tokens * self._output_s
        self.front = max(max(self.front, first_ready) + steps * cost, last_ready + cost)
