"""Each signal of the catalogue, read from the scrapes of the simulated pods: a line of READERS for each.

Units are those of the live signals: counts for waiting and running, 0 to 1 for kvCacheUsage and
gpuUtilization, MiB for gpuMemoryUsed, seconds for quantiles, per second for rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import sub

from autoscaler.api.models import Signal
from autoscaler.ports.metrics import Answer, Buckets, Point
from simulator.run.latency_histograms import ITL_EDGES, TTFT_EDGES

NAMESPACE = "simulated"
"""The namespace of every simulated pod."""


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


_Reader = Callable[[list[Scrape], int], Answer]
"""The scrapes that can be queried, the last of them the newest, and the seconds to look back -> an answer."""


def _gauge(value: Callable[[PodScrape], float]) -> _Reader:
    """Each pod's value in the newest scrape."""

    def read(visible: list[Scrape], _window_s: int) -> Answer:
        last = visible[-1]
        return Answer(
            tuple(Point(value(pod), last.time_s, NAMESPACE, name) for name, pod in last.pods.items())
        )

    return read


def _share(busy_s: Callable[[PodScrape], float]) -> _Reader:
    """Each pod's share of busy time between the two newest scrapes."""
    return lambda visible, _window_s: Answer(_rates(visible[-2:], busy_s))


def _rate(counter: Callable[[PodScrape], float]) -> _Reader:
    """Each pod's increase per second over the window."""
    return lambda visible, window_s: Answer(_rates(_window(visible, window_s), counter))


def _optional_rate(counter: Callable[[PodScrape], float | None]) -> _Reader:
    """The rates of the pods that count; None where a pod does not."""

    def read(visible: list[Scrape], window_s: int) -> Answer:
        window = _window(visible, window_s)
        counting = {name for name, pod in window[-1].pods.items() if counter(pod) is not None}
        rates = _rates(window, lambda pod: counter(pod) or 0)
        points = tuple(point for point in rates if point.pod in counting)
        unrated = counting - {point.pod for point in points}
        return Answer(points, unrated=frozenset((NAMESPACE, name) for name in unrated))

    return read


def _histogram(edges: tuple[float, ...], counts: Callable[[PodScrape], tuple[int, ...]]) -> _Reader:
    """Each pod's histogram of the window."""
    return lambda visible, window_s: Answer(buckets=_buckets(_window(visible, window_s), edges, counts))


def _of_cluster(value: Callable[[Scrape], float]) -> _Reader:
    """One value, of no pod."""
    return lambda visible, _: Answer((Point(value(visible[-1]), visible[-1].time_s, NAMESPACE),))


READERS: dict[Signal, _Reader] = {
    Signal.WAITING: _gauge(lambda pod: float(pod.waiting)),
    Signal.RUNNING: _gauge(lambda pod: float(pod.running)),
    Signal.RUNNING_WAITING: _gauge(lambda pod: float(pod.running + pod.waiting)),
    Signal.KV_CACHE_USAGE: _gauge(lambda pod: pod.kv_usage),
    Signal.GPU_UTILIZATION: _share(lambda pod: pod.busy_s),
    Signal.GPU_MEMORY_USED: _gauge(lambda pod: pod.gpu_memory_mib),
    Signal.TTFT: _histogram(TTFT_EDGES, lambda pod: pod.ttft),
    Signal.ITL: _histogram(ITL_EDGES, lambda pod: pod.itl),
    Signal.PROMPT_TOKENS_RATE: _rate(lambda pod: pod.prompt_tokens),
    Signal.GENERATION_TOKENS_RATE: _rate(lambda pod: pod.generated_tokens),
    Signal.REQUESTS_RATE: _rate(lambda pod: pod.finished),
    Signal.REJECTED_RATE: _optional_rate(lambda pod: pod.refused),
    Signal.GATEWAY_QUEUE: _of_cluster(lambda scrape: float(scrape.gateway_queue)),
}
"""How each signal of the catalogue is read from the scrapes."""


def _window(visible: list[Scrape], window_s: int) -> list[Scrape]:
    since = visible[-1].time_s - window_s
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
