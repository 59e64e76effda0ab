"""vLLM's latency histograms, as a replica counts them."""

from __future__ import annotations

from math import inf

TTFT_EDGES = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0, inf),
)
"""Upper edges of ``vllm:time_to_first_token_seconds``, vLLM 0.26."""

ITL_EDGES = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, inf),
)
"""Upper edges of ``vllm:inter_token_latency_seconds``, vLLM 0.26."""


class LatencyHistograms:
    """vLLM's TTFT and inter-token histograms of one replica (counts per bucket, not cumulative)."""

    def __init__(self) -> None:
        self.ttft = [0] * len(TTFT_EDGES)
        self.itl = [0] * len(ITL_EDGES)

    def first_token(self, ttft_s: float) -> None:
        """Counts one request's time to first token."""
        self.ttft[_bucket(TTFT_EDGES, ttft_s)] += 1

    def decode_run(self, sequences: int, steps: int, first_step_s: float, growth_s: float) -> None:
        """Counts the gaps of a run; its steps only grow, so each bucket takes a stretch of them."""
        counted = 0
        while counted < steps:
            bucket = _bucket(ITL_EDGES, first_step_s + counted * growth_s)
            upto = steps
            if growth_s > 0.0 and ITL_EDGES[bucket] < inf:
                upto = int((ITL_EDGES[bucket] - first_step_s) / growth_s) + 1
                upto = min(max(upto, counted + 1), steps)
            self.itl[bucket] += sequences * (upto - counted)
            counted = upto


def _bucket(edges: tuple[float, ...], value: float) -> int:
    return next(index for index, edge in enumerate(edges) if value <= edge)
