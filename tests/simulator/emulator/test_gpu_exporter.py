"""The exporter of the emulated pods' GPUs: its values, and who they belong to."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from simulator.emulator.gpu_exporter import GpuCollector
from simulator.emulator.openai_requests import GenerationRequest
from simulator.emulator.pod import EmulatedPod, PodSettings
from tests.simulator.emulator.test_pod import TurnedClock
from tests.simulator.profiles import make_profile

NAMES = {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_FB_USED"}


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


def pods(clock: TurnedClock, *names: str, load_s: float = 0.0) -> list[EmulatedPod]:
    settings = PodSettings(make_profile(gpus_per_replica=2), ("m",))
    return [EmulatedPod(settings, name, clock, load_s) for name in names]


async def scrape(http, emulator, layout) -> dict[str, list[tuple[dict[str, str], float]]]:
    exporter = await emulator.export_gpus("serving", layout)
    async with http.get(f"{exporter.url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return {family.name: [(s.labels, s.value) for s in family.samples] for family in families}


@pytest.mark.parametrize(
    ("layout", "owner", "exporter"),
    [
        ("pod", {"namespace": "serving", "pod": "vllm-0", "container": "vllm"}, {}),
        (
            "exported",
            {"exported_namespace": "serving", "exported_pod": "vllm-0", "exported_container": "vllm"},
            {"namespace": "gke-managed-system", "pod": "dcgm-exporter", "container": "dcgm-exporter"},
        ),
    ],
)
async def test_both_layouts_of_labels(http, emulator, layout, owner, exporter):
    await emulator.add("vllm-0")
    found = await scrape(http, emulator, layout)
    assert found.keys() == NAMES
    hardware = {"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "DCGM_FI_DRIVER_VERSION"}
    for samples in found.values():
        ((labels, _),) = samples
        assert labels.keys() == hardware | owner.keys() | exporter.keys()
        assert labels == labels | owner | exporter


async def test_each_gpu_of_each_pod_has_its_own_series(clock):
    registry = CollectorRegistry()
    registry.register(GpuCollector(pods(clock, "a", "b"), "default"))
    series = [s.labels for family in registry.collect() for s in family.samples if "UTIL" in s.name]
    assert [(labels["pod"], labels["gpu"]) for labels in series] == [
        ("a", "0"),
        ("a", "1"),
        ("b", "2"),
        ("b", "3"),
    ]
    assert len({labels["UUID"] for labels in series}) == 4


async def test_utilization_is_the_busy_share_since_the_scrape_before(clock):
    busy, idle = pods(clock, "busy", "idle")
    collector = GpuCollector([busy, idle], "default")

    def values(name: str) -> list[float]:
        return [s.value for family in collector.collect() if family.name == name for s in family.samples[::2]]

    async with busy.answering(GenerationRequest(10, 100, 100, "length")):
        await clock.turn(4.0)  # one of them in steps
        assert values("DCGM_FI_DEV_GPU_UTIL") == [25.0, 0.0]
        await clock.turn(4.5)
        assert values("DCGM_FI_DEV_GPU_UTIL") == [25.0, 0.0]  # too soon for a new one
        await clock.turn(8.0)
        assert values("DCGM_FI_PROF_GR_ENGINE_ACTIVE") == [0.0, 0.0]


async def test_memory_is_taken_when_the_model_is_loaded(clock):
    collector = GpuCollector(pods(clock, "a", load_s=10.0), "default")

    def used() -> set[float]:
        return {s.value for family in collector.collect() if "FB_USED" in family.name for s in family.samples}

    assert used() == {0.0}
    await clock.turn(10.0)
    assert used() == {1024.0}  # 1 GiB of weights and 1 GiB of cache on two GPUs
