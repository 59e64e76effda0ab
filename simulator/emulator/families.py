"""The families of ``/metrics`` that vLLM 0.26 exports, and the bucket edges of its histograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from simulator.run.latency_histograms import ITL_EDGES, TTFT_EDGES

Labels = Mapping[str, str]

REQUEST_EDGES = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0, inf),
)
"""Seconds of requests and of their parts."""

ITERATION_EDGES = (1.0, *(8.0 * 2**power for power in range(12)), inf)
"""Tokens of one step."""

N_EDGES = (1.0, 2.0, 5.0, 10.0, 20.0, inf)
"""Answers per request."""


def length_edges(max_model_len: int) -> tuple[float, ...]:
    """Tokens of prompts and answers: 1, 2, 5, 10… up to the context's length."""
    edges = (float(digit * 10**power) for power in range(9) for digit in (1, 2, 5))
    return (*(edge for edge in edges if edge <= max_model_len), inf)


@dataclass(slots=True)
class Histogram:
    """Counts per bucket (not cumulative) and the sum of what was observed."""

    edges: tuple[float, ...]
    total: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * len(self.edges)

    def observe(self, value: float, times: int = 1) -> None:
        """Counts ``value``, ``times`` times."""
        index = next(index for index, edge in enumerate(self.edges) if value <= edge)
        self.counts[index] += times
        self.total += value * times


HISTOGRAMS: Mapping[str, tuple[str, tuple[float, ...] | None]] = {
    "vllm:request_prompt_tokens": ("Prompt tokens of finished requests.", None),
    "vllm:request_generation_tokens": ("Output tokens of finished requests.", None),
    "vllm:request_max_num_generation_tokens": ("The longest answer of finished requests.", None),
    "vllm:request_params_max_tokens": ("max_tokens of finished requests.", None),
    "vllm:request_prefill_kv_computed_tokens": ("Prompt tokens that were computed, not cached.", None),
    "vllm:iteration_tokens_total": ("Tokens of one step.", ITERATION_EDGES),
    "vllm:request_params_n": ("Answers asked for by finished requests.", N_EDGES),
    "vllm:time_to_first_token_seconds": ("Arrival to first token.", TTFT_EDGES),
    "vllm:inter_token_latency_seconds": ("From one token of a request to its next.", ITL_EDGES),
    "vllm:request_time_per_output_token_seconds": ("Mean time per token after a first one.", ITL_EDGES),
    "vllm:e2e_request_latency_seconds": ("Arrival to last token.", REQUEST_EDGES),
    "vllm:request_queue_time_seconds": ("Arrival to first step.", REQUEST_EDGES),
    "vllm:request_inference_time_seconds": ("First step to last token.", REQUEST_EDGES),
    "vllm:request_prefill_time_seconds": ("First step to first token.", REQUEST_EDGES),
    "vllm:request_decode_time_seconds": ("First to last token.", REQUEST_EDGES),
}
"""Name -> help text and edges; None: ``length_edges``."""


def gauge(name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """A gauge with a sample for each set of labels."""
    metric = Metric(name, text, "gauge")
    for labels, value in samples:
        metric.add_sample(name, dict(labels), value)
    return metric


def counter(name: str, text: str, samples: Iterable[tuple[Labels, float]], created: float) -> Metric:
    """A counter (``name`` without ``_total``) with its creation time, as vLLM's client writes it."""
    metric = Metric(name, text, "counter")
    for labels, value in samples:
        metric.add_sample(f"{name}_total", dict(labels), value)
        metric.add_sample(f"{name}_created", dict(labels), created)
    return metric


def histogram(name: str, text: str, labels: Labels, observed: Histogram, created: float) -> Metric:
    """A histogram with cumulative buckets."""
    metric = Metric(name, text, "histogram")
    seen = 0
    for edge, count in zip(observed.edges, observed.counts, strict=True):
        seen += count
        le = "+Inf" if edge == inf else repr(edge)
        metric.add_sample(f"{name}_bucket", {**labels, "le": le}, seen)
    metric.add_sample(f"{name}_count", dict(labels), seen)
    metric.add_sample(f"{name}_sum", dict(labels), observed.total)
    metric.add_sample(f"{name}_created", dict(labels), created)
    return metric


def exposition(registry: CollectorRegistry) -> web.Response:
    """Everything in a registry as Prometheus' text.

    Never OpenMetrics: prometheus_client 0.26 writes ``vllm_`` for ``vllm:`` there unless the scraper
    asks for UTF-8 names.
    """
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
