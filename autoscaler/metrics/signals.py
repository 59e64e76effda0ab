"""The catalogue of signals: what each one is, and what vLLM and DCGM call it.

Pure data. The enum itself is ``policy.models.Signal``; upstream's metric names stand here alone,
because upstream renames them. Sources: vLLM's ``vllm/v1/metrics`` as of 0.26 and 0.33, NVIDIA's
DCGM exporter, and the endpoint picker of the Gateway API inference extension.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from autoscaler.api.models import BOUNDS, Signal, ValueBounds


class Scope(StrEnum):
    """Whether a signal has a value for each pod, or one for all of them."""

    POD = "pod"
    CLUSTER = "cluster"


class Reduction(StrEnum):
    """How several series become one value of the signal's scope."""

    SUM = "sum"
    MEAN = "mean"
    QUANTILE = "quantile"


class Kind(StrEnum):
    """What kind of metric the source exports."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class SignalSource:
    """One metric that a signal is read from.

    ``names`` are the same metric's over versions and spellings, newest first: for each pod the
    first that has series counts. ``scale`` times the metric is the signal in its own unit.
    ``alongside``: other metrics of the same exporter, where this one has no series before its first
    request; ``exporters``: a regular expression of that exporter's pods, whose ``up`` says the same.
    ``labels`` are those that the exporter itself gives the metric, which tell its series apart: series
    of one pod that agree in them and come from several scrapes are one series.
    ``about_other_pods``: an exporter tells of the pods that use its GPUs; the labels are ``pod``
    and ``namespace``, or ``exported_pod`` and ``exported_namespace`` where a scrape keeps the first
    for the exporter itself.
    """

    kind: Kind
    names: tuple[str, ...]
    scale: float = 1.0
    about_other_pods: bool = False
    alongside: tuple[str, ...] = ()
    exporters: str = ""
    labels: tuple[str, ...] = ("model_name", "engine")


SCRAPE_LABELS = (
    "job",
    "instance",
    "service",
    "endpoint",
    "container",
    "prometheus",
    "prometheus_replica",
    "replica",
    "receive_replica",
    "__replica__",
)
"""What a scrape, an operator, or one of several equal servers adds: two scrapes of a pod differ in it."""


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """One entry of the catalogue.

    ``sources`` are added up. ``series`` says how the series within the scope are reduced (models
    or engines of one pod, GPUs of one pod, pods of the cluster).
    """

    signal: Signal
    unit: str
    scope: Scope
    series: Reduction
    sources: tuple[SignalSource, ...]
    description: str

    @property
    def bounds(self) -> ValueBounds:
        """What a value can be; one outside of them is not a sample, and its pod is missing."""
        return BOUNDS[self.signal]


_RUNNING = SignalSource(Kind.GAUGE, ("vllm:num_requests_running",))
_WAITING = SignalSource(Kind.GAUGE, ("vllm:num_requests_waiting",))


def _dcgm(name: str, scale: float = 1.0) -> SignalSource:
    """A metric of NVIDIA's exporter; GKE's examples rename them to lower case."""
    labels = ("UUID", "gpu", "GPU_I_ID")
    return SignalSource(Kind.GAUGE, (name, name.lower()), scale, about_other_pods=True, labels=labels)


GATEWAY_QUEUE = ("llm_d_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size")
"""What endpoint pickers call their queue, llm-d's name first; its router says both with one value
(llm-d/llm-d-router#1661). `autoscale batch` exports its own queue under both."""

_PICKER = SignalSource(
    Kind.GAUGE,
    GATEWAY_QUEUE,
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
"""The endpoint picker; the charts of the inference extension and of llm-d call its pods ``NAME-epp-...``."""

_ENTRIES = (
    SignalInfo(
        Signal.WAITING,
        "requests",
        Scope.POD,
        Reduction.SUM,
        (_WAITING,),
        "Requests that a replica has accepted and not begun, preempted ones included. 0 until the replica is "
        "full, and without limit after that.",
    ),
    SignalInfo(
        Signal.RUNNING,
        "requests",
        Scope.POD,
        Reduction.SUM,
        (_RUNNING,),
        "Requests in the batch, those included whose prompt is still being read. Stops at max_num_seqs, or "
        "when the KV cache is full.",
    ),
    SignalInfo(
        Signal.RUNNING_WAITING,
        "requests",
        Scope.POD,
        Reduction.SUM,
        (_RUNNING, _WAITING),
        "All requests in a replica. Grows with the load before and after the replica is full.",
    ),
    SignalInfo(
        Signal.KV_CACHE_USAGE,
        "share, 0 to 1",
        Scope.POD,
        Reduction.MEAN,
        (SignalSource(Kind.GAUGE, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),),
        "The share of KV-cache blocks in use. Blocks that are only cached count as free.",
    ),
    SignalInfo(
        Signal.GPU_UTILIZATION,
        "share, 0 to 1",
        Scope.POD,
        Reduction.MEAN,
        (_dcgm("DCGM_FI_DEV_GPU_UTIL", scale=0.01),),
        "The share of time in which the GPU did anything at all. Near 1 with a single request: a guard at "
        "best, never a driver.",
    ),
    SignalInfo(
        Signal.GPU_MEMORY_USED,
        "MiB",
        Scope.POD,
        Reduction.SUM,
        (_dcgm("DCGM_FI_DEV_FB_USED"),),
        "GPU memory in use. vLLM takes its share at start and keeps it: it does not follow the load.",
    ),
    SignalInfo(
        Signal.TTFT,
        "seconds",
        Scope.CLUSTER,
        Reduction.QUANTILE,
        (SignalSource(Kind.HISTOGRAM, ("vllm:time_to_first_token_seconds",)),),
        "Time to the first token: the quantile over all requests of the window. Abstains without requests.",
    ),
    SignalInfo(
        Signal.ITL,
        "seconds",
        Scope.CLUSTER,
        Reduction.QUANTILE,
        (
            SignalSource(
                Kind.HISTOGRAM, ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
            ),
        ),
        "Time between output tokens: the quantile over all tokens of the window. Abstains without requests. "
        "Latencies below 10 ms, the first bucket, are not resolved.",
    ),
    SignalInfo(
        Signal.PROMPT_TOKENS_RATE,
        "tokens/s",
        Scope.POD,
        Reduction.SUM,
        (SignalSource(Kind.COUNTER, ("vllm:prompt_tokens_total",)),),
        "Prompt tokens per second over the window: demand while the replica keeps up, then its speed.",
    ),
    SignalInfo(
        Signal.GENERATION_TOKENS_RATE,
        "tokens/s",
        Scope.POD,
        Reduction.SUM,
        (SignalSource(Kind.COUNTER, ("vllm:generation_tokens_total",)),),
        "Output tokens per second over the window: demand while the replica keeps up, then its speed.",
    ),
    SignalInfo(
        Signal.REQUESTS_RATE,
        "requests/s",
        Scope.POD,
        Reduction.SUM,
        (
            SignalSource(
                Kind.COUNTER,
                ("vllm:request_success_total",),
                labels=("model_name", "engine", "finished_reason"),
            ),
        ),
        "Requests that ended per second over the window. Lags behind arrivals by the length of a request.",
    ),
    SignalInfo(
        Signal.REJECTED_RATE,
        "requests/s",
        Scope.POD,
        Reduction.SUM,
        (SignalSource(Kind.COUNTER, ("vllm:admission_rejections_total",), labels=("model_name", "reason")),),
        "Requests that a replica refused per second over the window, because max_num_queued_reqs or "
        "max_num_queued_tokens was reached: demand that no queue shows. Absent before vLLM 0.32.",
    ),
    SignalInfo(
        Signal.GATEWAY_QUEUE,
        "requests",
        Scope.CLUSTER,
        Reduction.SUM,
        (_PICKER,),
        "Requests that wait in front of the replicas, in a gateway or a batch client. Exists at 0 replicas.",
    ),
)

CATALOGUE: dict[Signal, SignalInfo] = {entry.signal: entry for entry in _ENTRIES}
"""Every signal's entry."""

RENAMED_METRICS: dict[str, str] = {
    "vllm:gpu_cache_usage_perc": "vllm:kv_cache_usage_perc",
    "vllm:gpu_prefix_cache_queries": "vllm:prefix_cache_queries",
    "vllm:gpu_prefix_cache_hits": "vllm:prefix_cache_hits",
    "vllm:time_per_output_token_seconds": "vllm:inter_token_latency_seconds",
}
"""vLLM's old name -> its new one. 0.9 and 0.10 export both, later versions the new one only."""

REMOVED_METRICS: dict[str, str] = {
    "vllm:num_requests_swapped": "vLLM v1 preempts by computing again; see vllm:num_preemptions_total",
    "vllm:cpu_cache_usage_perc": "vLLM v1 has no CPU cache of this kind",
    "vllm:gpu_prefix_cache_hit_rate": (
        "divide the rates of vllm:prefix_cache_hits_total and vllm:prefix_cache_queries_total"
    ),
    "vllm:time_per_prefill_token_request_seconds": "see vllm:request_prefill_time_seconds",
}
"""vLLM's metrics that went without a new name -> what to use instead."""
