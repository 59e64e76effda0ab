"""Profiles for stories: round numbers, so that times can be checked by hand."""

from __future__ import annotations

from typing import Any

from simulator.vllm.profile import Profile, ReplicaMemory, Scheduler, StepTime


def make_profile(**given: Any) -> Profile:
    """A profile of 10 ms a step and nothing else, unless given otherwise."""
    part: dict[str, dict[str, Any]] = {
        "step_time": {
            "base_ms": 10.0,
            "per_sequence_us": 0.0,
            "experts_ms": 0.0,
            "experts_share": 0.0,
            "per_kv_token_ns": 0.0,
            "per_prefill_token_us": 0.0,
            "per_prefill_token_squared_ns": 0.0,
            "prefill_floor_ms": 0.0,
            "eager_floor_ms": 0.0,
            "output_delay_ms": 0.0,
            "cuda_graph_tokens": 512,
            "request_overhead_ms": 0.0,
            "request_overhead_per_prompt_token_us": 0.0,
            "per_output_token_us": 0.0,
        },
        "scheduler": {
            "max_num_seqs": 64,
            "max_num_batched_tokens": 512,
            "async_scheduling": False,
            "enable_prefix_caching": False,
            "max_num_queued_reqs": None,
        },
        "memory": {
            "weights_gib": 1.0,
            "kv_cache_tokens": 16_000,
            "kv_cache_gib": 1.0,
            "kv_cache_blocks": None,
            "sliding_window_tokens": None,
        },
    }
    for fields in part.values():
        for name in list(fields):
            if name in given:
                fields[name] = given.pop(name)
    whole: dict[str, Any] = {
        "name": "test",
        "model": "test",
        "gpu": "test",
        "gpus_per_replica": 1,
        "provenance": "made up",
        "max_model_len_tokens": 16_000,
    }
    parts: dict[str, Any] = {"step_time": StepTime, "scheduler": Scheduler, "memory": ReplicaMemory}
    return Profile(**whole | given | {name: kind(**part[name]) for name, kind in parts.items()})
