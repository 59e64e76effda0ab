"""vLLM v1's scheduler, step by step and block by block: the slow, plain reading of its rules.

It shares no code with ``simulator.engine``, which jumps; the two must agree on every request.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.profile import Profile


@dataclass
class Request:
    """One request and what became of it; times in seconds."""

    arrival: float
    prompt: int
    output: int
    eligible: int = 0
    generated: int = 0
    computed: int = 0
    blocks: int = 0
    scheduled_at: float | None = None
    first_token_at: float | None = None
    finished_at: float | None = None
    preemptions: int = 0
    in_prefill: bool = True

    @property
    def to_compute(self) -> int:
        """Tokens that still need a forward pass before the next one can be sampled."""
        return self.prompt + self.generated - self.computed


@dataclass
class Reference:
    """One replica. ``run`` replays requests that are sorted by arrival."""

    profile: Profile
    waiting: list[Request] = field(default_factory=list)
    running: list[Request] = field(default_factory=list)
    gauges: list[tuple[float, int, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        scheduler = self.profile.scheduler
        memory = self.profile.memory
        self.block = scheduler.block_size_tokens
        self.window = memory.sliding_window_tokens
        pool = memory.kv_cache_tokens // self.block
        self.total = pool if memory.kv_cache_blocks is None else memory.kv_cache_blocks - 1
        self.free = self.total
        self.asynchronous = scheduler.async_scheduling
        self.ended: list[Request] = []
        self.front = 0.0
        self.outputs: list[Request] = []

    def run(self, requests: list[Request]) -> None:
        """Steps until everything has finished; appends (time, running, waiting, kv) per step."""
        arrivals = list(requests)
        now, step = 0.0, 0
        previous_start = launched = 0.0
        while arrivals or self.waiting or self.running:
            if not self.waiting and not self.running:
                now = max(now, arrivals[0].arrival)
                first = arrivals.pop(0)
                first.eligible = step
                self.accept(first)
                previous_start = launched = now
            if not self.asynchronous or not self.running:
                self.free_ended()
            held = list(self.ended)
            chunks = self.schedule(step, now)
            if not chunks:
                self.waiting[0].eligible = step
                continue
            # The host begins to launch when the step before began, or now if it then launched itself.
            launch = max(previous_start, launched) if self.asynchronous else now
            launched = launch + self.launch_seconds(chunks)
            delay = self.profile.step_time.output_delay_ms / 1e3
            self.deliver((max(now, launched) if self.asynchronous else now) + delay)
            end = now + self.seconds(chunks)
            if any(request.in_prefill for request, _ in chunks):
                end = max(end, launched)
            # A request on a boundary finds the step that begins there in progress.
            busy = self.total - self.free - sum(request.blocks for request in self.ended)
            left = sum(1 for request in self.waiting if request.eligible <= step)
            self.gauges.append((now, len(self.running), left, busy / self.total))
            while arrivals and arrivals[0].arrival < end:
                late = arrivals.pop(0)
                planned = self.asynchronous and late.arrival >= launched
                late.eligible = step + (2 if planned else 1)
                self.accept(late)
            for request in held:
                self.give_back(request)
            self.emit(chunks)
            previous_start, now, step = now, end, step + 1
            if not self.running and not self.waiting:
                self.deliver(now)

    def accept(self, request: Request) -> None:
        """The API server takes a request; it does one thing after the other."""
        self.front = max(self.front, request.arrival) + self.overhead(request)
        self.waiting.append(request)

    def overhead(self, request: Request) -> float:
        """Seconds of the API server for a request."""
        cost = self.profile.step_time
        per_token = cost.request_overhead_per_prompt_token_us / 1e6
        return cost.request_overhead_ms / 1e3 + per_token * request.prompt

    def free_ended(self) -> None:
        """Gives back the blocks of everything that has ended."""
        for request in list(self.ended):
            self.give_back(request)

    def give_back(self, request: Request) -> None:
        """Frees the blocks, and the place, of a request that has ended."""
        self.ended.remove(request)
        self.free += request.blocks
        request.blocks = 0

    def schedule(self, step: int, now: float) -> list[tuple[Request, int]]:
        """(request, tokens) of one step: the running ones first, then admissions."""
        budget = self.profile.scheduler.max_num_batched_tokens
        chunks: list[tuple[Request, int]] = []
        preempted = False
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            tokens = min(request.to_compute, budget)
            while not self.allocate(request, tokens):
                victim = self.running.pop()
                self.preempt(victim, step)
                preempted = True
                if victim is request:
                    break
            else:
                chunks.append((request, tokens))
                budget -= tokens
                index += 1
                continue
            break
        idle = not self.running
        while self.waiting and not preempted and budget > 0:
            if len(self.running) + len(self.ended) >= self.profile.scheduler.max_num_seqs:
                break
            request = self.waiting[0]
            if request.eligible > step and not idle:
                break
            groups = 1 if self.window is None else 2
            if groups * -(-request.to_compute // self.block) > self.free:
                break
            self.waiting.pop(0)
            self.running.append(request)
            tokens = min(request.to_compute, budget)
            assert self.allocate(request, tokens)
            if request.scheduled_at is None:
                request.scheduled_at = now
            chunks.append((request, tokens))
            budget -= tokens
        return chunks

    def allocate(self, request: Request, tokens: int) -> bool:
        """Blocks for the next tokens of a request, if there are enough."""
        more = self.blocks_for(request.computed + tokens) - request.blocks
        if more > self.free:
            return False
        self.free -= more
        request.blocks += more
        return True

    def blocks_for(self, tokens: int) -> int:
        """One block for each 16 tokens; with a window also those of the layers that forget."""
        blocks = -(-tokens // self.block)
        if self.window is None:
            return blocks
        return blocks + min(blocks, self.window // self.block + 1)

    def reads(self, tokens: int) -> float:
        """Cached tokens that a decoding sequence reads; half of the layers stop at the window."""
        if self.window is None:
            return tokens
        remembered = (self.window // self.block + 1) * self.block
        return tokens if tokens <= remembered else (tokens + remembered) / 2

    def launch_seconds(self, chunks: list[tuple[Request, int]]) -> float:
        """What the host needs to launch a step; hidden where there is no prompt in it."""
        cost = self.profile.step_time
        if not any(request.in_prefill for request, _ in chunks):
            return 0.0
        if sum(tokens for _, tokens in chunks) <= cost.cuda_graph_tokens:
            return cost.prefill_floor_ms / 1e3
        return max(cost.prefill_floor_ms, cost.eager_floor_ms) / 1e3

    def preempt(self, request: Request, step: int) -> None:
        """Recompute later, from the head of the queue."""
        self.free += request.blocks
        request.blocks = request.computed = 0
        request.preemptions += 1
        request.in_prefill = True
        request.eligible = step
        self.waiting.insert(0, request)

    def seconds(self, chunks: list[tuple[Request, int]]) -> float:
        """The step's work on the GPU, from the profile's formula."""
        cost = self.profile.step_time
        decoding = [request for request, _ in chunks if not request.in_prefill]
        prompts = [(request, tokens) for request, tokens in chunks if request.in_prefill]
        return (
            cost.base_ms / 1e3
            + cost.per_sequence_us / 1e6 * len(decoding)
            + cost.experts_ms
            / 1e3
            * (1.0 - (1.0 - cost.experts_share) ** sum(tokens for _, tokens in chunks))
            + cost.per_kv_token_ns / 1e9 * sum(self.reads(request.computed) for request in decoding)
            + cost.per_prefill_token_us / 1e6 * sum(tokens for _, tokens in prompts)
            + cost.per_prefill_token_squared_ns
            / 1e9
            * sum(tokens * (2 * request.computed + tokens) for request, tokens in prompts)
        )

    def emit(self, chunks: list[tuple[Request, int]]) -> None:
        """Every request whose context is complete has a token, and the last one ends it."""
        for request, tokens in chunks:
            request.computed += tokens
            if request.to_compute:
                continue
            request.generated += 1
            request.in_prefill = False
            self.outputs.append(request)
            if request.generated == request.output:
                self.running.remove(request)
                self.ended.append(request)

    def deliver(self, ready: float) -> None:
        """The API server sends the tokens of a step that the host has looked at: one by one."""
        if not self.outputs:
            return
        self.front = max(self.front, ready)
        self.front += len(self.outputs) * self.profile.step_time.per_output_token_us / 1e6
        for request in self.outputs:
            if request.first_token_at is None:
                request.first_token_at = self.front + self.overhead(request)
            if request.generated == request.output:
                request.finished_at = self.front + self.overhead(request)
        self.outputs.clear()
