"""The decoding sequences of a replica in closed form: their ends, the tokens they read, the blocks they need.

Every decoding sequence advances by one token in every step, so a sequence that joins after step ``j``
with ``r`` tokens to go ends with step ``j + r``, and the blocks that it needs come every ``block`` steps:
no counter needs touching in between.
"""

from __future__ import annotations

from heapq import heappop, heappush

from simulator.vllm.kv_blocks import NamedBlock
from simulator.vllm.profile import Profile


class DecodingSequence:
    """A request inside one replica.

    ``generated``: tokens emitted before the sequence last joined the decoding ones; ``computed``:
    tokens in the KV cache at that moment; ``joined``: the step that emitted its first token since then
    (negative while it does not decode); ``eligible``: the first step that may plan it; ``windowed``:
    it decodes and is longer than the sliding window; ``admitted``: its number in the order of
    admission; ``held``: the blocks that it had at its end; ``keys``: the content of the full blocks of
    its prompt, where the trace has it; ``named``: the blocks with this content that it uses.
    """

    __slots__ = (
        "admitted",
        "computed",
        "eligible",
        "generated",
        "held",
        "joined",
        "keys",
        "named",
        "output",
        "prompt",
        "row",
        "windowed",
    )

    def __init__(self, row: int, prompt: int, output: int, eligible: int, keys: list[int]) -> None:
        self.row = row
        self.prompt = prompt
        self.output = output
        self.eligible = eligible
        self.keys = keys
        self.named: list[NamedBlock] = []
        self.generated = 0
        self.computed = 0
        self.joined = -1
        self.windowed = False
        self.admitted = 0
        self.held = 0

    def last_step(self) -> int:
        """The step that emits the last token; meaningful while decoding."""
        return self.joined + self.output - self.generated

    def tokens_to_compute(self) -> int:
        """Prompt plus what was generated before a preemption."""
        return self.prompt + self.generated


class Decoding:
    """All decoding sequences: ``count`` of them, of which ``windowed`` are longer than the sliding window.

    ``kv_tokens``: cached tokens that they read in the next step.
    """

    def __init__(self, profile: Profile) -> None:
        self.count = 0
        self.windowed = 0
        self.kv_tokens = 0.0
        self.block = profile.scheduler.block_size_tokens
        window = profile.memory.sliding_window_tokens
        self.groups = 2 if window else 1
        self._window_blocks = window // self.block + 1 if window else 0
        self._window_tokens = self._window_blocks * self.block
        self._ends: list[tuple[int, int, int, DecodingSequence]] = []  # (last step, row, joined, sequence)
        self._crossings: list[
            tuple[int, int, int, DecodingSequence]
        ] = []  # (step past the window, joined, row, ...)
        self._growth = [0] * self.block  # blocks needed, by the step (mod block) that needs them

    def blocks_of(self, tokens: int) -> int:
        """KV blocks of a sequence; with a sliding window the second group stops growing there."""
        blocks = -(-tokens // self.block)
        return blocks + min(blocks, self._window_blocks) if self._window_blocks else blocks

    def reads(self) -> float:
        """Growth per step of the cached tokens read; half of the layers stop growing at the window."""
        return self.count - self.windowed / 2

    def join(self, sequence: DecodingSequence, step: int) -> None:
        """Lets a sequence that emitted its first token in ``step`` decode from the next step on."""
        sequence.joined = step
        self.count += 1
        self.kv_tokens += sequence.computed
        self._growth[(step + 1 - sequence.computed) % self.block] += self.groups
        self.expect_end(sequence)
        if self._window_tokens:
            self._expect_crossing(sequence)

    def expect_end(self, sequence: DecodingSequence) -> None:
        """Notes when a sequence ends; the earliest noted end counts."""
        heappush(self._ends, (sequence.last_step(), sequence.row, sequence.joined, sequence))

    def _expect_crossing(self, sequence: DecodingSequence) -> None:
        """Notes the step in which a sequence that has just joined outgrows the sliding window."""
        beyond = sequence.computed - self._window_tokens
        if beyond > 0:
            self.kv_tokens -= beyond / 2
        step = sequence.joined + 1 + max(-beyond, 0)
        heappush(self._crossings, (step, sequence.joined, sequence.row, sequence))

    def cross(self, step: int) -> None:
        """Stops the growth of half of the layers for the sequences that outgrow the window in ``step``."""
        crossings = self._crossings
        while crossings and crossings[0][0] <= step:
            _, joined, _, sequence = heappop(crossings)
            if sequence.joined == joined:
                sequence.windowed = True
                self.windowed += 1
                self._growth[(joined + 1 - sequence.computed) % self.block] -= 1

    def leave(self, sequence: DecodingSequence, next_step: int) -> int:
        """Takes a sequence out before ``next_step``; returns the number of its blocks."""
        computed = sequence.computed + next_step - 1 - sequence.joined
        blocks = self.groups
        self.kv_tokens -= computed
        if sequence.windowed or computed > self._window_tokens > 0:
            self.kv_tokens += (computed - self._window_tokens) / 2
        if sequence.windowed:
            sequence.windowed = False
            self.windowed -= 1
            blocks = 1
        self._growth[(sequence.joined + 1 - sequence.computed) % self.block] -= blocks
        self.count -= 1
        sequence.joined = -1
        return self.blocks_of(computed)

    def ended(self, last: int) -> DecodingSequence | None:
        """A sequence that ends in step ``last`` or earlier, if there is one."""
        ends = self._ends
        while ends and ends[0][0] <= last:
            _, _, joined, sequence = heappop(ends)
            if sequence.joined == joined:  # else it was preempted since
                return sequence
        return None

    def steps_alike(self, step: int) -> int:
        """Steps from ``step`` on until a sequence ends or outgrows the window, that step included."""
        ends = self._ends
        while ends[0][3].joined != ends[0][2]:
            heappop(ends)
        steps = ends[0][0] - step + 1
        return min(steps, self._crossings[0][0] - step) if self._crossings else steps

    def blocks_for_step(self, step: int) -> int:
        """Blocks that the sequences need in ``step``."""
        return self._growth[step % self.block]

    def blocks_for(self, step: int, steps: int) -> int:
        """Blocks that the sequences need in ``steps`` steps from ``step`` on."""
        growth, size = self._growth, self.block
        blocks = steps // size * sum(growth) if steps >= size else 0
        first = step % size
        last = first + steps % size
        if last <= size:
            blocks += sum(growth[first:last])
        else:
            blocks += sum(growth[first:]) + sum(growth[: last - size])
        return blocks

    def steps_within(self, free: int, step: int, steps: int) -> int:
        """Number of steps from ``step`` on, at most ``steps``, for which ``free`` blocks suffice.

        The blocks of the first step are taken already.
        """
        turn = self.groups * self.count - self.windowed  # blocks in ``block`` steps
        if steps < 2 or turn * ((steps - 1) // self.block + 1) <= free:
            return steps
        whole = free // turn
        left = free - whole * turn
        length = 1 + whole * self.block
        while length < steps:
            left -= self._growth[(step + length) % self.block]
            if left < 0:
                break
            length += 1
        return min(length, steps)
