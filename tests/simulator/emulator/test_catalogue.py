"""Everything that the catalogue reads is exported here, so that a policy on any signal runs against pods
without GPUs.
"""

from __future__ import annotations

from autoscaler.api.signals import GATEWAY_QUEUE, Kind, Signal, SignalSource


def series_of(source: SignalSource) -> str:
    return f"{source.name}_bucket" if source.kind is Kind.HISTOGRAM else source.name


async def test_the_emulator_exports_every_metric_of_the_catalogue_but_the_gateways(http, capped_emulator):
    pod = await capped_emulator.add("vllm-0")
    gpus = await capped_emulator.export_gpus("serving", "pod")
    exported = set()
    for url in (pod.url, gpus.url):
        async with http.get(f"{url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        exported |= {line.partition("{")[0] for line in lines if not line.startswith("#")}
    read = {series_of(source) for signal in Signal for source in signal.info.sources}
    assert read - exported == {GATEWAY_QUEUE[0]}  # a gateway's own, and that of `autoscale batch`
