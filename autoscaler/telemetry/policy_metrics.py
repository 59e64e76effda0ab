"""How each policy stands, as metrics. What belongs to a policy disappears with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, Histogram

_POLICY = ("policy_namespace", "policy")
"""Not ``namespace``: a scrape sets that to our own, and would rename it."""
_START_SECONDS = (15.0, 30.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0, 450.0, 600.0, 900.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class PolicySnapshot:
    """How one policy stands after a decision.

    ``ages``: the oldest sample of each metric, in seconds. ``started_after_s``: the replicas that
    were ordered are all ready now, so long after the order; None where none were on their way.
    """

    current: int
    desired: int
    ready: int
    min_replicas: int
    max_replicas: int
    reason: str
    dry_run: bool
    gpus_per_replica: int | None
    ages: Mapping[str, float]
    started_after_s: float | None = None


class PolicyMetrics:
    """The policies' metrics, in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, labelnames=_POLICY, registry=registry)
        self._desired = gauge("vllm_autoscaler_desired_replicas", "Replicas that the last decision wants.")
        self._current = gauge("vllm_autoscaler_current_replicas", "Replicas that are ordered.")
        self._ready = gauge("vllm_autoscaler_ready_replicas", "Replicas that are ready.")
        self._min = gauge("vllm_autoscaler_min_replicas", "The fewest allowed now.")
        self._max = gauge("vllm_autoscaler_max_replicas", "The most allowed now.")
        self._difference = gauge(
            "vllm_autoscaler_dry_run_difference_replicas",
            "With mode DryRun: what we would order less what the live owner has ordered.",
        )
        self._gpus = gauge(
            "vllm_autoscaler_desired_gpus", "GPUs of the replicas that the last decision wants."
        )
        self._reason = gauge(
            "vllm_autoscaler_last_decision_info",
            "1 for the reason of the last decision.",
            labelnames=(*_POLICY, "reason"),
        )
        self._age = gauge(
            "vllm_autoscaler_metric_age_seconds",
            "Age of the oldest sample of a metric at the last decision.",
            labelnames=(*_POLICY, "metric"),
        )
        self._start_seconds = Histogram(
            "vllm_autoscaler_replica_start_seconds",
            "From the order of replicas to all of them being ready, as seen at syncs.",
            buckets=_START_SECONDS,
            registry=registry,
        )
        self._ages: dict[tuple[str, str], frozenset[str]] = {}
        self._reasons: dict[tuple[str, str], str] = {}

    def decided(self, policy: tuple[str, str], standing: PolicySnapshot) -> None:
        """Takes over a decision. ``policy`` is namespace and name."""
        self._current.labels(*policy).set(standing.current)
        self._desired.labels(*policy).set(standing.desired)
        self._ready.labels(*policy).set(standing.ready)
        self._min.labels(*policy).set(standing.min_replicas)
        self._max.labels(*policy).set(standing.max_replicas)
        if standing.gpus_per_replica is not None:
            self._gpus.labels(*policy).set(standing.desired * standing.gpus_per_replica)
        if standing.dry_run:
            self._difference.labels(*policy).set(standing.desired - standing.current)
        else:
            _drop(self._difference, *policy)
        if standing.started_after_s is not None:
            self._start_seconds.observe(standing.started_after_s)
        self._set_reason(policy, standing.reason)
        self._set_ages(policy, standing.ages)

    def _set_reason(self, policy: tuple[str, str], reason: str) -> None:
        before = self._reasons.get(policy)
        if before not in (None, reason):
            _drop(self._reason, *policy, str(before))
        self._reason.labels(*policy, reason).set(1)
        self._reasons[policy] = reason

    def _set_ages(self, policy: tuple[str, str], ages: Mapping[str, float]) -> None:
        for metric in self._ages.get(policy, frozenset()) - ages.keys():
            _drop(self._age, *policy, metric)
        for metric, age in ages.items():
            self._age.labels(*policy, metric).set(age)
        self._ages[policy] = frozenset(ages)

    def forget(self, policy: tuple[str, str]) -> None:
        """Drops the metrics of a policy that is gone."""
        bare = (self._current, self._desired, self._ready, self._min, self._max, self._difference, self._gpus)
        for gauge in bare:
            _drop(gauge, *policy)
        _drop(self._reason, *policy, self._reasons.pop(policy, ""))
        for metric in self._ages.pop(policy, frozenset()):
            _drop(self._age, *policy, metric)


def _drop(gauge: Gauge, *labels: str) -> None:
    with suppress(KeyError):
        gauge.remove(*labels)
