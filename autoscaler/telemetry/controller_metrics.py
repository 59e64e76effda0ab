"""Our own ``/metrics``. Labels are bounded: policies, their metrics, and reasons from fixed lists."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from autoscaler.telemetry.policy_metrics import PolicyMetrics

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

LOGS = ("output", "decisions")
"""The logs that may lose lines: standard output and the decision log."""


class ControllerMetrics:
    """Every metric of the controller, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.standings = PolicyMetrics(self.registry)
        counter = partial(Counter, registry=self.registry)
        seconds = partial(Histogram, buckets=_SECONDS, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self.decisions = counter(
            "vllm_autoscaler_decisions",
            "Decisions by reason and by what became of them.",
            ("reason", "action"),
        )
        self.errors = counter("vllm_autoscaler_errors", "What went wrong, by reason.", ("reason",))
        self.sync_seconds = seconds(
            "vllm_autoscaler_sync_duration_seconds",
            "From the answers of the sources to the written replicas.",
        )
        self.source_seconds = seconds(
            "vllm_autoscaler_source_duration_seconds", "Asking the sources, once for all due policies."
        )
        self.questions = counter(
            "vllm_autoscaler_questions", "Questions to metric sources, by result.", ("result",)
        )
        self.late = counter(
            "vllm_autoscaler_skipped_syncs", "Syncs left out because the one before was not over."
        )
        self.oldest_sync = gauge(
            "vllm_autoscaler_oldest_sync_seconds", "Age of the oldest sync under way, 0 without one."
        )
        self.targets_in_backoff = gauge(
            "vllm_autoscaler_targets_in_backoff",
            "Targets that timed out and are asked more rarely until they answer.",
        )
        self.statuses_in_backoff = gauge(
            "vllm_autoscaler_statuses_in_backoff",
            "Statuses that could not be written and are tried more rarely until they can.",
        )
        self.lost_lines = counter(
            "vllm_autoscaler_lost_log_lines",
            "Lines that could not be written, or not fast enough: output (standard output) or decisions.",
            ("log",),
        )
        self.api_requests = counter(
            "vllm_autoscaler_api_operations",
            "What was asked of the cluster, by operation and result.",
            ("operation", "result"),
        )
        self.policies = gauge("vllm_autoscaler_policies", "Policies by mode.", ("mode",))
        self.leading = gauge("vllm_autoscaler_leading", "1 while this process leads.")
        for log in LOGS:
            self.lost_lines.labels(log)  # an increase from 0 is one only where there was a 0

    def count_policies(self, modes: Iterable[str]) -> None:
        """How many policies there are in each mode."""
        counts: dict[str, int] = dict.fromkeys(("Active", "DryRun", "Paused"), 0)
        for mode in modes:
            counts[mode] += 1
        for mode, count in counts.items():
            self.policies.labels(mode).set(count)
