"""The profiles that come along: they load, say where they are from, and obey physics."""

from __future__ import annotations

from math import isclose

import pytest

from simulator.profile import load_profile, profile_names

BANDWIDTH = {"H100": 3.35e12, "H200": 4.8e12, "A100": 2.04e12, "L40S": 0.864e12, "L4": 0.3e12}
"""Bytes a second of one GPU's memory, from the vendor's data sheets."""

GIB = 2**30


def bandwidth(gpu: str) -> float:
    return next(BANDWIDTH[name] for name in sorted(BANDWIDTH, key=len, reverse=True) if name in gpu)


@pytest.mark.parametrize("name", profile_names())
class TestProfile:
    def test_it_is_named_as_its_file_and_says_where_it_is_from(self, name):
        profile = load_profile(name)
        assert profile.name == name
        assert profile.provenance.startswith(("Measured", "Fitted to published tables", "Derived"))

    def test_a_step_takes_at_least_the_time_to_read_the_weights(self, name):
        profile = load_profile(name)
        reading_s = profile.memory.weights_gib * GIB / bandwidth(profile.gpu) / profile.gpus_per_replica
        assert profile.step_time.base_ms / 1e3 > reading_s

    def test_a_cached_token_takes_about_the_time_to_read_it(self, name):
        """A fit may put a part of that elsewhere (15 %); pipeline stages read one after the other."""
        profile = load_profile(name)
        memory = profile.memory
        token_bytes = memory.kv_cache_gib * GIB / memory.kv_cache_tokens
        reading_ns = 1e9 * token_bytes / bandwidth(profile.gpu) / profile.gpus_per_replica
        assert 0.85 * reading_ns < profile.step_time.per_kv_token_ns < 3 * reading_ns

    def test_weights_and_cache_fit_into_the_gpus(self, name):
        profile = load_profile(name)
        sizes = {"H100": 80, "H200": 141, "A100": 80, "L40S": 48, "L4": 24}
        size = next(sizes[gpu] for gpu in sorted(sizes, key=len, reverse=True) if gpu in profile.gpu)
        used = profile.memory.weights_gib + profile.memory.kv_cache_gib
        assert used < 0.92 * size * profile.gpus_per_replica

    def test_a_sliding_window_has_two_blocks_a_token_range(self, name):
        memory = load_profile(name).memory
        if memory.kv_cache_blocks is not None:
            assert isclose(memory.kv_cache_blocks * 16 / 2, memory.kv_cache_tokens, rel_tol=0.01)
