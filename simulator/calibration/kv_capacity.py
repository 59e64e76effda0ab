"""The size of a server's KV cache, from its content at the moments when its gauge was read.

The tokens of a decoding request are known: its prompt, and the part of its answer that follows from its
times. The blocks of all requests, divided by ``vllm:kv_cache_usage_perc``, are the blocks of the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.calibration.recording import Gauges, MeasuredRequest, Recording
from simulator.vllm.decoding import Decoding
from simulator.vllm.profile import Profile, ReplicaMemory

LEAST_TICKS = 5
LEAST_USAGE = 0.02
"""The least usage that counts. The gauge is some milliseconds older than the tick: a large error below."""
TOLERANCE = 0.02
"""A measured size this close to the profile's size confirms it: the profile's is exact."""


def measured_blocks(base: Profile, recordings: Sequence[Recording]) -> int | None:
    """KV blocks of the server behind the recordings; None if too few moments are usable.

    A moment is usable if every request decodes: waiting requests have no blocks, and the number of blocks
    of an incomplete prompt is unknown. Shared prefixes would be counted twice, so a profile with prefix
    caching gets None. Within 0.5 % on three recordings whose size is known.
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
    """The requests at this moment; None if one of them did not decode, or its times are unknown."""
    now = gauges.time_s
    if gauges.waiting or now >= recording.seen_until_s:
        return None
    there = [request for request in recording.requests if 0.0 <= now - request.sent_s < request.e2e_s]
    known = all(recording.seen(request) and now >= request.sent_s + request.ttft_s for request in there)
    return there if known else None


def _tokens(request: MeasuredRequest, now: float) -> int:
    """Tokens of prompt and answer up to ``now``, as if the answer's tokens came evenly."""
    decoding_s = request.e2e_s - request.ttft_s
    share = (now - request.sent_s - request.ttft_s) / decoding_s if decoding_s else 1.0
    return request.prompt_tokens + int(request.output_tokens * share)


def with_blocks(base: Profile, blocks: int) -> ReplicaMemory:
    """The profile's memory with the measured KV blocks; unchanged if they confirm it."""
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
