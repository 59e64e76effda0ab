"""The catalogue of signals: each is one entry, and everything else about signals is derived from it.

Pure data, at the bottom of the house: the models, the rules, the queries and the simulator read it.
Upstream's metric names are in this file only, because upstream renames them. Sources: vLLM's
``vllm/v1/metrics`` as of 0.26 and 0.33, NVIDIA's DCGM exporter, and the endpoint picker of the Gateway
API inference extension.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Self


class Scope(StrEnum):
    """The scope of a signal's value: one for each pod, or one for all of them."""

    POD = "pod"
    CLUSTER = "cluster"


class Reduction(StrEnum):
    """How several series become one value of the signal's scope."""

    SUM = "sum"
    MEAN = "mean"
    QUANTILE = "quantile"


class Kind(StrEnum):
    """The kind of metric that the source exports."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class SignalSource:
    """One metric that a signal is read from."""

    kind: Kind
    name: str
    """The metric's name in the newest version."""
    spellings: tuple[str, ...] = ()
    """Other names of the same metric that are in use too."""
    formerly: tuple[str, ...] = ()
    """The metric's names in older versions."""
    scale: float = 1.0
    """The factor from the metric's unit to the signal's."""
    about_other_pods: bool = False
    """The exporter reports on the pods that use its GPUs. The labels are ``pod`` and ``namespace``, or
    ``exported_pod`` and ``exported_namespace`` where a scrape keeps the first for the exporter itself."""
    alongside: tuple[str, ...] = ()
    """Other metrics of the same exporter, where this one has no series before its first request."""
    exporters: str = ""
    """A regular expression of that exporter's pods, whose ``up`` proves the same as ``alongside``."""
    labels: tuple[str, ...] = ("model_name", "engine")
    """The labels that the exporter itself gives the metric, and that distinguish its series: series of one
    pod that agree in them and come from several scrapes are one series."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the newest first: for each pod the first that has series counts."""
        return (self.name, *self.spellings, *self.formerly)


@dataclass(frozen=True, slots=True)
class ValueBounds:
    """The values that a signal can have, in its unit; never NaN or an infinity."""

    low: float = 0.0
    high: float = inf

    def hold(self, value: float) -> bool:
        """True if the signal can have this value."""
        return self.low <= value <= self.high and value < inf

    def __str__(self) -> str:
        return f"{self.low:g} or more" if self.high == inf else f"{self.low:g} to {self.high:g}"


SHARE = "share, 0 to 1"
"""The unit of each pod's own share: a sum over pods means nothing without the number of pods."""

_NOT_NEGATIVE = ValueBounds()
_OF_A_SHARE = ValueBounds(high=1.05)
"""An exporter's share may pass 1 by its own rounding, and not by more: DCGM's "blank" for a percentage is
2**63 - 14, and counters that jump make thousands of percent."""


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """The entry of a signal; the sources are added up."""

    unit: str
    scope: Scope
    series: Reduction
    """How the series within the scope are reduced: the models or engines of one pod, the GPUs of one pod,
    the pods of the cluster."""
    sources: tuple[SignalSource, ...]
    exists_at_zero: bool = False
    """The signal has a value while there are no replicas."""
    counts_ended: bool = False
    """Counts requests that ended. Those that end in a draining pod are as real as any others."""
    optional: bool = False
    """Versions in use do not export it: a pod without it is not missing."""

    @property
    def is_share(self) -> bool:
        """True if a value is each pod's own share."""
        return self.unit == SHARE

    @property
    def is_quantile(self) -> bool:
        """True for one value over all pods: a quantile cannot be averaged or summed over pods."""
        return self.series is Reduction.QUANTILE

    @property
    def is_gauge(self) -> bool:
        """True for an instantaneous value, which has no window."""
        return all(source.kind is Kind.GAUGE for source in self.sources)

    @property
    def abstains(self) -> bool:
        """True if the signal has no value without requests, which is then not a fault."""
        return self.is_quantile or any(source.alongside for source in self.sources)

    @property
    def bounds(self) -> ValueBounds:
        """The possible values; any other is not a sample, and its pod is missing."""
        return _OF_A_SHARE if self.is_share else _NOT_NEGATIVE


_RUNNING = SignalSource(Kind.GAUGE, "vllm:num_requests_running")
_WAITING = SignalSource(Kind.GAUGE, "vllm:num_requests_waiting")


def _dcgm(name: str, scale: float = 1.0) -> SignalSource:
    """A metric of NVIDIA's exporter; GKE's examples rename them to lower case."""
    labels = ("UUID", "gpu", "GPU_I_ID")
    return SignalSource(Kind.GAUGE, name, (name.lower(),), scale=scale, about_other_pods=True, labels=labels)


_PICKER = SignalSource(
    Kind.GAUGE,
    "llm_d_epp_flow_control_queue_size",
    ("inference_extension_flow_control_queue_size",),
    labels=("inference_pool", "model_name", "target_model_name", "fairness_id", "priority"),
    alongside=(
        "llm_d_epp_flow_control_pool_saturation",
        "llm_d_epp_ready_endpoints",
        "llm_d_epp_info",
        "inference_extension_flow_control_pool_saturation",
        "inference_pool_ready_pods",
        "inference_extension_info",
    ),
    exporters="(.+-)?epp(-.+)?",
)
"""The endpoint picker; the charts of the inference extension and of llm-d call its pods ``NAME-epp-...``.
llm-d's name comes first; its router exports both names with one value (llm-d/llm-d-router#1661)."""

GATEWAY_QUEUE = _PICKER.names
"""The endpoint pickers' names of their queue. `autoscale batch` exports its own queue under all of them."""


class Signal(StrEnum):
    """The signals that every vLLM deployment can be asked for, by our own stable names."""

    info: SignalInfo

    def __new__(cls, word: str, info: SignalInfo) -> Self:
        """The member is the word; ``info`` is its entry."""
        signal = str.__new__(cls, word)
        signal._value_ = word
        signal.info = info
        return signal

    WAITING = "waiting", SignalInfo("requests", Scope.POD, Reduction.SUM, (_WAITING,))
    """Requests that a replica has accepted and not begun, preempted ones included. 0 until the replica is
    full, and without limit after that."""
    RUNNING = "running", SignalInfo("requests", Scope.POD, Reduction.SUM, (_RUNNING,))
    """Requests in the batch, those included whose prompt is still being read. Stops at max_num_seqs, or
    when the KV cache is full."""
    RUNNING_WAITING = (
        "running+waiting",
        SignalInfo("requests", Scope.POD, Reduction.SUM, (_RUNNING, _WAITING)),
    )
    """All requests in a replica. Grows with the load before and after the replica is full."""
    KV_CACHE_USAGE = (
        "kvCacheUsage",
        SignalInfo(
            SHARE,
            Scope.POD,
            Reduction.MEAN,
            (SignalSource(Kind.GAUGE, "vllm:kv_cache_usage_perc", formerly=("vllm:gpu_cache_usage_perc",)),),
        ),
    )
    """The share of KV-cache blocks in use. Blocks that are only cached count as free."""
    GPU_UTILIZATION = (
        "gpuUtilization",
        SignalInfo(SHARE, Scope.POD, Reduction.MEAN, (_dcgm("DCGM_FI_DEV_GPU_UTIL", scale=0.01),)),
    )
    """The share of time in which the GPU did anything at all. Near 1 with a single request: a guard at
    best, never a driver."""
    GPU_MEMORY_USED = (
        "gpuMemoryUsed",
        SignalInfo("MiB", Scope.POD, Reduction.SUM, (_dcgm("DCGM_FI_DEV_FB_USED"),)),
    )
    """GPU memory in use. vLLM takes its share at start and keeps it: it does not follow the load."""
    TTFT = (
        "ttft",
        SignalInfo(
            "seconds",
            Scope.CLUSTER,
            Reduction.QUANTILE,
            (SignalSource(Kind.HISTOGRAM, "vllm:time_to_first_token_seconds"),),
        ),
    )
    """Time to the first token: the quantile over all requests of the window. Abstains while there are no
    requests."""
    ITL = (
        "itl",
        SignalInfo(
            "seconds",
            Scope.CLUSTER,
            Reduction.QUANTILE,
            (
                SignalSource(
                    Kind.HISTOGRAM,
                    "vllm:inter_token_latency_seconds",
                    formerly=("vllm:time_per_output_token_seconds",),
                ),
            ),
        ),
    )
    """Time between output tokens: the quantile over all tokens of the window. Abstains while there are no
    requests, and is blind below 10 ms, the first bucket."""
    PROMPT_TOKENS_RATE = (
        "promptTokensPerSecond",
        SignalInfo(
            "tokens/s", Scope.POD, Reduction.SUM, (SignalSource(Kind.COUNTER, "vllm:prompt_tokens_total"),)
        ),
    )
    """Prompt tokens per second over the window: demand while the replica keeps up, then its speed."""
    GENERATION_TOKENS_RATE = (
        "generationTokensPerSecond",
        SignalInfo(
            "tokens/s",
            Scope.POD,
            Reduction.SUM,
            (SignalSource(Kind.COUNTER, "vllm:generation_tokens_total"),),
        ),
    )
    """Output tokens per second over the window: demand while the replica keeps up, then its speed."""
    REQUESTS_RATE = (
        "requestsPerSecond",
        SignalInfo(
            "requests/s",
            Scope.POD,
            Reduction.SUM,
            (
                SignalSource(
                    Kind.COUNTER,
                    "vllm:request_success_total",
                    labels=("model_name", "engine", "finished_reason"),
                ),
            ),
            counts_ended=True,
        ),
    )
    """Requests that ended per second over the window. Lags behind arrivals by the length of a request."""
    REJECTED_RATE = (
        "rejectedPerSecond",
        SignalInfo(
            "requests/s",
            Scope.POD,
            Reduction.SUM,
            (SignalSource(Kind.COUNTER, "vllm:admission_rejections_total", labels=("model_name", "reason")),),
            counts_ended=True,
            optional=True,
        ),
    )
    """Requests that a replica refused per second over the window, because max_num_queued_reqs or
    max_num_queued_tokens was reached: demand that no queue shows. Absent before vLLM 0.32."""
    GATEWAY_QUEUE = (
        "gatewayQueue",
        SignalInfo("requests", Scope.CLUSTER, Reduction.SUM, (_PICKER,), exists_at_zero=True),
    )
    """Requests that wait in front of the replicas, in a gateway or a batch client. Exists at 0 replicas."""


RENAMED_METRICS: dict[str, str] = {
    "vllm:gpu_prefix_cache_queries": "vllm:prefix_cache_queries",
    "vllm:gpu_prefix_cache_hits": "vllm:prefix_cache_hits",
} | {old: source.name for signal in Signal for source in signal.info.sources for old in source.formerly}
"""vLLM's old name -> its new one. 0.9 and 0.10 export both names, later versions only the new one."""

REMOVED_METRICS: dict[str, str] = {
    "vllm:num_requests_swapped": "vLLM v1 preempts by computing again; see vllm:num_preemptions_total",
    "vllm:cpu_cache_usage_perc": "vLLM v1 has no CPU cache of this kind",
    "vllm:gpu_prefix_cache_hit_rate": (
        "divide the rates of vllm:prefix_cache_hits_total and vllm:prefix_cache_queries_total"
    ),
    "vllm:time_per_prefill_token_request_seconds": "see vllm:request_prefill_time_seconds",
}
"""vLLM's metrics that were removed without a successor -> the advice."""
