"""What the autoscaler sees of the cluster: samples as Prometheus would hold them.

Every ready pod is scraped at the same times; a scrape becomes visible ``lag`` seconds later, with
the time of the scrape as its samples' own. Units are those of the live signals: counts for waiting
and running, 0 to 1 for kvCacheUsage and gpuUtilization, MiB for gpuMemoryUsed, seconds for
quantiles, per second for rates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from autoscaler.decision.types import NO_REQUEST, Observation, Pod, PodPhase, Reading, Sample
from autoscaler.histograms import histogram_quantile
from autoscaler.policy.models import DEFAULT_QUANTILE, Metric, Signal
from simulator.cluster import Cluster, PodState, SimulatedPod
from simulator.series import Series
from simulator.server import VllmServer

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


@dataclass(frozen=True, slots=True)
class PodScrape:
    """One pod's ``/metrics`` at one time, as far as signals need it. Counters are cumulative.

    ``refused`` is None where the engine takes any number of requests and counts none.
    """

    running: int
    waiting: int
    kv_usage: float
    busy_s: float
    gpu_memory_mib: float
    prompt_tokens: int
    generated_tokens: int
    finished: int
    refused: int | None = None
    ttft: tuple[int, ...] = ()
    itl: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scrape:
    """All pods at one time."""

    time_s: float
    pods: Mapping[str, PodScrape]
    gateway_queue: int


class Scraper:
    """Keeps the scrapes that a policy's inputs look back on, and turns them into readings."""

    def __init__(
        self, inputs: tuple[Metric, ...], interval_s: float, lag_s: float, series: Mapping[str, Series]
    ) -> None:
        """``series`` holds the recorded values of free queries, by metric name."""
        self._inputs = inputs
        self._lag_s = lag_s
        self._series = series
        self._needs_latency = any(metric.signal in _QUANTILE_OF for metric in inputs)
        self._keep_s = max(metric.window_seconds for metric in inputs) + interval_s + lag_s
        self._scrapes: deque[Scrape] = deque()

    def new_observer(self) -> LatencyHistograms | None:
        """What a new replica is told to count; nothing where no quantile is asked for."""
        return LatencyHistograms() if self._needs_latency else None

    def scrape(self, cluster: Cluster, now: float) -> None:
        """Records every ready or draining pod; the cluster has been advanced to ``now``."""
        pods = {
            pod.replica.name: _scrape_pod(pod.replica, now)
            for pod in cluster.pods
            if pod.state is not PodState.STARTING
        }
        self._scrapes.append(Scrape(now, pods, len(cluster.gateway)))
        # One scrape older than the window stays: rates need both ends.
        while len(self._scrapes) > 2 and self._scrapes[1].time_s < now - self._keep_s:
            self._scrapes.popleft()

    def observe(self, cluster: Cluster, now: float, active_schedules: tuple[str, ...]) -> Observation:
        """The observation of a sync at ``now``: live pods, and readings of what is visible."""
        visible = [scrape for scrape in self._scrapes if scrape.time_s + self._lag_s <= now]
        return Observation(
            spec_replicas=cluster.desired,
            status_replicas=sum(pod.state is not PodState.DRAINING for pod in cluster.pods),
            pods=tuple(observed_pod(pod, now) for pod in cluster.pods),
            readings=tuple(self._read(metric, visible, cluster, now) for metric in self._inputs),
            active_schedules=active_schedules,
        )

    def _read(self, metric: Metric, visible: list[Scrape], cluster: Cluster, now: float) -> Reading:
        if metric.signal is None:
            return Reading(metric.name, self._series[metric.name].samples(now - self._lag_s))
        if not visible:
            return Reading(metric.name, error="not scraped yet")
        if metric.signal in _QUANTILE_OF:
            return _quantile(_window(visible, metric), metric, _ready(cluster))
        samples = self._samples(metric, visible)
        if metric.signal is not Signal.REJECTED_RATE:
            return Reading(metric.name, samples)
        rated, last = {sample.pod for sample in samples}, visible[-1].pods
        counting = [name for name in _ready(cluster) if name in last and last[name].refused is not None]
        missing = tuple(name for name in counting if name not in rated)
        return Reading(metric.name, samples, missing=missing)

    def _samples(self, metric: Metric, visible: list[Scrape]) -> tuple[Sample, ...]:
        last = visible[-1]
        signal = metric.signal
        if signal is Signal.GATEWAY_QUEUE:
            return (Sample(float(last.gateway_queue), last.time_s),)
        if signal in _GAUGES:
            gauge = _GAUGES[signal]
            return tuple(Sample(gauge(pod), last.time_s, name) for name, pod in last.pods.items())
        if signal is Signal.GPU_UTILIZATION:
            return _rates(visible[-2:], lambda pod: pod.busy_s)
        if signal is Signal.REJECTED_RATE and all(pod.refused is None for pod in last.pods.values()):
            return ()
        return _rates(_window(visible, metric), _COUNTERS[signal])


def observed_pod(pod: SimulatedPod, now: float) -> Pod:
    """The pod as the API server shows it."""
    return Pod(
        name=pod.replica.name,
        phase=PodPhase.PENDING if pod.pending(now) else PodPhase.RUNNING,
        ready=pod.state is not PodState.STARTING,
        deleting=pod.state is PodState.DRAINING,
    )


def _scrape_pod(replica: VllmServer, now: float) -> PodScrape:
    latency = replica.observer if isinstance(replica.observer, LatencyHistograms) else None
    return PodScrape(
        running=replica.running,
        waiting=replica.waiting(now),
        kv_usage=replica.kv_usage(now),
        busy_s=replica.busy_until(now),
        gpu_memory_mib=replica.gpu_memory_mib,
        prompt_tokens=replica.prompt_tokens,
        generated_tokens=replica.tokens_generated_until(now),
        finished=replica.finished,
        refused=replica.refused,
        ttft=tuple(latency.ttft) if latency else (),
        itl=tuple(latency.itl) if latency else (),
    )


_GAUGES: dict[Signal | None, Callable[[PodScrape], float]] = {
    Signal.WAITING: lambda pod: float(pod.waiting),
    Signal.RUNNING: lambda pod: float(pod.running),
    Signal.RUNNING_WAITING: lambda pod: float(pod.running + pod.waiting),
    Signal.KV_CACHE_USAGE: lambda pod: pod.kv_usage,
    Signal.GPU_MEMORY_USED: lambda pod: pod.gpu_memory_mib,
}

_COUNTERS: dict[Signal | None, Callable[[PodScrape], float]] = {
    Signal.PROMPT_TOKENS_RATE: lambda pod: pod.prompt_tokens,
    Signal.GENERATION_TOKENS_RATE: lambda pod: pod.generated_tokens,
    Signal.REQUESTS_RATE: lambda pod: pod.finished,
    Signal.REJECTED_RATE: lambda pod: pod.refused or 0,
}

_QUANTILE_OF: dict[Signal | None, tuple[tuple[float, ...], Callable[[PodScrape], tuple[int, ...]]]] = {
    Signal.TTFT: (TTFT_EDGES, lambda pod: pod.ttft),
    Signal.ITL: (ITL_EDGES, lambda pod: pod.itl),
}


def _ready(cluster: Cluster) -> list[str]:
    return [replica.name for replica in cluster.ready]


def _window(visible: list[Scrape], metric: Metric) -> list[Scrape]:
    since = visible[-1].time_s - metric.window_seconds
    return [scrape for scrape in visible if scrape.time_s >= since]


def _rates(window: list[Scrape], counter: Callable[[PodScrape], float]) -> tuple[Sample, ...]:
    """Each pod's increase per second over the scrapes that have it; none from a single scrape."""
    last = window[-1]
    samples = []
    for name, pod in last.pods.items():
        first = next(scrape for scrape in window if name in scrape.pods)
        if first is not last:
            increase = counter(pod) - counter(first.pods[name])
            samples.append(Sample(increase / (last.time_s - first.time_s), last.time_s, name))
    return tuple(samples)


def _quantile(window: list[Scrape], metric: Metric, ready: list[str]) -> Reading:
    """``histogram_quantile`` over all pods' increases.

    No sample where nothing was observed: idle, if each of the ``ready`` pods was scraped twice.
    """
    edges, histogram = _QUANTILE_OF[metric.signal]
    last = window[-1]
    counts = [0] * len(edges)
    for name, pod in last.pods.items():
        first = next(scrape for scrape in window if name in scrape.pods)
        before = histogram(first.pods[name]) if first is not last else (0,) * len(edges)
        for index, (now, then) in enumerate(zip(histogram(pod), before, strict=True)):
            counts[index] += now - then
    value = histogram_quantile(metric.quantile or DEFAULT_QUANTILE, edges, tuple(accumulate(counts)))
    if value is not None:
        return Reading(metric.name, (Sample(value, last.time_s),))
    whole = bool(ready) and all(name in last.pods and _scraped_twice(name, window) for name in ready)
    return Reading(metric.name, idle=NO_REQUEST.format(metric.window_seconds) if whole else None)


def _scraped_twice(pod: str, window: list[Scrape]) -> bool:
    """Whether a rate over the window is known of a pod."""
    return sum(pod in scrape.pods for scrape in window) > 1
