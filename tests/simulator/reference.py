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
        self.block = scheduler.block_size_tokens
        self.total = self.profile.memory.kv_cache_tokens // self.block
        self.free = self.total
        self.lag = 2 if scheduler.async_scheduling else 1

    def run(self, requests: list[Request]) -> None:
        """Steps until everything has finished; appends (time, running, waiting, kv) per step."""
        arrivals = list(requests)
        now, step = 0.0, 0
        while arrivals or self.waiting or self.running:
            if not self.waiting and not self.running:
                now = max(now, arrivals[0].arrival)
                first = arrivals.pop(0)
                first.eligible = step
                self.waiting.append(first)
            chunks = self.schedule(step, now)
            if not chunks:
                self.waiting[0].eligible = step
                continue
            end = now + self.seconds(chunks)
            # A request on a boundary finds the step that begins there in progress.
            self.gauges.append((now, len(self.running), len(self.waiting), 1 - self.free / self.total))
            while arrivals and arrivals[0].arrival < end:
                late = arrivals.pop(0)
                late.eligible = step + self.lag
                self.waiting.append(late)
            self.emit(chunks, end)
            now, step = end, step + 1

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
            if len(self.running) >= self.profile.scheduler.max_num_seqs:
                break
            request = self.waiting[0]
            if request.eligible > step and not idle:
                break
            if -(-request.to_compute // self.block) > self.free:
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
        more = -(-(request.computed + tokens) // self.block) - request.blocks
        if more > self.free:
            return False
        self.free -= more
        request.blocks += more
        return True

    def preempt(self, request: Request, step: int) -> None:
        """Recompute later, from the head of the queue."""
        self.free += request.blocks
        request.blocks = request.computed = 0
        request.preemptions += 1
        request.in_prefill = True
        request.eligible = step
        self.waiting.insert(0, request)

    def seconds(self, chunks: list[tuple[Request, int]]) -> float:
        """The step's duration, from the profile's formula."""
        cost = self.profile.step_time
        decoding = [request for request, _ in chunks if not request.in_prefill]
        prompts = [(request, tokens) for request, tokens in chunks if request.in_prefill]
        seconds = (
            cost.base_ms / 1e3
            + cost.per_sequence_us / 1e6 * len(decoding)
            + cost.per_kv_token_ns / 1e9 * sum(request.computed for request in decoding)
            + cost.per_prefill_token_us / 1e6 * sum(tokens for _, tokens in prompts)
            + cost.per_prefill_token_squared_ns
            / 1e9
            * sum(tokens * (2 * request.computed + tokens) for request, tokens in prompts)
        )
        return max(seconds, cost.prefill_floor_ms / 1e3) if prompts else seconds

    def emit(self, chunks: list[tuple[Request, int]], end: float) -> None:
        """Tokens appear at the end of the step that completed their context."""
        overhead = self.profile.step_time.request_overhead_ms / 1e3
        for request, tokens in chunks:
            request.computed += tokens
            if request.to_compute:
                continue
            request.generated += 1
            request.in_prefill = False
            if request.first_token_at is None:
                request.first_token_at = end + overhead
            if request.generated == request.output:
                request.finished_at = end + overhead
                self.running.remove(request)
                self.free += request.blocks
                request.blocks = 0
