"""The requests of a run, one row each, in columns: arrival, tokens, times, outcome."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from math import isnan, nan
from typing import NamedTuple


class RequestOutcome(IntEnum):
    """How a request ended; each ends exactly once."""

    UNFINISHED = 0
    COMPLETED = 1
    REJECTED = 2


class TokenLimit(NamedTuple):
    """The most tokens of a request, prompt and output together; ``name``: the field of the profile."""

    name: str
    tokens: int


class QueueLimit(NamedTuple):
    """The most requests in a replica, running and waiting together; ``name``: the field of the profile."""

    name: str
    queued: int


HASH_BLOCK_TOKENS = 512
"""Prompt tokens that one of a trace's ``hash_ids`` stands for, as in Mooncake's traces."""


@dataclass(frozen=True, slots=True)
class Slo:
    """The service level objective of one request. Rejected and unfinished requests miss it."""

    ttft_s: float
    tpot_s: float


class RequestTable:
    """One row per replayed request, in arrival order, as columns; and the latencies of completed requests.

    Times in seconds. ``queue_s``, ``ttft_s`` and ``e2e_s`` are counted from the arrival, and NaN
    until they happen; ``replica`` is -1 until the request is routed. ``hash_ids`` name the content of
    a prompt in pieces of ``hash_block_tokens``, if the trace has them; ``hit_tokens``: prompt tokens
    found in the prefix cache.

    With ``keep_rows=False`` the row of an ended request is used again, so that ten million requests
    fit. Then only the ``done_*`` columns (in order of completion), the ``missed_*`` columns and the
    counts cover the whole run.

    With an ``slo`` the ``missed_*`` columns have the arrival and the tokens of each request that ended
    without meeting it, in the order of their ends.
    """

    __slots__ = (
        "_free",
        "arrival_s",
        "done_e2e_s",
        "done_output_tokens",
        "done_ttft_s",
        "e2e_s",
        "hash_block_tokens",
        "hash_ids",
        "hit_tokens",
        "keep_rows",
        "missed_arrival_s",
        "missed_output_tokens",
        "missed_prompt_tokens",
        "outcome",
        "output_tokens",
        "preempted",
        "preemptions",
        "prefix_hit_tokens",
        "prefix_queried_tokens",
        "prompt_tokens",
        "queue_s",
        "rejected",
        "rejected_by",
        "replica",
        "requests",
        "slo",
        "ttft_s",
    )

    def __init__(
        self,
        *,
        keep_rows: bool = True,
        hash_block_tokens: int = HASH_BLOCK_TOKENS,
        slo: Slo | None = None,
    ) -> None:
        self.keep_rows = keep_rows
        self.slo = slo
        self.requests = self.rejected = self.preempted = 0
        self.prefix_queried_tokens = self.prefix_hit_tokens = 0
        self.hash_block_tokens = hash_block_tokens
        self.rejected_by: Counter[TokenLimit | QueueLimit] = Counter()
        self._free: list[int] = []
        self.arrival_s = array("d")
        self.prompt_tokens = array("i")
        self.output_tokens = array("i")
        self.queue_s = array("d")
        self.ttft_s = array("d")
        self.e2e_s = array("d")
        self.preemptions = array("i")
        self.replica = array("i")
        self.outcome = array("b")
        self.hit_tokens = array("i")
        self.hash_ids: list[tuple[int, ...]] = []
        self.done_ttft_s = array("d")
        self.done_e2e_s = array("d")
        self.done_output_tokens = array("i")
        self.missed_arrival_s = array("d")
        self.missed_prompt_tokens = array("i")
        self.missed_output_tokens = array("i")

    def __len__(self) -> int:
        return self.requests

    @property
    def completed(self) -> int:
        """How many requests completed."""
        return len(self.done_e2e_s)

    def add(
        self, arrival_s: float, prompt_tokens: int, output_tokens: int, hash_ids: tuple[int, ...] = ()
    ) -> int:
        """Adds a request that has not ended yet; returns its row."""
        self.requests += 1
        if self._free:
            row = self._reuse(self._free.pop(), arrival_s, prompt_tokens, output_tokens)
            self.hash_ids[row] = hash_ids
            return row
        self.arrival_s.append(arrival_s)
        self.prompt_tokens.append(prompt_tokens)
        self.output_tokens.append(output_tokens)
        self.queue_s.append(nan)
        self.ttft_s.append(nan)
        self.e2e_s.append(nan)
        self.preemptions.append(0)
        self.replica.append(-1)
        self.outcome.append(RequestOutcome.UNFINISHED)
        self.hit_tokens.append(0)
        self.hash_ids.append(hash_ids)
        return len(self.arrival_s) - 1

    def _reuse(self, row: int, arrival_s: float, prompt_tokens: int, output_tokens: int) -> int:
        self.arrival_s[row] = arrival_s
        self.prompt_tokens[row] = prompt_tokens
        self.output_tokens[row] = output_tokens
        self.queue_s[row] = self.ttft_s[row] = self.e2e_s[row] = nan
        self.preemptions[row] = self.hit_tokens[row] = 0
        self.replica[row] = -1
        self.outcome[row] = RequestOutcome.UNFINISHED
        return row

    def schedule(self, row: int, now: float, hit_tokens: int | None) -> None:
        """Notes that a request is admitted; only the first time counts.

        ``hit_tokens``: prompt tokens found in the prefix cache; None without a prefix cache.
        """
        if not isnan(self.queue_s[row]):
            return
        self.queue_s[row] = now - self.arrival_s[row]
        if hit_tokens is not None:
            self.hit_tokens[row] = hit_tokens
            self.prefix_hit_tokens += hit_tokens
            self.prefix_queried_tokens += self.prompt_tokens[row]

    def preempt(self, row: int) -> None:
        """Counts a preemption."""
        self.preemptions[row] += 1
        self.preempted += 1

    def complete(self, row: int, e2e_s: float) -> None:
        """Ends a request whose ``ttft_s`` is known."""
        self.e2e_s[row] = e2e_s
        self.outcome[row] = RequestOutcome.COMPLETED
        self.done_ttft_s.append(self.ttft_s[row])
        self.done_e2e_s.append(e2e_s)
        tokens = self.output_tokens[row]
        self.done_output_tokens.append(tokens)
        slo = self.slo
        if slo is not None:
            ttft_s = self.ttft_s[row]
            if ttft_s > slo.ttft_s or (tokens > 1 and (e2e_s - ttft_s) / (tokens - 1) > slo.tpot_s):
                self._miss(row)
        if not self.keep_rows:
            self._free.append(row)

    def reject(self, row: int, limit: TokenLimit | QueueLimit | None = None) -> None:
        """Ends a request that was not served: a ``limit`` refused it or, without one, its client left."""
        self.outcome[row] = RequestOutcome.REJECTED
        self.rejected += 1
        if limit is not None:
            self.rejected_by[limit] += 1
        if self.slo is not None:
            self._miss(row)
        if not self.keep_rows:
            self._free.append(row)

    def close(self) -> None:
        """Ends the run: requests that have not ended miss the SLO."""
        if self.slo is None or self.completed + self.rejected == self.requests:
            return
        for row in range(len(self.outcome)):
            if self.outcome[row] == RequestOutcome.UNFINISHED:
                self._miss(row)

    def _miss(self, row: int) -> None:
        self.missed_arrival_s.append(self.arrival_s[row])
        self.missed_prompt_tokens.append(self.prompt_tokens[row])
        self.missed_output_tokens.append(self.output_tokens[row])

    def tpot_s(self, row: int) -> float | None:
        """Mean seconds per output token after the first; None for one token, or before the end."""
        if self.outcome[row] != RequestOutcome.COMPLETED or self.output_tokens[row] < 2:
            return None
        return (self.e2e_s[row] - self.ttft_s[row]) / (self.output_tokens[row] - 1)
