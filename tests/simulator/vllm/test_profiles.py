"""The profiles that come along: they load, say where they are from, and obey physics."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from math import isclose
from pathlib import Path

import pytest

import simulator.vllm.profile
from autoscaler.errors import ProfileError
from simulator.documents.yaml_model import read_model
from simulator.vllm.profile import Profile, load_profile, profile_names, profile_yaml

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

    def test_reading_it_without_validation_gives_what_validation_would(self, name):
        file = Path(simulator.vllm.profile.__file__).parent / "profiles" / f"{name}.yaml"
        bare, checked = load_profile(name), read_model(file, Profile)
        assert json.dumps(asdict(bare)) == json.dumps(asdict(checked)), "also 6 is not 6.0"

    def test_its_file_can_be_written_and_read_back(self, name, tmp_path):
        file = tmp_path / "again.yaml"
        file.write_text(profile_yaml(load_profile(name)))
        assert load_profile(str(file)) == load_profile(name)


def test_everything_wrong_with_a_users_profile_is_named_by_line_and_field(tmp_path):
    file = tmp_path / "mine.yaml"
    text = profile_yaml(load_profile("gemma2-9b-h100"))
    text = text.replace("gpus_per_replica: 1", "gpus_per_replica: 0")
    text = text.replace("  max_num_seqs: 1024", "  max_num_seqs: true\n  max_nun_seqs: 2")
    text = text.replace("  base_ms: ", "  base_ms: -")
    file.write_text(text)
    with pytest.raises(ProfileError) as caught:
        load_profile(str(file))
    assert [f"{problem.field}: {problem.message}" for problem in caught.value.problems] == [
        "gpus_per_replica: must be at least 1, is 0",
        "step_time.base_ms: must be above 0.0, is -8.5134",
        "scheduler.max_num_seqs: must be an integer from 1 to 1099511627776, not the boolean true",
        "scheduler.max_nun_seqs: is not a field here: did you mean max_num_seqs?",
    ]
    assert [text.split("\n")[(problem.line or 0) - 1].split(":")[0] for problem in caught.value.problems] == [
        "gpus_per_replica",
        "  base_ms",
        "  max_num_seqs",
        "  max_nun_seqs",
    ]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("scheduler", {"max_num_batched_tokens": 100}, "at least max_num_seqs"),
        ("memory", {"sliding_window_tokens": None}, "belong together"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(part, change, message):
    profile = load_profile("gemma2-9b-h100")
    with pytest.raises(ValueError, match=message):
        replace(getattr(profile, part), **change)
