"""DCGM's exporter for the GPUs of emulated pods: one for all of them, as on a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal
from uuid import NAMESPACE_OID, uuid5

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from simulator.emulator.families import exposition, gauge
from simulator.emulator.pod import EmulatedPod

LabelLayout = Literal["pod", "exported"]

SAMPLE_S = 1.0
"""Utilization is the share of (simulated) time since a scrape at least this long ago."""


class GpuCollector(Collector):
    """The GPUs of some pods. ``pods`` may change between scrapes.

    ``layout``: the label with the workload's name. ``pod``: as the exporter itself writes it.
    ``exported``: as it arrives if the scraper's own labels win: ``pod`` names the exporter, and
    ``exported_pod`` the workload.
    """

    def __init__(self, pods: Sequence[EmulatedPod], namespace: str, layout: LabelLayout = "pod") -> None:
        self._pods = pods
        self._namespace = namespace
        self._layout = layout
        self._usage: dict[str, _Usage] = {}

    def collect(self) -> Iterator[Metric]:
        """Utilization and memory of each GPU."""
        busy, active, used = [], [], []
        number = 0
        for pod in self._pods:
            pod.catch_up()
            share = self._share(pod)
            memory = pod.serving.replica.gpu_memory_mib / pod.settings.profile.gpus_per_replica
            for _ in range(pod.settings.profile.gpus_per_replica):
                labels = self._labels(pod, number)
                number += 1
                busy.append((labels, float(round(100 * share))))
                active.append((labels, share))
                used.append((labels, float(round(memory)) if pod.loaded else 0.0))
        yield gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", busy)
        yield gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Share of time the GPU was active.", active)
        yield gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", used)

    def _share(self, pod: EmulatedPod) -> float:
        usage = self._usage.setdefault(pod.name, _Usage())
        return usage.at(pod.serving.now, pod.serving.replica.busy_until(pod.serving.now))

    def _labels(self, pod: EmulatedPod, number: int) -> Mapping[str, str]:
        owner = {"namespace": self._namespace, "pod": pod.name, "container": "vllm"}
        if self._layout == "exported":
            exporter = {
                "namespace": "gke-managed-system",
                "pod": "dcgm-exporter",
                "container": "dcgm-exporter",
            }
            owner = exporter | {f"exported_{name}": value for name, value in owner.items()}
        return {
            "gpu": str(number),
            "UUID": f"GPU-{uuid5(NAMESPACE_OID, f'{pod.name} {number}')}",
            "pci_bus_id": f"00000000:{number:02X}:00.0",
            "device": f"nvidia{number}",
            "modelName": pod.settings.profile.gpu,
            "Hostname": "emulated-node",
            "DCGM_FI_DRIVER_VERSION": "0",
            **owner,
        }


class _Usage:
    """The share of busy time between samples."""

    def __init__(self) -> None:
        self._time_s = 0.0
        self._busy_s = 0.0
        self._share = 0.0

    def at(self, time_s: float, busy_s: float) -> float:
        elapsed = time_s - self._time_s
        if elapsed >= SAMPLE_S:
            self._share = min((busy_s - self._busy_s) / elapsed, 1.0)
            self._time_s, self._busy_s = time_s, busy_s
        return self._share


def gpu_app(collector: GpuCollector) -> web.Application:
    """``/metrics`` and ``/health`` of the exporter."""
    registry = CollectorRegistry()
    registry.register(collector)

    async def metrics(_: web.Request) -> web.Response:
        return exposition(registry)

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="OK")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/health", health)])
    return app
