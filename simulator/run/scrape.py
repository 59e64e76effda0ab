"""The simulated cluster as a metric source: answers as a Prometheus source gives them.

Every ready pod is scraped at the same times; a scrape becomes visible ``lag`` seconds later, with
the time of the scrape as its samples' own. ``scraped_signals`` reads each signal from the scrapes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from autoscaler.api.models import QUANTILE_SIGNALS, Spec
from autoscaler.decision.types import Observation, Pod, PodPhase
from autoscaler.metrics.readings import question, readings
from autoscaler.ports.metrics import Answer, Point, SignalQuestion
from simulator.run.latency_histograms import LatencyHistograms
from simulator.run.scraped_signals import NAMESPACE, READERS, PodScrape, Scrape
from simulator.traces.series import Series
from simulator.vllm.replica import Replica
from simulator.world.cluster import Cluster, PodState, SimulatedPod


class Scraper:
    """A metric source over the simulated cluster: it answers as a Prometheus that scrapes the pods would.

    It keeps the scrapes of the windows of a policy's inputs.
    """

    def __init__(self, spec: Spec, interval_s: float, lag_s: float, series: Mapping[str, Series]) -> None:
        """``series`` holds the recorded values of free queries, by metric name."""
        self._spec = spec
        self._lag_s = lag_s
        self._signals = _signals(spec)
        self._recorded = {metric.name: series[metric.name] for metric in spec.inputs if metric.signal is None}
        self._needs_latency = any(asked.signal in QUANTILE_SIGNALS for asked in self._signals)
        self._keep_s = max(metric.window_seconds for metric in spec.inputs) + interval_s + lag_s
        self._scrapes: deque[Scrape] = deque()

    def new_observer(self) -> LatencyHistograms | None:
        """The latency histograms of a new replica; None if the policy uses no quantile."""
        return LatencyHistograms() if self._needs_latency else None

    def scrape(self, cluster: Cluster, now: float) -> None:
        """Records every ready or draining pod. Advance the cluster to ``now`` first."""
        pods = {
            pod.replica.name: _scrape_pod(pod.replica, now)
            for pod in cluster.pods
            if pod.state is not PodState.STARTING
        }
        self._scrapes.append(Scrape(now, pods, len(cluster.gateway)))
        # One scrape older than the window stays: rates need both ends.
        while len(self._scrapes) > 2 and self._scrapes[1].time_s < now - self._keep_s:
            self._scrapes.popleft()

    def answers(self, now: float) -> dict[str, Answer]:
        """One answer for each of the policy's metrics, by name, from what can be queried at ``now``.

        Not by question: two queries of one text may have records of their own.
        """
        visible = [scrape for scrape in self._scrapes if scrape.time_s + self._lag_s <= now]
        answers: dict[str, Answer] = {}
        for asked, names in self._signals.items():
            answers |= dict.fromkeys(names, _read(asked, visible))
        for name, series in self._recorded.items():
            samples = series.samples(now - self._lag_s)
            points = (Point(one.value, one.timestamp, NAMESPACE, one.pod) for one in samples)
            answers[name] = Answer(tuple(points))
        return answers

    def observe(
        self,
        cluster: Cluster,
        answers: Mapping[str, Answer],
        now: float,
        active_schedules: tuple[str, ...] = (),
    ) -> Observation:
        """The observation of a sync at ``now``: the pods, and their readings from ``answers``."""
        pods = tuple(observed_pod(pod, now) for pod in cluster.pods)
        return Observation(
            spec_replicas=cluster.desired,
            status_replicas=sum(pod.state is not PodState.DRAINING for pod in cluster.pods),
            pods=pods,
            readings=readings(self._spec, answers, NAMESPACE, pods, now),
            active_schedules=active_schedules,
        )


def _signals(spec: Spec) -> dict[SignalQuestion, list[str]]:
    """Each question for a signal, and the metrics that ask it."""
    asked: dict[SignalQuestion, list[str]] = {}
    for metric in spec.inputs:
        one = question(metric)
        if isinstance(one, SignalQuestion):
            asked.setdefault(one, []).append(metric.name)
    return asked


def _read(asked: SignalQuestion, visible: list[Scrape]) -> Answer:
    if not visible:
        return Answer(error="not scraped yet")
    return READERS[asked.signal](visible, asked.window_seconds)


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
