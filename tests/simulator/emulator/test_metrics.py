"""``/metrics`` against the recorded scrape of a real vLLM: every family, every label, every bucket."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from simulator.emulator.emulator import Emulator
from simulator.emulator.pod import EmulatorClock, PodSettings
from simulator.startup.plan import StartupModel
from simulator.vllm.profile import load_profile

REAL = Path(__file__).parents[2] / "data/vllm_0.26.0_metrics.txt.gz"
MINE_OR_YOURS = {
    "python_info": {"version", "patchlevel", "minor"},
    "vllm:cache_config_info": {"kv_cache_max_concurrency"},
}
"""Label values that tell of one machine, as those of every number and of our model's name do."""


def shape(text: str) -> dict[str, tuple[str, set[tuple[str, tuple[tuple[str, str], ...]]]]]:
    """Family -> its type, and its series: sample name with all labels and their values (``le`` too)."""
    found = {}
    for family in text_string_to_metric_families(text):
        hidden = MINE_OR_YOURS.get(family.name, set())
        series = {
            (
                sample.name,
                tuple(
                    sorted((name, "" if name in hidden else value) for name, value in sample.labels.items())
                ),
            )
            for sample in family.samples
        }
        found[family.name] = (family.type, series)
    return found


@pytest.fixture
async def ours(http) -> str:
    """The exposition of an emulated Gemma 2 9B after one completion."""
    emulator = Emulator(
        PodSettings(load_profile("gemma2-9b-h100"), ("m",)), StartupModel(name="0"), EmulatorClock(100.0)
    )
    pod = await emulator.add("vllm-0")
    body = {"model": "m", "prompt": "Hello", "max_tokens": 5}
    async with http.post(f"{pod.url}/v1/completions", json=body) as answer:
        assert answer.status == 200
    async with http.get(f"{pod.url}/metrics") as scrape:
        text = await scrape.text()
    await emulator.close()
    return text


async def test_every_family_of_the_real_server_is_here_with_its_type_labels_and_buckets(ours):
    real, emulated = shape(gzip.decompress(REAL.read_bytes()).decode()), shape(ours)
    assert len(real) == 86
    assert emulated.keys() == real.keys()
    for name, family in real.items():
        assert emulated[name] == family, name
