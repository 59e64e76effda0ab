"""vLLM v1's scheduler read plainly, step by step and block by block. Read this page to understand it.

A step of the engine (``vllm/v1/core/sched/scheduler.py``) is planned like this:

1. The running requests come first, in order of admission. Each gets its next token, or the next piece of
   its prompt, while the step's budget of tokens (``max_num_batched_tokens``) lasts.
2. A request that needs a KV block when none is free preempts the newest running request, which gives all of
   its blocks back and waits at the head of the queue, to compute everything again.
3. If no request was preempted, waiting requests are admitted in order of arrival, as long as there is budget,
   a place (``max_num_seqs``) and enough free blocks for the whole prompt, although only a piece of it may
   be computed now. The beginning of the prompt that is found in the prefix cache need not be computed.

Then the GPU computes, and every request whose prompt is complete gets one more token. With async scheduling
the next step is planned while one is computed: a request that arrives meanwhile joins the step after the
next, and a request that ends gives its blocks and its place back one step later.

``simulator.vllm.engine`` computes the same in closed form, a hundred times faster, and shares none of this
code; tests hold the two equal on every request, gauge and preemption.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf

from simulator.vllm.profile import Profile
from simulator.vllm.replica import ApiServer, Replica
from simulator.vllm.request_table import RequestTable


@dataclass(eq=False, slots=True)
class Block:
    """One KV block. ``content``: as the trace names it; ``users``: the number of requests that read it."""

    content: tuple[int, int] | None = None
    users: int = 0


class BlockPool:
    """The blocks of one replica; ``free`` has them in the order in which they were freed."""

    def __init__(self, total: int) -> None:
        self.free: OrderedDict[Block, None] = OrderedDict.fromkeys(Block() for _ in range(total))
        self._known: dict[tuple[int, int], list[Block]] = {}

    def take(self, count: int) -> list[Block]:
        """Takes the blocks that were freed first; their content is gone."""
        return [self._empty(self.free.popitem(last=False)[0]) for _ in range(count)]

    def _empty(self, block: Block) -> Block:
        if block.content is not None:
            self._known[block.content].remove(block)
        block.content, block.users = None, 1
        return block

    def give_back(self, blocks: list[Block]) -> None:
        """Frees blocks, the last one first, so that the beginning of a prompt stays longest."""
        for block in reversed(blocks):
            block.users -= 1
            if block.users == 0:
                self.free[block] = None

    def fill(self, block: Block, content: tuple[int, int]) -> None:
        """Notes the content of a block that is full; from now on it can be found."""
        block.content = content
        self._known.setdefault(content, []).append(block)

    def find(self, contents: list[tuple[int, int]]) -> list[Block]:
        """Blocks with these contents, up to the first one that is not cached."""
        found = []
        for content in contents:
            known = self._known.get(content)
            if not known:
                break
            found.append(known[0])
        return found

    def use(self, blocks: list[Block]) -> None:
        """Adds a request that reads these blocks."""
        for block in blocks:
            block.users += 1
            self.free.pop(block, None)


@dataclass(eq=False, slots=True)
class SteppedRequest:
    """A request in the engine. ``computed``: tokens in the KV cache; ``eligible``: first step to plan it."""

    row: int
    prompt: int
    output: int
    contents: list[tuple[int, int]]
    eligible: int
    generated: int = 0
    computed: int = 0
    blocks: list[Block] = field(default_factory=list)
    in_prefill: bool = True

    @property
    def to_compute(self) -> int:
        """Tokens that still need a forward pass before the next one can be sampled."""
        return self.prompt + self.generated - self.computed


class SteppedReplica(Replica):
    """One vLLM server, one step after the other."""

    def __init__(self, profile: Profile, requests: RequestTable, name: str, index: int, now: float) -> None:
        super().__init__(profile, requests, name, index, now)
        self._cost = profile.step_time
        self._limits = profile.scheduler
        self._block = profile.scheduler.block_size_tokens
        self._window = profile.memory.sliding_window_tokens
        self._pool = BlockPool(self.total_blocks)
        self._api = ApiServer(profile.step_time, now)
        self._waiting: list[SteppedRequest] = []
        self._running: list[SteppedRequest] = []
        self._chunks: list[tuple[SteppedRequest, int]] = []  # the step in progress: requests, tokens of each
        self._ended: list[SteppedRequest] = []  # have ended and still have their blocks
        self._outputs: list[SteppedRequest] = []  # have a token that the API server has not seen yet
        self._step = 0
        self._start = self._start_before = now  # of this step, and of the one before
        self._launched = now  # when the host has launched the step in progress

    @property
    def running(self) -> int:
        """``vllm:num_requests_running``."""
        return len(self._running)

    def waiting(self, now: float) -> int:  # noqa: ARG002
        """``vllm:num_requests_waiting``: requests that this step could have planned."""
        return sum(1 for request in self._waiting if request.eligible <= self._step)

    def kv_usage(self, now: float) -> float:  # noqa: ARG002
        """``vllm:kv_cache_usage_perc``, 0 to 1; ended requests no longer count."""
        return len({block for request in self._running for block in request.blocks}) / self.total_blocks

    def busy_until(self, now: float) -> float:
        """Seconds spent in steps up to ``now``."""
        return self.busy_s + (now - self._start if self._chunks else 0.0)

    def tokens_generated_until(self, now: float) -> int:  # noqa: ARG002
        """Tokens emitted up to ``now``."""
        return self.generated_tokens

    def submit(self, row: int, now: float) -> None:
        """Takes a request at ``now``; with async scheduling the next step may be planned already.

        It is refused if ``max_num_queued_reqs`` others run or wait.
        """
        if self.is_full:
            self.refuse(row)
            return
        table = self._requests
        table.replica[row] = self.index
        self.in_flight += 1
        request = SteppedRequest(
            row, table.prompt_tokens[row], table.output_tokens[row], self._contents(row), 0
        )
        self._waiting.append(request)
        self._api.accept(request.prompt, now)
        if self._chunks:
            planned = self._limits.async_scheduling and now >= self._launched
            request.eligible = self._step + (2 if planned else 1)
        else:
            request.eligible = self._step
            self._start = self._start_before = self._launched = now
            self._begin_step()

    def _contents(self, row: int) -> list[tuple[int, int]]:
        """The content of each full block of a prompt: its place, and the hash of all tokens so far."""
        if not self._limits.enable_prefix_caching:
            return []
        ids, piece = self._requests.hash_ids[row], self._requests.hash_block_tokens
        known = min(self._requests.prompt_tokens[row], len(ids) * piece)
        ends = range(self._block, known + 1, self._block)
        return [(end, ids[(end - 1) // piece]) for end in ends]

    def advance(self, now: float) -> None:
        """Lets every step end that ends at or before ``now``."""
        while self.run_end <= now:
            self._end_step()

    # -- a step -----------------------------------------------------------------------------

    def _begin_step(self) -> None:
        """Plans a step and launches it."""
        asynchronous = self._limits.async_scheduling
        if not asynchronous or not self._running:
            self._free_ended()
        self._chunks, preempted = self._plan_running()
        if not preempted:
            self._admit()
        if not self._chunks:  # the only running request preempted itself: it is first in the queue
            self._waiting[0].eligible = self._step
            self._begin_step()
            return
        # The host begins to launch when the step before began, or once it had launched that step.
        launch_from = max(self._start_before, self._launched) if asynchronous else self._start
        self._launched = launch_from + self._launch_s()
        looked_at = max(self._start, self._launched) if asynchronous else self._start
        self._send(looked_at + self._cost.output_delay_ms / 1e3)
        self.run_end = self._start + self._step_s()
        if any(request.in_prefill for request, _ in self._chunks):
            self.run_end = max(self.run_end, self._launched)
            self.prompt_tokens += sum(tokens for request, tokens in self._chunks if request.in_prefill)

    def _end_step(self) -> None:
        """Gives each request whose tokens are all computed one more token; its last token ends it."""
        end = self.run_end
        self.busy_s += end - self._start
        decoding = sum(1 for request, _ in self._chunks if not request.in_prefill)
        if decoding and self.observer is not None:
            self.observer.decode_run(decoding, 1, end - self._start, 0.0)
        self._free_ended()
        for request, tokens in self._chunks:
            request.computed += tokens
            if not request.to_compute:
                self._emit(request, end)
        self._step += 1
        self._start_before, self._start = self._start, end
        if self._running or self._waiting:
            self._begin_step()
        else:
            self._chunks, self.run_end = [], inf
            self._send(end)

    def _emit(self, request: SteppedRequest, end: float) -> None:
        request.generated += 1
        request.in_prefill = False
        self.generated_tokens += 1
        self._outputs.append(request)
        if request.generated == request.output:
            self._running.remove(request)
            self._ended.append(request)
            self.in_flight -= 1
            self.finished += 1
            self.last_finish = end

    def _free_ended(self) -> None:
        for request in self._ended:
            self._pool.give_back(request.blocks)
        self._ended = []

    def _send(self, ready: float) -> None:
        """Sends the tokens of a step that the host has read to the clients."""
        if not self._outputs:
            return
        api, table = self._api, self._requests
        api.send(len(self._outputs), ready)
        for request in self._outputs:
            row = request.row
            latency = api.front + api.overhead_s(request.prompt) - table.arrival_s[row]
            if request.generated == 1:
                table.ttft_s[row] = latency
                if self.observer is not None:
                    self.observer.first_token(latency)
            if request.generated == request.output:
                table.complete(row, latency)
        self._outputs = []

    # -- planning ---------------------------------------------------------------------------

    def _plan_running(self) -> tuple[list[tuple[SteppedRequest, int]], bool]:
        """The running requests with their tokens of this step; and whether one was preempted."""
        chunks: list[tuple[SteppedRequest, int]] = []
        budget = self._limits.max_num_batched_tokens
        before = len(self._running)
        while len(chunks) < len(self._running) and budget > 0:
            request = self._running[len(chunks)]
            tokens = min(request.to_compute, budget)
            if self._allocate(request, tokens):
                chunks.append((request, tokens))
                budget -= tokens
            else:
                self._preempt(self._running.pop())
        return chunks, len(self._running) < before

    def _admit(self) -> None:
        """Admits from the head of the queue and adds to the step."""
        budget = self._limits.max_num_batched_tokens - sum(tokens for _, tokens in self._chunks)
        idle = not self._running
        caching = self._limits.enable_prefix_caching
        while self._waiting and budget > 0:
            request = self._waiting[0]
            if request.eligible > self._step and not idle:
                break
            if len(self._running) + len(self._ended) >= self._limits.max_num_seqs:
                break
            # The last token is always computed: its result is the first new token.
            cached = self._pool.find(request.contents[: (request.to_compute - 1) // self._block])
            if not self._has_room(request, cached):
                break
            self._pool.use(cached)
            request.blocks, request.computed = cached, len(cached) * self._block
            tokens = min(request.to_compute, budget)
            assert self._allocate(request, tokens)
            self._running.append(self._waiting.pop(0))
            self._requests.schedule(request.row, self._start, request.computed if caching else None)
            self._chunks.append((request, tokens))
            budget -= tokens

    def _has_room(self, request: SteppedRequest, cached: list[Block]) -> bool:
        """True if the blocks of the whole prompt are free, in both groups where there is a window."""
        groups = 1 if self._window is None else 2
        needed = groups * -(-request.to_compute // self._block) - len(cached)
        return needed + sum(1 for block in cached if not block.users) <= len(self._pool.free)

    def _allocate(self, request: SteppedRequest, tokens: int) -> bool:
        """Blocks for the next tokens of a request, if there are enough."""
        more = self._blocks_for(request.computed + tokens) - len(request.blocks)
        if more > len(self._pool.free):
            return False
        request.blocks += self._pool.take(more)
        full = (request.computed + tokens) // self._block
        for block, content in zip(request.blocks[:full], request.contents, strict=False):
            if block.content is None:
                self._pool.fill(block, content)
        return True

    def _preempt(self, request: SteppedRequest) -> None:
        """Preempts a request: it waits at the head of the queue and computes everything again."""
        self._pool.give_back(request.blocks)
        request.blocks, request.computed, request.in_prefill = [], 0, True
        request.eligible = self._step
        self._requests.preempt(request.row)
        self._waiting.insert(0, request)

    # -- costs ------------------------------------------------------------------------------

    def _blocks_for(self, tokens: int) -> int:
        """One block for each ``block_size`` tokens; with a window also the blocks of the windowed layers."""
        blocks = -(-tokens // self._block)
        return blocks if self._window is None else blocks + min(blocks, self._window // self._block + 1)

    def _reads(self, tokens: int) -> float:
        """Cached tokens that a decoding request reads; half of the layers stop at the window."""
        if self._window is None:
            return tokens
        remembered = (self._window // self._block + 1) * self._block
        return tokens if tokens <= remembered else (tokens + remembered) / 2

    def _launch_s(self) -> float:
        """Seconds the host needs to launch the step; hidden, so 0, for a step without a prompt."""
        if not any(request.in_prefill for request, _ in self._chunks):
            return 0.0
        if sum(tokens for _, tokens in self._chunks) <= self._cost.cuda_graph_tokens:
            return self._cost.prefill_floor_ms / 1e3
        return max(self._cost.prefill_floor_ms, self._cost.eager_floor_ms) / 1e3

    def _step_s(self) -> float:
        """The step's work on the GPU, by the profile's formula."""
        cost = self._cost
        decoding = [request for request, _ in self._chunks if not request.in_prefill]
        prompts = [(request, tokens) for request, tokens in self._chunks if request.in_prefill]
        experts = 1.0 - (1.0 - cost.experts_share) ** sum(tokens for _, tokens in self._chunks)
        squared = sum(tokens * (2 * request.computed + tokens) for request, tokens in prompts)
        return (
            cost.base_ms / 1e3
            + cost.per_sequence_us / 1e6 * len(decoding)
            + cost.experts_ms / 1e3 * experts
            + cost.per_kv_token_ns / 1e9 * sum(self._reads(request.computed) for request in decoding)
            + cost.per_prefill_token_us / 1e6 * sum(tokens for _, tokens in prompts)
            + cost.per_prefill_token_squared_ns / 1e9 * squared
        )
