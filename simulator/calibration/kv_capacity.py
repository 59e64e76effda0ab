"""The size of a server's KV cache, from what was in it at moments when its gauge was read.

The tokens of every request that decodes are known: its prompt, and of its answer the part that its
times give. Their blocks over ``vllm:kv_cache_usage_perc`` are the blocks that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.calibration.recording import Gauges, MeasuredRequest, Recording
from simulator.vllm.decoding import Decoding
from simulator.vllm.profile import Profile, ReplicaMemory

LEAST_TICKS = 5
LEAST_USAGE = 0.02
"""Below it the gauge, which is some milliseconds older than the tick, says too little."""
TOLERANCE = 0.02
"""A size that is measured this close to the profile's confirms it: the profile's is exact."""


def measured_blocks(base: Profile, recordings: Sequence[Recording]) -> int | None:
    """KV blocks of the server behind the recordings; None where too few moments tell.

    A moment tells when every request that was there decoded: what waits has no blocks, and of a prompt
    that is being computed nobody knows how many. Shared prefixes would be counted twice, so a profile
    with prefix caching gets None. Within 0.5 % on three recordings whose size is known.
    """
    if base.scheduler.enable_prefix_caching:
        return None
    sizes = Decoding(base)
    blocks = ticks = 0
    usage = 0.0
    for recording in recordings:
        for gauges in recording.gauges:
            there = _decoding(recording, gauges)
            if there is not None and gauges.kv_usage >= LEAST_USAGE:
                blocks += sum(sizes.blocks_of(_tokens(request, gauges.time_s)) for request in there)
                usage += gauges.kv_usage
                ticks += 1
    return round(blocks / usage) if ticks >= LEAST_TICKS and blocks else None


def _decoding(recording: Recording, gauges: Gauges) -> list[MeasuredRequest] | None:
    """The requests at this moment; None if one of them did not decode, or its times are not known."""
    now = gauges.time_s
    if gauges.waiting or now >= recording.seen_until_s:
        return None
    there = [request for request in recording.requests if 0.0 <= now - request.sent_s < request.e2e_s]
    known = all(recording.seen(request) and now >= request.sent_s + request.ttft_s for request in there)
    return there if known else None


def _tokens(request: MeasuredRequest, now: float) -> int:
    """Prompt and answer up to ``now``, as if the answer's tokens came evenly."""
    decoding_s = request.e2e_s - request.ttft_s
    share = (now - request.sent_s - request.ttft_s) / decoding_s if decoding_s else 1.0
    return request.prompt_tokens + int(request.output_tokens * share)


def with_blocks(base: Profile, blocks: int) -> ReplicaMemory:
    """The profile's memory with as many KV blocks as were measured, or as it is if those confirm it."""
    memory = base.memory
    scale = blocks / memory.usable_blocks(base.scheduler.block_size_tokens)
    if abs(scale - 1.0) <= TOLERANCE:
        return memory
    return replace(
        memory,
        kv_cache_tokens=round(memory.kv_cache_tokens * scale),
        kv_cache_gib=round(memory.kv_cache_gib * scale, 2),
        kv_cache_blocks=None if memory.kv_cache_blocks is None else blocks + 1,
    )
