"""One vLLM replica as a discrete-event model that jumps over runs of equal steps.

The scheduler is vLLM v1's (``vllm/v1/core/sched/scheduler.py``): each step first gives every
running sequence its next token (or its next prompt chunk), in order of admission. A sequence that
gets no KV block preempts the newest one, which recomputes later from the head of the queue. Then,
if no sequence was preempted, waiting requests are admitted in order while tokens, sequences and the
blocks of their whole prompt allow. Prompts are chunked under ``max_num_batched_tokens``.

``simulator.vllm.stepped`` reads the same rules step by step and is the place to learn them.

Two facts make jumping exact. Decoding sequences are known in closed form (``simulator.vllm.decoding``).
And a run of ``k`` steps with ``n`` decoding sequences over ``kv`` cached tokens takes
``k * (base + c * kv) + c * n * k * (k - 1) / 2`` seconds. A run ends when a sequence ends, when the
blocks run out, or when a waiting request can be planned.

At most one prompt is in flight in pieces, and it is the newest running sequence: it takes the
whole budget that decoding leaves until its last piece.
"""

from __future__ import annotations

from collections import deque
from math import inf, sqrt

from simulator.vllm.decoding import Decoding, DecodingSequence
from simulator.vllm.kv_blocks import KvBlocks, PrefixCache, block_keys
from simulator.vllm.profile import Profile
from simulator.vllm.replica import ApiServer, Replica
from simulator.vllm.request_table import RequestTable


class FastReplica(Replica):
    """One vLLM server that jumps from change to change."""

    def __init__(self, profile: Profile, requests: RequestTable, name: str, index: int, now: float) -> None:
        super().__init__(profile, requests, name, index, now)
        step, scheduler = profile.step_time, profile.scheduler
        self._base = step.base_ms / 1e3
        self._per_sequence = step.per_sequence_us / 1e6
        self._per_kv_token = step.per_kv_token_ns / 1e9
        self._experts_s = step.experts_ms / 1e3
        self._idle_share = 1.0 - step.experts_share  # of the experts, for one token
        self._per_prompt_token = step.per_prefill_token_us / 1e6
        self._per_prompt_token_squared = step.per_prefill_token_squared_ns / 1e9
        self._launch_s = step.prefill_floor_ms / 1e3
        self._eager_launch_s = max(step.prefill_floor_ms, step.eager_floor_ms) / 1e3
        self._output_delay = step.output_delay_ms / 1e3
        self._graph_tokens = step.cuda_graph_tokens
        self._async = scheduler.async_scheduling
        self._budget = scheduler.max_num_batched_tokens
        self._max_seqs = scheduler.max_num_seqs
        self._caching = scheduler.enable_prefix_caching
        self._api = ApiServer(step, now)
        self._decoding = Decoding(profile)
        self._block = self._decoding.block
        self._blocks: KvBlocks = (PrefixCache if self._caching else KvBlocks)(self.total_blocks)
        self._waiting: deque[DecodingSequence] = deque()
        self._running: dict[int, DecodingSequence] = {}  # by row, in order of admission
        self._admitted = 0
        self._partial: DecodingSequence | None = None  # the newest one, while its prompt is incomplete
        self._completing: list[DecodingSequence] = []  # their last prompt piece is in this step
        self._first: list[DecodingSequence] = []  # first tokens of the step that has just ended
        self._last: list[DecodingSequence] = []  # last tokens of the step that has just ended
        self._held: list[DecodingSequence] = []  # have just ended; async: their blocks are freed a step later
        self._held_blocks = 0
        self._step = 0  # first step of the run in progress, or the next one when idle
        self._run_start = now
        self._run_steps = 0  # 0 when idle
        self._first_step_s = 0.0
        self._growth_s = 0.0
        self._launch_from = now  # when the host can begin to launch the next step
        self._launched = now  # when the host has launched the step in progress, if that has a prompt
        self._delivered = 0  # steps of the run in progress whose outputs the API server has

    @property
    def running(self) -> int:
        """``vllm:num_requests_running``: decoding sequences and those still in prefill."""
        return len(self._running)

    def waiting(self, now: float) -> int:
        """``vllm:num_requests_waiting``: passed over by the scheduler, or preempted."""
        waiting = len(self._waiting)
        if waiting and self._run_steps:
            step = self._step + self._steps_done(now)
            for sequence in reversed(self._waiting):
                if sequence.eligible <= step:
                    break
                waiting -= 1
        return waiting

    def submit(self, row: int, now: float) -> None:
        """Takes a request at ``now``, or refuses it. Call ``advance`` to ``now`` first."""
        if self.is_full:
            self.refuse(row)
            return
        requests = self._requests
        requests.replica[row] = self.index
        self.in_flight += 1
        prompt = requests.prompt_tokens[row]
        keys = block_keys(requests, row, self._block) if self._caching else []
        sequence = DecodingSequence(row, prompt, requests.output_tokens[row], self._step, keys)
        self._waiting.append(sequence)
        if not self._run_steps:
            self._api.accept(prompt, now)
            self._run_start = self._launch_from = self._launched = now
            self._plan(now)
            return
        done = self._steps_done(now)
        if done:
            self._deliver(done)
        self._api.accept(prompt, now)
        # Async scheduling has planned the next step already, unless the host still launches this one.
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
        used = self.total_blocks - self._blocks.free - self._held_blocks
        if self._caching:
            used += self._blocks.shared([sequence.named for sequence in self._held])
        if self._decoding.count and self._run_steps > 1:
            # The blocks of a run's first step are taken when it is planned.
            used += self._decoding.blocks_for(self._step + 1, min(self._steps_done(now), self._run_steps - 1))
        return used / self.total_blocks

    def busy_until(self, now: float) -> float:
        """Seconds spent in steps up to ``now``."""
        return self.busy_s + (now - self._run_start if self._run_steps else 0.0)

    def tokens_generated_until(self, now: float) -> int:
        """Tokens emitted up to ``now``."""
        return self.generated_tokens + (
            self._steps_done(now) * self._decoding.count if self._run_steps else 0
        )

    def tokens_of(self, row: int, now: float) -> int:
        """Tokens that a running request has up to ``now``; 0 while it waits (preempted ones too)."""
        sequence = self._running.get(row)
        if sequence is None:
            return 0
        if sequence.joined < 0:
            return sequence.generated
        return sequence.generated + self._step + self._steps_done(now) - 1 - sequence.joined

    def abort(self, row: int, now: float) -> None:
        """Ends a request whose client has gone. Call ``advance`` to ``now`` first.

        A waiting request is dropped (the table rejects it). A running one ends with its next token,
        because the step in progress cannot be changed, and counts as completed with its tokens so far.
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
            self._decoding.expect_end(sequence)
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
        # The root is exact to an ulp only; the comparison with the run's clock decides.
        while steps and self._run_time(steps) > elapsed:
            steps -= 1
        while self._run_time(steps + 1) <= elapsed:
            steps += 1
        return min(steps, self._run_steps)

    def _shorten(self, steps: int) -> None:
        if steps < self._run_steps:
            self._run_steps = steps
            self.run_end = self._run_start + self._run_time(steps)

    def _deliver(self, steps: int) -> None:
        """Gives the API server the outputs of the run's first ``steps`` steps, but not of its last."""
        before, self._delivered = self._delivered, steps
        if steps > before:
            start = self._run_start + self._output_delay
            first, last = start + self._run_time(before + 1), start + self._run_time(steps)
            self._api.send_steps(steps - before, self._decoding.count, first, last)

    def _finish_run(self) -> None:
        steps, end = self._run_steps, self.run_end
        decoding = self._decoding
        outputs = decoding.count + len(self._completing)
        if steps > 1:
            self._deliver(steps - 1)
        self._delivered = 0
        if self._held:
            self._release()
        self.busy_s += end - self._run_start
        self._launch_from = end
        if self._async:
            last_step_s = self._first_step_s + self._growth_s * (steps - 1)
            self._launch_from = max(self._launched, end - last_step_s)
        if decoding.count:
            self._count_decoding(steps)
        self._step += steps
        self._run_start = end
        if self._completing:
            self._join(end)
        while (ended := decoding.ended(self._step - 1)) is not None:
            self._complete(ended, end, decoding.leave(ended, self._step))
        self._plan(end)
        if outputs:
            self._send(outputs, end)

    def _count_decoding(self, steps: int) -> None:
        """Adds the steps and tokens of the decoding sequences in the run that has just ended."""
        decoding = self._decoding
        if steps > 1:
            self._blocks.take(decoding.blocks_for(self._step + 1, steps - 1))
        decoding.kv_tokens += decoding.reads() * steps
        self.generated_tokens += decoding.count * steps
        if self.observer is not None:
            self.observer.decode_run(decoding.count, steps, self._first_step_s, self._growth_s)

    def _send(self, outputs: int, end: float) -> None:
        """The API server sends the tokens of the run's last step, which ended at ``end``."""
        if self._run_steps:
            # With async scheduling the host reads the outputs after it has launched the next step.
            end = (max(end, self._launched) if self._async else end) + self._output_delay
        self._api.send(outputs, end)
        if self._first or self._last:
            self._stamp()

    def _stamp(self) -> None:
        """Latencies of the first and last tokens that the API server has just sent."""
        requests, api = self._requests, self._api
        for sequence in self._first:
            ttft = api.front + api.overhead_s(sequence.prompt) - requests.arrival_s[sequence.row]
            requests.ttft_s[sequence.row] = ttft
            if self.observer is not None:
                self.observer.first_token(ttft)
        for sequence in self._last:
            row = sequence.row
            requests.complete(row, api.front + api.overhead_s(sequence.prompt) - requests.arrival_s[row])
        self._first.clear()
        self._last.clear()

    def _join(self, end: float) -> None:
        """Sequences whose prompt is complete emit a token and decode from the next step on."""
        for sequence in self._completing:
            self.generated_tokens += 1
            if sequence.generated == 0:
                self._first.append(sequence)
            sequence.computed = sequence.tokens_to_compute()
            sequence.generated += 1
            if sequence.generated == sequence.output:
                self._complete(sequence, end, self._decoding.blocks_of(sequence.computed))
            else:
                self._decoding.join(sequence, self._step - 1)
        self._completing.clear()

    def _complete(self, sequence: DecodingSequence, end: float, blocks: int) -> None:
        del self._running[sequence.row]
        sequence.held = blocks
        self._held.append(sequence)
        self._held_blocks += blocks
        self.in_flight -= 1
        self.finished += 1
        self.last_finish = end
        self._last.append(sequence)

    def _release(self) -> None:
        """Frees, for the next plan, the blocks of sequences that ended a step ago."""
        if self._caching:
            self._held.sort(key=lambda sequence: sequence.admitted)  # the order in which they are freed
        for sequence in self._held:
            self._blocks.give_back(sequence.held, sequence.named)
        self._held.clear()
        self._held_blocks = 0

    # -- planning ---------------------------------------------------------------------------

    def _plan(self, now: float) -> None:
        """Plans the run that begins at ``now``, or goes idle."""
        if self._held and (not self._async or not self._running):
            self._release()
        decoding = self._decoding
        decoding.cross(self._step)
        preempted = self._take_blocks_for_decoding()
        chunk_tokens, chunk_cost = 0, 0
        budget = self._budget - decoding.count
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
        step_s = self._base + self._per_sequence * decoding.count + self._per_kv_token * decoding.kv_tokens
        if self._experts_s:
            step_s += self._experts_s * (1.0 - self._idle_share ** (decoding.count + chunk_tokens))
        self._first_step_s, self._growth_s = step_s, self._per_kv_token * decoding.reads()
        self._run_steps = 1
        self._launched = self._launch_from
        if chunk_tokens:
            step_s += self._per_prompt_token * chunk_tokens + self._per_prompt_token_squared * chunk_cost
            graphs = chunk_tokens + decoding.count <= self._graph_tokens
            self._launched += self._launch_s if graphs else self._eager_launch_s
            self._first_step_s = max(step_s, self._launched - now)
            self.prompt_tokens += chunk_tokens
        else:
            self._run_steps = self._run_length(preempted)
        steps = self._run_steps
        self.run_end = now + (self._first_step_s if steps == 1 else self._run_time(steps))

    def _rest(self, now: float) -> None:
        """Goes idle: either no request waits, or the only sequence preempted itself."""
        self._run_steps = 0
        self.run_end = inf
        if self._waiting:
            self._waiting[0].eligible = self._step
            self._plan(now)

    def _run_length(self, preempted: bool) -> int:
        """Number of equal decoding steps that follow, the one just planned included."""
        steps = self._decoding.steps_alike(self._step)
        if self._waiting:
            # If blocks and sequences allow, the head of the queue is planned in its first eligible step.
            held = preempted or self._held
            wait = 1 if held else max(self._waiting[0].eligible - self._step, 0)
            if wait and wait < steps:
                steps = wait
        return self._decoding.steps_within(self._blocks.free, self._step, steps)

    def _take_blocks_for_decoding(self) -> bool:
        """Takes the blocks of the coming step; preempts the newest until they suffice.

        Returns whether any sequence was preempted.
        """
        preempted = False
        while (needed := self._decoding.blocks_for_step(self._step)) > self._blocks.free:
            self._preempt_newest()
            preempted = True
        self._blocks.take(needed)
        return preempted

    def _preempt_newest(self) -> None:
        row, sequence = self._running.popitem()
        if sequence is self._partial:
            blocks = self._decoding.blocks_of(sequence.computed)
            self._partial = None
        else:
            joined = sequence.joined
            blocks = self._decoding.leave(sequence, self._step)
            sequence.generated += self._step - 1 - joined
        self._blocks.give_back(blocks, sequence.named)
        sequence.computed = 0
        sequence.eligible = self._step
        self._requests.preempt(row)
        self._waiting.appendleft(sequence)

    def _continue_prompt(self, sequence: DecodingSequence, budget: int) -> tuple[int, int]:
        """The next piece of the prompt in flight: its tokens and its quadratic cost; (0, 0) if preempted."""
        done = sequence.computed
        chunk = min(sequence.tokens_to_compute() - done, budget)
        blocks = self._decoding.blocks_of(done + chunk) - self._decoding.blocks_of(done)
        if blocks > self._blocks.free:
            self._preempt_newest()
            return 0, 0
        self._blocks.take(blocks)
        self._compute(sequence, chunk)
        return chunk, chunk * (2 * done + chunk)

    def _compute(self, sequence: DecodingSequence, chunk: int) -> None:
        sequence.computed += chunk
        if sequence.keys:
            self._blocks.name(sequence.named, sequence.keys, sequence.computed // self._block)
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
        places = self._max_seqs - len(self._held)
        while waiting and budget > 0 and len(running) < places:
            sequence = waiting[0]
            if sequence.eligible > self._step and not alone:
                break
            if not self._reserve(sequence):
                break
            waiting.popleft()
            running[sequence.row] = sequence
            self._requests.schedule(sequence.row, now, sequence.computed if self._caching else None)
            done = sequence.computed
            chunk = min(sequence.tokens_to_compute() - done, budget)
            self._blocks.take(self._decoding.blocks_of(done + chunk) - self._decoding.blocks_of(done))
            self._compute(sequence, chunk)
            budget -= chunk
            tokens += chunk
            cost += chunk * (2 * done + chunk)
        return tokens, cost

    def _reserve(self, sequence: DecodingSequence) -> bool:
        """Uses the cached beginning of a sequence, if the blocks for the rest are free."""
        whole = sequence.tokens_to_compute()
        # The blocks behind the window are given back only once the prompt is computed.
        needed = self._decoding.groups * -(-whole // self._block)
        self._admitted += 1
        sequence.admitted = self._admitted
        if not sequence.keys:
            return needed <= self._blocks.free
        found = self._blocks.find(sequence.keys, (whole - 1) // self._block)  # the last token is computed
        if needed - len(found) + self._blocks.unused(found) > self._blocks.free:
            return False
        self._blocks.use(found)
        sequence.named = found
        sequence.computed = len(found) * self._block
        return True
