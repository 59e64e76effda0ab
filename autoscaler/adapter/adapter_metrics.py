"""The adapter's own metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from autoscaler.adapter.connection_limits import ConnectionLimiter, Stage

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class AdapterMetrics:
    """Counts of requests and questions, and their outcomes; a scrape shows ``registry``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "vllm_autoscaler_adapter_requests",
            "Requests by HTTP status.",
            ("code",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "vllm_autoscaler_adapter_request_duration_seconds",
            "From the request to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._connections = Gauge(
            "vllm_autoscaler_adapter_connections",
            "Open connections by what is known of their other end.",
            ("stage",),
            registry=self.registry,
        )
        self._dropped = Counter(
            "vllm_autoscaler_adapter_connections_dropped",
            "Connections closed from this side: over the stage's limit, its time, or the size of a request.",
            ("stage", "reason"),
            registry=self.registry,
        )
        self._unusable = Gauge(
            "vllm_autoscaler_adapter_newest_unusable",
            "1 while the newest of something cannot be used and the one before it is; the log says why.",
            ("what",),
            registry=self.registry,
        )

    def watch_usable(self, what: str, problem: Callable[[], str]) -> None:
        """Adds a gauge of whether the newest version of something has a problem."""
        self._unusable.labels(what).set_function(lambda: bool(problem()))

    def watch(self, connections: ConnectionLimiter) -> None:
        """Adds gauges of these connections."""
        for stage in Stage:
            self._connections.labels(stage).set_function(partial(connections.count, stage))

    def dropped(self, stage: str, reason: str) -> None:
        """A connection was closed from this side."""
        self._dropped.labels(stage, reason).inc()

    def answered(self, code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(code).inc()
        self._seconds.observe(seconds)
