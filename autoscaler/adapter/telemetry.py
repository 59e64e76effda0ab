"""The adapter's own metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Telemetry:
    """What was asked and how it went; ``registry`` is what a scrape shows."""

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

    def answered(self, code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(code).inc()
        self._seconds.observe(seconds)
