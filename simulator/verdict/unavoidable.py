"""Misses that no number of replicas would have saved: an idle replica has them too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from simulator.run.scenario import Scenario
from simulator.vllm.request_table import RequestTable
from simulator.world.cluster import Cluster

Shape: TypeAlias = tuple[int, int]
"""Prompt and output tokens of a request."""


class IdleReplica:
    """The requests that miss the SLO even alone on an idle replica with an empty cache.

    That depends on a request's shape only; each shape is replayed once.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._table = RequestTable(keep_rows=False, slo=scenario.slo)
        self._cluster = Cluster(
            scenario.profile, scenario.startup, self._table, "least-loaded", 0, server=scenario.server
        )
        self._cluster.start_ready(1)
        self._now = 0.0
        self._known: dict[Shape, bool] = {}

    def misses(self, prompt_tokens: int, output_tokens: int) -> bool:
        """True if a request of this shape misses; a rejected one does."""
        shape = prompt_tokens, output_tokens
        if shape not in self._known:
            self._known[shape] = self._replay(shape)
        return self._known[shape]

    def _replay(self, shape: Shape) -> bool:
        before = len(self._table.missed_arrival_s)
        self._cluster.arrive(self._table.add(self._now, *shape), self._now)
        self._cluster.finish()
        self._now = max(self._now, self._cluster.last_finish()) + 1.0
        return len(self._table.missed_arrival_s) > before


def missed(table: RequestTable) -> Iterator[tuple[float, Shape]]:
    """Arrival in seconds and shape of each request that missed the SLO."""
    shapes = zip(table.missed_prompt_tokens, table.missed_output_tokens, strict=True)
    return zip(table.missed_arrival_s, shapes, strict=True)
