"""A vLLM server's gauges once a second, beside a load: the scrape series that ``calibrate`` reads."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from autoscaler.client.endpoint import Endpoint
from autoscaler.errors import AutoscalerError, ServerError

GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
_OLD_NAMES = {"vllm:gpu_cache_usage_perc": "vllm:kv_cache_usage_perc"}
"""vLLM before 0.11."""


@dataclass(slots=True)
class Scrapes:
    """Rows of ``(second, *GAUGES)``; ``now`` returns the seconds since the load began.

    A scrape counts at the moment in which it was asked for. One that fails leaves a gap, and is counted.
    """

    endpoint: Endpoint
    now: Callable[[], float]
    interval_s: float = 1.0
    rows: list[tuple[float, ...]] = field(default_factory=list)
    failed: int = 0

    async def check(self) -> None:
        """Asks once, before the load.

        Raises:
            ServerError: there is no answer, or no vLLM's.
            RequestError: it is refused.
        """
        read_gauges(await self.endpoint.metrics())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Scrapes in the background."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()

    async def _run(self) -> None:
        wait_s = self.interval_s
        while True:
            await asyncio.sleep(wait_s)
            asked = self.now()
            try:
                gauges = read_gauges(await self.endpoint.metrics())
                self.rows.append((asked, *(gauges[name] for name in GAUGES)))
            except AutoscalerError:
                self.failed += 1
            wait_s = max(asked + self.interval_s - self.now(), 0.0)


def read_gauges(text: str) -> Mapping[str, float]:
    """The gauges of an exposition; of several engines the sum of requests and the mean of usage.

    Raises:
        ServerError: one of them is not there, or no number.
    """
    found = defaultdict[str, list[float]](list)
    for line in text.splitlines():
        name, _, rest = line.partition("{")
        name = _OLD_NAMES.get(name, name)
        if name in GAUGES:
            found[name].append(_value(rest))
    missing = [name for name in GAUGES if not found[name]]
    if missing:
        raise ServerError(f"/metrics has no {missing[0]}: --metrics needs a vLLM server")
    sums = {name: sum(values) for name, values in found.items()}
    sums[GAUGES[2]] /= len(found[GAUGES[2]])
    return sums


def _value(rest: str) -> float:
    try:
        return float(rest.rpartition("}")[2].split()[0])
    except (ValueError, IndexError):
        raise ServerError(f"/metrics has a line that cannot be read: {rest[:100]!r}") from None
