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
from typing import Protocol

from simulator.profile import Profile
from simulator.result import RequestTable


class Sequence:
    """A request inside one replica.

    ``generated``: tokens emitted before the sequence last joined the decoding ones; ``computed``:
    tokens in the KV cache at that moment; ``joined``: the step that emitted its first token since
    (or a negative number while it does not decode); ``eligible``: first step that may plan it;
    ``windowed``: decoding, and longer than the sliding window.
    """

    __slots__ = ("computed", "eligible", "generated", "joined", "output", "prompt", "row", "windowed")

    def __init__(self, row: int, prompt: int, output: int, eligible: int) -> None:
        self.row = row
        self.prompt = prompt
        self.output = output
        self.eligible = eligible
        self.generated = 0
        self.computed = 0
        self.joined = -1
        self.windowed = False

    def last_step(self) -> int:
        """The step that emits the last token; meaningful while decoding."""
        return self.joined + self.output - self.generated

    def tokens_to_compute(self) -> int:
        """Prompt plus what was generated before a preemption."""
        return self.prompt + self.generated


class StepObserver(Protocol):
    """Told about tokens as they are emitted, for latency histograms."""

    def first_token(self, ttft_s: float) -> None:
        """A request's first token, ``ttft_s`` after its arrival."""
        ...

    def decode_run(self, sequences: int, steps: int, first_step_s: float, growth_s: float) -> None:
        """``steps`` steps gave ``sequences`` tokens each; step i took first_step_s + i * growth_s."""
        ...


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
        self._launch_s = step.prefill_floor_ms / 1e3
        self._eager_launch_s = max(step.prefill_floor_ms, step.eager_floor_ms) / 1e3
        self._output_delay = step.output_delay_ms / 1e3
        self._graph_tokens = step.cuda_graph_tokens
        self._overhead = step.request_overhead_ms / 1e3
        self._overhead_per_token = step.request_overhead_per_prompt_token_us / 1e6
        self._output_s = step.per_output_token_us / 1e6
        self._async = profile.scheduler.async_scheduling
        self._budget = profile.scheduler.max_num_batched_tokens
        self._max_seqs = profile.scheduler.max_num_seqs
        self._block = profile.scheduler.block_size_tokens
        self.total_blocks = profile.memory.usable_blocks(self._block)
        window = profile.memory.sliding_window_tokens
        self._groups = 2 if window else 1
        self._window_blocks = window // self._block + 1 if window else 0
        self._window_tokens = self._window_blocks * self._block
        self.gpu_memory_mib = (profile.memory.weights_gib + profile.memory.kv_cache_gib) * 1024
        self._free = self.total_blocks
        self._waiting: deque[Sequence] = deque()
        self._running: dict[int, Sequence] = {}  # by row, in order of admission
        self._partial: Sequence | None = None  # the newest running one, prompt not yet complete
        self._completing: list[Sequence] = []  # their last prompt piece is in this step
        self._first: list[Sequence] = []  # first tokens of the step that has just ended
        self._last: list[Sequence] = []  # last tokens of the step that has just ended
        self._ends: list[tuple[int, int, int, Sequence]] = []  # (last step, row, joined, sequence)
        self._crossings: list[tuple[int, int, int, Sequence]] = []  # (step past the window, joined, row, ...)
        self._held = 0  # blocks of what has just ended: async scheduling plans one step without them
        self._held_sequences = 0
        self._decoding = 0
        self._windowed = 0  # decoding sequences longer than the sliding window
        self._kv_tokens = 0.0  # tokens that the decoding sequences read, before this run
        self._growth = [0] * self._block  # blocks needed, by the step (mod block) that needs them
        self._step = 0  # first step of the run in progress, or the next one when idle
        self._run_start = now
        self._run_steps = 0  # 0 when idle
        self._first_step_s = 0.0
        self._growth_s = 0.0
        self._launch_from = now  # when the host can begin to launch the next step
        self._launched = now  # when it has launched the step in progress, if that has a prompt
        self._front = now  # when the API server is done with everything so far
        self._delivered = 0  # steps of the run in progress that it has been given

    @property
    def running(self) -> int:
        """``vllm:num_requests_running``: decoding sequences and those still in prefill."""
        return len(self._running)

    def waiting(self, now: float) -> int:
        """``vllm:num_requests_waiting``: passed over by the scheduler, or preempted.

        vLLM reads its input between two plans, so what arrived since is in no gauge yet.
        """
        waiting = len(self._waiting)
        if waiting and self._run_steps:
            step = self._step + self._steps_done(now)
            for sequence in reversed(self._waiting):
                if sequence.eligible <= step:
                    break
                waiting -= 1
        return waiting

    def submit(self, row: int, now: float) -> None:
        """Takes a request at ``now``; the replica has been advanced to ``now``."""
        requests = self._requests
        requests.replica[row] = self.index
        self.in_flight += 1
        sequence = Sequence(row, requests.prompt_tokens[row], requests.output_tokens[row], self._step)
        self._waiting.append(sequence)
        if not self._run_steps:
            self._front = max(self._front, now) + self._overhead_s(sequence.prompt)
            self._run_start = self._launch_from = self._launched = now
            self._plan(now)
            return
        done = self._steps_done(now)
        if done:
            self._deliver(done)
        self._front = max(self._front, now) + self._overhead_s(sequence.prompt)
        # Async scheduling has planned the next step already, unless it still launches this one.
        lag = 2 if self._async and now >= self._launched else 1
        sequence.eligible = self._step + done + lag
        if len(self._waiting) == 1 and len(self._running) < self._max_seqs:
            self._shorten(done + lag)

    def advance(self, now: float) -> None:
        """Lets every run that ends at or before ``now`` end."""
        while self.run_end <= now:
            self._finish_run()

    def kv_usage(self, now: float) -> float:
        """``vllm:kv_cache_usage_perc`` (0 to 1) at ``now``, within the run in progress."""
        used = self.total_blocks - self._free - self._held
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

    def tokens_of(self, row: int, now: float) -> int:
        """Tokens that a running request has up to ``now``; 0 while it waits (preempted ones too)."""
        sequence = self._running.get(row)
        if sequence is None:
            return 0
        if sequence.joined < 0:
            return sequence.generated
        return sequence.generated + self._step + self._steps_done(now) - 1 - sequence.joined

    def abort(self, row: int, now: float) -> None:
        """A client has gone; the replica has been advanced to ``now``.

        What waits is dropped (the table rejects it). What runs ends with its next token, as the step
        that is on its way cannot be changed; then it counts as completed with the tokens it had.
        """
        sequence = self._running.get(row)
        if sequence is None:
            self._waiting.remove(next(waiting for waiting in self._waiting if waiting.row == row))
            self.in_flight -= 1
            self._requests.reject(row)
            return
        tokens = self.tokens_of(row, now) + 1
        if tokens >= sequence.output:
            return
        sequence.output = self._requests.output_tokens[row] = tokens
        if sequence.joined >= 0:
            heappush(self._ends, (sequence.last_step(), row, sequence.joined, sequence))
            self._shorten(sequence.last_step() - self._step + 1)

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

    def _overhead_s(self, prompt_tokens: int) -> float:
        """What the API server needs for a request before the engine has it."""
        return self._overhead + self._overhead_per_token * prompt_tokens

    def _deliver(self, steps: int) -> None:
        """Gives the API server the outputs of the run's first ``steps`` steps, but not of its last.

        It handles one token after the other, so a step is out at ``F = max(F, ready) + tokens * cost``.
        Step ends are convex in their number, hence the last F follows from the first or the last end.
        """
        before, self._delivered = self._delivered, steps
        new = steps - before
        if new > 0:
            cost = self._decoding * self._output_s
            start = self._run_start + self._output_delay
            busy = max(self._front, start + self._run_time(before + 1)) + new * cost
            self._front = max(busy, start + self._run_time(steps) + cost)

    def _finish_run(self) -> None:
        steps, end = self._run_steps, self.run_end
        decoding = self._decoding
        outputs = decoding + len(self._completing)
        if steps > 1:
            self._deliver(steps - 1)
        self._delivered = 0
        if self._held_sequences:
            self._release()
        self.busy_s += end - self._run_start
        self._launch_from = end
        if self._async:
            last_step_s = self._first_step_s + self._growth_s * (steps - 1)
            self._launch_from = max(self._launched, end - last_step_s)
        if decoding:
            self._count_decoding(steps)
        self._step += steps
        self._run_start = end
        if self._completing:
            self._join(end)
        ends, last = self._ends, self._step - 1
        while ends and ends[0][0] <= last:
            _, _, joined, sequence = heappop(ends)
            if sequence.joined == joined:  # else it was preempted since
                self._complete(sequence, end, self._leave_decoding(sequence, self._step))
        self._plan(end)
        if outputs:
            self._send(outputs, end)

    def _count_decoding(self, steps: int) -> None:
        """What the decoding sequences took and gave in the run that has just ended."""
        decoding = self._decoding
        if steps > 1:
            self._free -= self._blocks_needed(self._step + 1, steps - 1)
        self._kv_tokens += (decoding - self._windowed / 2) * steps
        self.generated_tokens += decoding * steps
        if self.observer is not None:
            self.observer.decode_run(decoding, steps, self._first_step_s, self._growth_s)

    def _send(self, outputs: int, end: float) -> None:
        """The API server sends the tokens of the run's last step, which ended at ``end``."""
        if self._run_steps:
            # With async scheduling the host looks at outputs when it has launched the next step.
            end = (max(end, self._launched) if self._async else end) + self._output_delay
        self._front = max(self._front, end) + outputs * self._output_s
        if self._first or self._last:
            self._stamp()

    def _stamp(self) -> None:
        """Latencies of the first and last tokens that the API server has just sent."""
        requests = self._requests
        for sequence in self._first:
            ttft = self._front + self._overhead_s(sequence.prompt) - requests.arrival_s[sequence.row]
            requests.ttft_s[sequence.row] = ttft
            if self.observer is not None:
                self.observer.first_token(ttft)
        for sequence in self._last:
            row = sequence.row
            e2e = self._front + self._overhead_s(sequence.prompt) - requests.arrival_s[row]
            requests.complete(row, e2e)
        self._first.clear()
        self._last.clear()

    def _join(self, end: float) -> None:
        """Sequences whose prompt is complete emit a token and decode from the next step on."""
        step = self._step - 1
        for sequence in self._completing:
            self.generated_tokens += 1
            if sequence.generated == 0:
                self._first.append(sequence)
            sequence.computed = sequence.tokens_to_compute()
            sequence.generated += 1
            if sequence.generated == sequence.output:
                self._complete(sequence, end, self._blocks(sequence.computed))
                continue
            sequence.joined = step
            self._decoding += 1
            self._kv_tokens += sequence.computed
            self._growth[(step + 1 - sequence.computed) % self._block] += self._groups
            heappush(self._ends, (sequence.last_step(), sequence.row, step, sequence))
            if self._window_tokens:
                self._expect_crossing(sequence)
        self._completing.clear()

    def _expect_crossing(self, sequence: Sequence) -> None:
        """Notes the step in which a sequence that has just joined outgrows the sliding window."""
        beyond = sequence.computed - self._window_tokens
        if beyond > 0:
            self._kv_tokens -= beyond / 2
        step = sequence.joined + 1 + max(-beyond, 0)
        heappush(self._crossings, (step, sequence.joined, sequence.row, sequence))

    def _cross(self) -> None:
        """Half of the layers stop growing for the sequences that outgrow the window with this step."""
        crossings = self._crossings
        while crossings and crossings[0][0] <= self._step:
            _, joined, _, sequence = heappop(crossings)
            if sequence.joined == joined:
                sequence.windowed = True
                self._windowed += 1
                self._growth[(joined + 1 - sequence.computed) % self._block] -= 1

    def _leave_decoding(self, sequence: Sequence, next_step: int) -> int:
        """Takes a sequence out of the decoding ones before ``next_step``; the blocks that it had."""
        computed = sequence.computed + next_step - 1 - sequence.joined
        blocks = self._groups
        self._kv_tokens -= computed
        if sequence.windowed or computed > self._window_tokens > 0:
            self._kv_tokens += (computed - self._window_tokens) / 2
        if sequence.windowed:
            sequence.windowed = False
            self._windowed -= 1
            blocks = 1
        self._growth[(sequence.joined + 1 - sequence.computed) % self._block] -= blocks
        self._decoding -= 1
        sequence.joined = -1
        return self._blocks(computed)

    def _complete(self, sequence: Sequence, end: float, blocks: int) -> None:
        del self._running[sequence.row]
        self._held += blocks
        self._held_sequences += 1
        self.in_flight -= 1
        self.finished += 1
        self.last_finish = end
        self._last.append(sequence)

    def _release(self) -> None:
        """What ended a step ago is free for the next plan."""
        self._free += self._held
        self._held = self._held_sequences = 0

    # -- planning ---------------------------------------------------------------------------

    def _plan(self, now: float) -> None:
        """Plans the run that begins at ``now``, or goes idle."""
        if self._held_sequences and (not self._async or not self._running):
            self._release()
        if self._crossings:
            self._cross()
        preempted = False
        needed = self._growth[self._step % self._block]
        if needed <= self._free:
            self._free -= needed
        else:
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
        reads = self._decoding - self._windowed / 2
        self._first_step_s, self._growth_s = step_s, self._per_kv_token * reads
        self._run_steps = 1
        self._launched = self._launch_from
        if chunk_tokens:
            step_s += self._per_prompt_token * chunk_tokens + self._per_prompt_token_squared * chunk_cost
            graphs = chunk_tokens + self._decoding <= self._graph_tokens
            self._launched += self._launch_s if graphs else self._eager_launch_s
            self._first_step_s = max(step_s, self._launched - now)
            self.prompt_tokens += chunk_tokens
        else:
            self._run_steps = self._run_length(preempted)
        steps = self._run_steps
        self.run_end = now + (self._first_step_s if steps == 1 else self._run_time(steps))

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
        while ends[0][3].joined != ends[0][2]:
            heappop(ends)
        steps = ends[0][0] - self._step + 1
        if self._waiting:
            # A head that is not held back by blocks or sequences can be planned when its step comes.
            held = preempted or self._held_sequences
            wait = 1 if held else max(self._waiting[0].eligible - self._step, 0)
            if wait and wait < steps:
                steps = wait
        if self._crossings:
            steps = min(steps, self._crossings[0][0] - self._step)
        turn = self._groups * self._decoding - self._windowed
        if steps > 1 and turn * ((steps - 1) // self._block + 1) > self._free:
            steps = self._steps_within_blocks(steps, turn)
        return steps

    def _steps_within_blocks(self, steps: int, turn: int) -> int:
        """The longest run (at most ``steps``) whose later steps find theirs; ``turn`` in ``block`` steps."""
        whole = self._free // turn
        left = self._free - whole * turn
        length = 1 + whole * self._block
        while length < steps:
            left -= self._growth[(self._step + length) % self._block]
            if left < 0:
                break
            length += 1
        return min(length, steps)

    def _blocks(self, tokens: int) -> int:
        """KV blocks of a sequence; with a sliding window the second group stops growing there."""
        blocks = -(-tokens // self._block)
        return blocks + min(blocks, self._window_blocks) if self._window_blocks else blocks

    def _blocks_needed(self, step: int, steps: int) -> int:
        """Blocks that the decoding sequences take in ``steps`` steps from ``step`` on."""
        growth, size = self._growth, self._block
        blocks = steps // size * sum(growth) if steps >= size else 0
        first = step % size
        last = first + steps % size
        if last <= size:
            blocks += sum(growth[first:last])
        else:
            blocks += sum(growth[first:]) + sum(growth[: last - size])
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
            self._free += self._leave_decoding(sequence, self._step)
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
        places = self._max_seqs - self._held_sequences
        while waiting and budget > 0 and len(running) < places:
            sequence = waiting[0]
            if sequence.eligible > self._step and not alone:
                break
            whole = sequence.tokens_to_compute()
            # The blocks behind the window are given back only once the prompt is computed.
            if self._groups * -(-whole // self._block) > self._free:
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
