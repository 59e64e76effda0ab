"""The simulated cluster as a metric source: answers as a Prometheus source gives them.

Every ready pod is scraped at the same times; a scrape becomes visible ``lag`` seconds later, with
the time of the scrape as its samples' own. Units are those of the live signals: counts for waiting
and running, 0 to 1 for kvCacheUsage and gpuUtilization, MiB for gpuMemoryUsed, seconds for
quantiles, per second for rates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from operator import sub

from autoscaler.api.models import Signal, Spec
from autoscaler.decision.types import Observation, Pod, PodPhase
from autoscaler.metrics.readings import question, questions, readings
from autoscaler.ports import Answer, Buckets, Point, Question
from simulator.traces.series import Series
from simulator.vllm.replica import Replica
from simulator.world.cluster import Cluster, PodState, SimulatedPod

NAMESPACE = "simulated"
"""The namespace of every simulated pod."""

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
    """A metric source over the simulated cluster: answers what a Prometheus that scrapes it would.

    It keeps the scrapes that a policy's inputs look back on.
    """

    def __init__(self, spec: Spec, interval_s: float, lag_s: float, series: Mapping[str, Series]) -> None:
        """``series`` holds the recorded values of free queries, by metric name."""
        self._spec = spec
        self._lag_s = lag_s
        self._questions = questions(spec)
        self._recorded = {question(one): series[one.name] for one in spec.inputs if one.signal is None}
        self._needs_latency = any(asked.signal in _HISTOGRAMS for asked in self._questions)
        self._keep_s = max(metric.window_seconds for metric in spec.inputs) + interval_s + lag_s
        self._scrapes: deque[Scrape] = deque()

    def new_observer(self) -> LatencyHistograms | None:
        """Counts a new replica's latencies; None where no quantile is asked for."""
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

    def answers(self, now: float) -> dict[Question, Answer]:
        """One answer for each of the policy's questions, from the scrapes that can be queried at ``now``."""
        visible = [scrape for scrape in self._scrapes if scrape.time_s + self._lag_s <= now]
        return {asked: self._answer(asked, visible, now) for asked in self._questions}

    def observe(
        self,
        cluster: Cluster,
        answers: Mapping[Question, Answer],
        now: float,
        active_schedules: tuple[str, ...] = (),
    ) -> Observation:
        """The observation of a sync at ``now``: the pods, and the readings of ``answers`` about them."""
        pods = tuple(observed_pod(pod, now) for pod in cluster.pods)
        return Observation(
            spec_replicas=cluster.desired,
            status_replicas=sum(pod.state is not PodState.DRAINING for pod in cluster.pods),
            pods=pods,
            readings=readings(self._spec, answers, NAMESPACE, pods, now),
            active_schedules=active_schedules,
        )

    def _answer(self, asked: Question, visible: list[Scrape], now: float) -> Answer:
        if asked.signal is None:
            samples = self._recorded[asked].samples(now - self._lag_s)
            return Answer(tuple(Point(one.value, one.timestamp, NAMESPACE, one.pod) for one in samples))
        if not visible:
            return Answer(error="not scraped yet")
        last, signal = visible[-1], asked.signal
        if signal in _HISTOGRAMS:
            return Answer(buckets=_buckets(_window(visible, asked), *_HISTOGRAMS[signal]))
        if signal is Signal.GATEWAY_QUEUE:
            return Answer((Point(float(last.gateway_queue), last.time_s, NAMESPACE),))
        if signal in _GAUGES:
            gauge = _GAUGES[signal]
            return Answer(
                tuple(Point(gauge(pod), last.time_s, NAMESPACE, name) for name, pod in last.pods.items())
            )
        if signal is Signal.GPU_UTILIZATION:
            return Answer(_rates(visible[-2:], lambda pod: pod.busy_s))
        if signal is not Signal.REJECTED_RATE:
            return Answer(_rates(_window(visible, asked), _COUNTERS[signal]))
        return _rejections(_window(visible, asked))


def observed_pod(pod: SimulatedPod, now: float) -> Pod:
    """The pod as the API server shows it."""
    return Pod(
        name=pod.replica.name,
        phase=PodPhase.PENDING if pod.pending(now) else PodPhase.RUNNING,
        ready=pod.state is not PodState.STARTING,
        deleting=pod.state is PodState.DRAINING,
    )


def _scrape_pod(replica: Replica, now: float) -> PodScrape:
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
}

_HISTOGRAMS: dict[Signal | None, tuple[tuple[float, ...], Callable[[PodScrape], tuple[int, ...]]]] = {
    Signal.TTFT: (TTFT_EDGES, lambda pod: pod.ttft),
    Signal.ITL: (ITL_EDGES, lambda pod: pod.itl),
}


def _window(visible: list[Scrape], asked: Question) -> list[Scrape]:
    since = visible[-1].time_s - asked.window_seconds
    return [scrape for scrape in visible if scrape.time_s >= since]


def _grown(window: list[Scrape]) -> Iterator[tuple[str, PodScrape, PodScrape, float]]:
    """Each pod that was scraped twice: its first and last scrape, and the seconds between them."""
    last = window[-1]
    for name, pod in last.pods.items():
        first = next(scrape for scrape in window if name in scrape.pods)
        if first is not last:
            yield name, first.pods[name], pod, last.time_s - first.time_s


def _rates(window: list[Scrape], counter: Callable[[PodScrape], float]) -> tuple[Point, ...]:
    """Each pod's increase per second over the scrapes that have it; none from a single scrape."""
    time_s = window[-1].time_s
    return tuple(
        Point((counter(last) - counter(first)) / seconds, time_s, NAMESPACE, name)
        for name, first, last, seconds in _grown(window)
    )


def _rejections(window: list[Scrape]) -> Answer:
    """The rates of refused requests, of the pods that count them."""
    counting = {name for name, pod in window[-1].pods.items() if pod.refused is not None}
    points = tuple(point for point in _rates(window, lambda pod: pod.refused or 0) if point.pod in counting)
    rated = {point.pod for point in points}
    return Answer(points, unrated=frozenset((NAMESPACE, name) for name in counting if name not in rated))


def _buckets(
    window: list[Scrape], edges: tuple[float, ...], histogram: Callable[[PodScrape], tuple[int, ...]]
) -> tuple[Buckets, ...]:
    """Each pod's histogram of the window; none from a single scrape."""
    found = []
    for name, first, last, seconds in _grown(window):
        increases = map(sub, histogram(last), histogram(first))
        rates = tuple(count / seconds for count in accumulate(increases))
        found.append(Buckets(edges, rates, window[-1].time_s, NAMESPACE, name))
    return tuple(found)
