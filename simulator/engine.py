"""One vLLM replica as a discrete-event model that jumps over runs of equal steps.

The scheduler is vLLM v1's (``vllm/v1/core/sched/scheduler.py``): each step first gives every
running sequence its next token (or its next prompt chunk), in order of admission; a sequence that
gets no KV block preempts the newest one, which recomputes later from the head of the queue; then,
if nobody was preempted, waiting requests are admitted in order while tokens, sequences and the
blocks of their whole prompt allow. Prompts are chunked under ``max_num_batched_tokens``.

Two facts make jumping exact. Every decoding sequence advances by one token in every step, so a
sequence that joins after step ``j`` with ``r`` tokens to go ends with step ``j + r``: no counter
needs touching in between. And a run of ``k`` steps with ``n`` decoding sequences over ``kv``
cached tokens takes ``k * (base + c * kv) + c * n * k * (k - 1) / 2`` seconds. A run ends when a
sequence ends, when the blocks run out, or when a waiting request can be planned.

At most one prompt is in flight in pieces, and it is the newest running sequence: it takes the
whole budget that decoding leaves until its last piece.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import inf, sqrt

from simulator.profile import Profile
from simulator.result import RequestTable


class Sequence:
    """A request inside one replica.

    ``generated``: tokens emitted before the sequence last joined the decoding ones; ``computed``:
    tokens in the KV cache at that moment; ``joined``: the step that emitted its first token since
    (or a negative number while it does not decode); ``eligible``: first step that may plan it.
    """

    __slots__ = ("computed", "eligible", "generated", "joined", "output", "prompt", "row")

    def __init__(self, row: int, prompt: int, output: int, eligible: int) -> None:
        self.row = row
        self.prompt = prompt
        self.output = output
        self.eligible = eligible
        self.generated = 0
        self.computed = 0
        self.joined = -1

    def last_step(self) -> int:
        """The step that emits the last token; meaningful while decoding."""
        return self.joined + self.output - self.generated

    def tokens_to_compute(self) -> int:
        """Prompt plus what was generated before a preemption."""
        return self.prompt + self.generated


class StepObserver:
    """Told about tokens as they are emitted, for latency histograms. Does nothing."""

    def first_token(self, ttft_s: float) -> None:
        """A request's first token, ``ttft_s`` after its arrival."""

    def decode_run(self, sequences: int, steps: int, first_step_s: float, growth_s: float) -> None:
        """``steps`` steps gave ``sequences`` tokens each; step i took first_step_s + i * growth_s."""


class Replica:
    """One vLLM server. Drive it with ``submit`` and ``advance``; times never go back."""

    def __init__(self, profile: Profile, requests: RequestTable, name: str, index: int, now: float) -> None:
        step = profile.step_time
        self.name = name
        self.index = index
        self.in_flight = 0
        self.run_end = inf
        self.busy_s = 0.0
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.finished = 0
        self.last_finish = now
        self.observer: StepObserver | None = None
        self._requests = requests
        self._base = step.base_ms / 1e3
        self._per_sequence = step.per_sequence_us / 1e6
        self._per_kv_token = step.per_kv_token_ns / 1e9
        self._per_prompt_token = step.per_prefill_token_us / 1e6
        self._per_prompt_token_squared = step.per_prefill_token_squared_ns / 1e9
        self._prefill_floor = step.prefill_floor_ms / 1e3
        self._overhead = step.request_overhead_ms / 1e3
        self._plan_lag = 2 if profile.scheduler.async_scheduling else 1
        self._budget = profile.scheduler.max_num_batched_tokens
        self._max_seqs = profile.scheduler.max_num_seqs
        self._block = profile.scheduler.block_size_tokens
        self.total_blocks = profile.memory.kv_cache_tokens // self._block
        self.gpu_memory_mib = (profile.memory.weights_gib + profile.memory.kv_cache_gib) * 1024
        self._free = self.total_blocks
        self._waiting: deque[Sequence] = deque()
        self._running: dict[int, Sequence] = {}  # by row, in order of admission
        self._partial: Sequence | None = None  # the newest running one, prompt not yet complete
        self._completing: list[Sequence] = []  # their last prompt piece is in this step
        self._ends: list[tuple[int, int, Sequence, int]] = []  # (last step, row, sequence, joined)
        self._decoding = 0
        self._kv_tokens = 0  # computed tokens of the decoding sequences before this run
        self._growth = [0] * self._block  # decoding sequences by the step (mod block) that needs a block
        self._step = 0  # first step of the run in progress, or the next one when idle
        self._run_start = now
        self._run_steps = 0  # 0 when idle
        self._first_step_s = 0.0
        self._growth_s = 0.0

    @property
    def running(self) -> int:
        """``vllm:num_requests_running``: decoding sequences and those still in prefill."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """``vllm:num_requests_waiting``: not admitted yet, or preempted."""
        return len(self._waiting)

    def submit(self, row: int, now: float) -> None:
        """Takes a request at ``now``; the replica has been advanced to ``now``."""
        requests = self._requests
        requests.replica[row] = self.index
        self.in_flight += 1
        sequence = Sequence(row, requests.prompt_tokens[row], requests.output_tokens[row], self._step)
        self._waiting.append(sequence)
        if not self._run_steps:
            self._run_start = now
            self._plan(now)
            return
        done = self._steps_done(now)
        sequence.eligible = self._step + done + self._plan_lag
        if len(self._waiting) == 1 and len(self._running) < self._max_seqs:
            self._shorten(done + self._plan_lag)

    def advance(self, now: float) -> None:
        """Lets every run that ends at or before ``now`` end."""
        while self.run_end <= now:
            self._finish_run()

    def kv_usage(self, now: float) -> float:
        """``vllm:kv_cache_usage_perc`` (0 to 1) at ``now``, within the run in progress."""
        used = self.total_blocks - self._free
        if self._decoding and self._run_steps > 1:
            # The blocks of a run's first step are taken when it is planned.
            used += self._blocks_needed(self._step + 1, min(self._steps_done(now), self._run_steps - 1))
        return used / self.total_blocks

    def busy_until(self, now: float) -> float:
        """Seconds spent in steps up to ``now``."""
        return self.busy_s + (now - self._run_start if self._run_steps else 0.0)

    def tokens_generated_until(self, now: float) -> int:
        """Tokens emitted up to ``now``."""
        return self.generated_tokens + (self._steps_done(now) * self._decoding if self._run_steps else 0)

    # -- runs -------------------------------------------------------------------------------

    def _run_time(self, steps: int) -> float:
        return steps * self._first_step_s + self._growth_s * (steps * (steps - 1) // 2)

    def _steps_done(self, now: float) -> int:
        """Whole steps of the run in progress that have ended by ``now``."""
        elapsed = now - self._run_start
        first, growth = self._first_step_s, self._growth_s
        if elapsed < first:
            return 0
        if growth > 0.0:
            # growth/2 * k^2 + (first - growth/2) * k = elapsed
            linear = first - growth / 2.0
            steps = int((sqrt(linear * linear + 2.0 * growth * elapsed) - linear) / growth)
        else:
            steps = int(elapsed / first)
        # The root is good to an ulp; the comparison that counts is the one with the run's clock.
        while steps and self._run_time(steps) > elapsed:
            steps -= 1
        while self._run_time(steps + 1) <= elapsed:
            steps += 1
        return min(steps, self._run_steps)

    def _shorten(self, steps: int) -> None:
        if steps < self._run_steps:
            self._run_steps = steps
            self.run_end = self._run_start + self._run_time(steps)

    def _finish_run(self) -> None:
        steps, end = self._run_steps, self.run_end
        decoding = self._decoding
        self.busy_s += end - self._run_start
        if decoding:
            self._free -= self._blocks_needed(self._step + 1, steps - 1)
            self._kv_tokens += decoding * steps
            self.generated_tokens += decoding * steps
            if self.observer is not None:
                self.observer.decode_run(decoding, steps, self._first_step_s, self._growth_s)
        self._step += steps
        self._run_start = end
        if self._completing:
            self._join(end)
        ends, last = self._ends, self._step - 1
        while ends and ends[0][0] <= last:
            _, _, sequence, joined = heappop(ends)
            if sequence.joined == joined:  # else it was preempted since
                self._leave_decoding(sequence, self._step)
                self._complete(sequence, end)
        self._plan(end)

    def _join(self, end: float) -> None:
        """Sequences whose prompt is complete emit a token and decode from the next step on."""
        step = self._step - 1
        for sequence in self._completing:
            self.generated_tokens += 1
            if sequence.generated == 0:
                ttft = end + self._overhead - self._requests.arrival_s[sequence.row]
                self._requests.ttft_s[sequence.row] = ttft
                if self.observer is not None:
                    self.observer.first_token(ttft)
            sequence.computed = sequence.tokens_to_compute()
            sequence.generated += 1
            if sequence.generated == sequence.output:
                self._free += self._blocks(sequence.computed)
                self._complete(sequence, end)
                continue
            sequence.joined = step
            self._decoding += 1
            self._kv_tokens += sequence.computed
            self._growth[(step + 1 - sequence.computed) % self._block] += 1
            heappush(self._ends, (sequence.last_step(), sequence.row, sequence, step))
        self._completing.clear()

    def _leave_decoding(self, sequence: Sequence, next_step: int) -> None:
        """Takes a sequence out of the decoding ones before ``next_step`` and frees its blocks."""
        computed = sequence.computed + next_step - 1 - sequence.joined
        self._growth[(sequence.joined + 1 - sequence.computed) % self._block] -= 1
        self._decoding -= 1
        self._kv_tokens -= computed
        self._free += self._blocks(computed)
        sequence.joined = -1

    def _complete(self, sequence: Sequence, end: float) -> None:
        row = sequence.row
        del self._running[row]
        self.in_flight -= 1
        self.finished += 1
        self.last_finish = end
        self._requests.complete(row, end + self._overhead - self._requests.arrival_s[row])

    # -- planning ---------------------------------------------------------------------------

    def _plan(self, now: float) -> None:
        """Plans the run that begins at ``now``, or goes idle."""
        preempted = self._take_blocks_for_decoding()
        chunk_tokens, chunk_cost = 0, 0
        budget = self._budget - self._decoding
        if self._partial is not None:
            chunk_tokens, chunk_cost = self._continue_prompt(self._partial, budget)
            budget -= chunk_tokens
            preempted = preempted or chunk_tokens == 0
        if self._waiting and not preempted:
            tokens, cost = self._admit(now, budget)
            chunk_tokens += tokens
            chunk_cost += cost
        if not self._running:
            self._rest(now)
            return
        step_s = self._base + self._per_sequence * self._decoding + self._per_kv_token * self._kv_tokens
        self._first_step_s, self._growth_s = step_s, self._per_kv_token * self._decoding
        self._run_steps = 1
        if chunk_tokens:
            step_s += self._per_prompt_token * chunk_tokens + self._per_prompt_token_squared * chunk_cost
            self._first_step_s = max(self._prefill_floor, step_s)
            self.prompt_tokens += chunk_tokens
        else:
            self._run_steps = self._run_length(preempted)
        self.run_end = now + self._run_time(self._run_steps)

    def _rest(self, now: float) -> None:
        """Nothing runs: either nothing waits, or the only sequence preempted itself."""
        self._run_steps = 0
        self.run_end = inf
        if self._waiting:
            self._waiting[0].eligible = self._step
            self._plan(now)

    def _run_length(self, preempted: bool) -> int:
        """How many equal decoding steps follow, the one just planned included."""
        ends = self._ends
        while ends[0][2].joined != ends[0][3]:
            heappop(ends)
        steps = ends[0][0] - self._step + 1
        if self._waiting:
            # A head that is not held back by blocks or sequences can be planned when its step comes.
            wait = 1 if preempted else max(self._waiting[0].eligible - self._step, 0)
            if wait and wait < steps:
                steps = wait
        if steps > 1 and self._decoding * ((steps - 1) // self._block + 1) > self._free:
            steps = self._steps_within_blocks(steps)
        return steps

    def _steps_within_blocks(self, steps: int) -> int:
        """The longest run (at most ``steps``) whose later steps find their blocks."""
        whole = self._free // self._decoding
        left = self._free - whole * self._decoding
        length = 1 + whole * self._block
        while length < steps:
            left -= self._growth[(self._step + length) % self._block]
            if left < 0:
                break
            length += 1
        return min(length, steps)

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self._block)

    def _blocks_needed(self, step: int, steps: int) -> int:
        """Blocks that the decoding sequences take in ``steps`` steps from ``step`` on."""
        whole, rest = divmod(steps, self._block)
        blocks = whole * self._decoding
        for offset in range(rest):
            blocks += self._growth[(step + offset) % self._block]
        return blocks

    def _take_blocks_for_decoding(self) -> bool:
        """Blocks of the coming step, preempting the newest until they suffice; whether any was."""
        preempted = False
        slot = self._step % self._block
        while self._growth[slot] > self._free:
            self._preempt_newest()
            preempted = True
        self._free -= self._growth[slot]
        return preempted

    def _preempt_newest(self) -> None:
        row, sequence = self._running.popitem()
        if sequence is self._partial:
            self._free += self._blocks(sequence.computed)
            self._partial = None
        else:
            sequence_joined = sequence.joined
            self._leave_decoding(sequence, self._step)
            sequence.generated += self._step - 1 - sequence_joined
        sequence.computed = 0
        sequence.eligible = self._step
        self._requests.preempt(row)
        self._waiting.appendleft(sequence)

    def _continue_prompt(self, sequence: Sequence, budget: int) -> tuple[int, int]:
        """The next piece of the prompt in flight: its tokens and its quadratic cost; (0, 0) if preempted."""
        done = sequence.computed
        chunk = min(sequence.tokens_to_compute() - done, budget)
        blocks = self._blocks(done + chunk) - self._blocks(done)
        if blocks > self._free:
            self._preempt_newest()
            return 0, 0
        self._free -= blocks
        self._compute(sequence, chunk)
        return chunk, chunk * (2 * done + chunk)

    def _compute(self, sequence: Sequence, chunk: int) -> None:
        sequence.computed += chunk
        if sequence.computed == sequence.tokens_to_compute():
            self._partial = None
            self._completing.append(sequence)
        else:
            self._partial = sequence

    def _admit(self, now: float, budget: int) -> tuple[int, int]:
        """Admits from the head of the queue: prompt tokens of this step and their quadratic cost."""
        tokens = cost = 0
        waiting, running = self._waiting, self._running
        alone = not running
        while waiting and budget > 0 and len(running) < self._max_seqs:
            sequence = waiting[0]
            if sequence.eligible > self._step and not alone:
                break
            whole = sequence.tokens_to_compute()
            if self._blocks(whole) > self._free:
                break
            waiting.popleft()
            running[sequence.row] = sequence
            if self._requests.queue_s[sequence.row] != self._requests.queue_s[sequence.row]:  # NaN
                self._requests.queue_s[sequence.row] = now - self._requests.arrival_s[sequence.row]
            chunk = min(whole, budget)
            self._free -= self._blocks(chunk)
            self._compute(sequence, chunk)
            budget -= chunk
            tokens += chunk
            cost += chunk * chunk
        return tokens, cost
