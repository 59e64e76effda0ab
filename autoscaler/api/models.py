"""ScalingPolicy and its parts: the one source of the YAML's shape.

The JSON Schema, the documentation of defaults and the CRD are generated from here.
Field names are Kubernetes' (camelCase in YAML, snake_case in Python); ``behavior`` is
``autoscaling/v2``'s, with its defaults and limits. A field whose default depends on
``spec.semantics`` is ``None`` when unset; the ``effective_*`` accessors resolve it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from autoscaler.api.fields import ApiModel, Bool, Int, Milli, Name, Ratio, Share
from autoscaler.api.metric_rules import METRIC_RULES, TARGET_RULES, metric_name
from autoscaler.api.signals import Signal as Signal
from autoscaler.api.signals import ValueBounds as ValueBounds
from autoscaler.api.spec_rules import DEFAULT_MIN_REPLICAS, SCHEDULE_RULES, SPEC_RULES
from autoscaler.api.vocabulary import CLUSTER_SIGNALS as CLUSTER_SIGNALS
from autoscaler.api.vocabulary import ENDED_REQUESTS_SIGNALS as ENDED_REQUESTS_SIGNALS
from autoscaler.api.vocabulary import FRACTION_SIGNALS as FRACTION_SIGNALS
from autoscaler.api.vocabulary import QUANTILE_SIGNALS as QUANTILE_SIGNALS
from autoscaler.api.vocabulary import ZERO_REPLICA_SIGNALS as ZERO_REPLICA_SIGNALS
from autoscaler.api.vocabulary import MissingData as MissingData
from autoscaler.api.vocabulary import Mode as Mode
from autoscaler.api.vocabulary import Role as Role
from autoscaler.api.vocabulary import SelectPolicy as SelectPolicy
from autoscaler.api.vocabulary import Semantics as Semantics
from autoscaler.api.vocabulary import TargetType as TargetType

API_VERSION = "vllm-autoscaler.io/v1alpha1"
MAX_INT32 = 2**31 - 1
LLM_MAX_AGE_SECONDS = 90  # two scrapes of 30 s plus Managed Prometheus' usual lag
DEFAULT_TOLERANCE = 0.1
DEFAULT_QUANTILE = 0.95


class Target(ApiModel):
    """The target of a metric, in the shape of HPA's MetricTarget."""

    type: TargetType
    """`PodsAverage`: HPA's Pods metric, the mean over the pods that answer.
    `AverageValue`: the sum over everything, divided by the replicas.
    `Value`: the value itself, scaled by the ready pods."""
    average_value: Milli | None = None
    """For `PodsAverage` and `AverageValue`: the load that one replica should carry."""
    value: Milli | None = None
    """For `Value`: the value to hold."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(TARGET_RULES)

    @property
    def milli(self) -> int:
        """The target in milli units; 0 for guards.rejectedRequests alone."""
        chosen = self.value if self.type is TargetType.VALUE else self.average_value
        assert chosen is not None  # TARGET_RULES
        return chosen


class CloudMonitoring(ApiModel):
    """Time series of Google Cloud Monitoring, in the words of its API; several are added up."""

    filter: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    """A monitoring filter that names one `metric.type`."""
    per_series_aligner: Literal[
        "ALIGN_NONE",
        "ALIGN_RATE",
        "ALIGN_MEAN",
        "ALIGN_MAX",
        "ALIGN_PERCENTILE_50",
        "ALIGN_PERCENTILE_95",
        "ALIGN_PERCENTILE_99",
    ] = "ALIGN_NONE"
    """`ALIGN_NONE` takes each series' newest point at its own time; the others make one of the last
    windowSeconds: a rate of a counter, a percentile of a distribution."""
    cross_series_reducer: Literal["REDUCE_NONE", "REDUCE_SUM", "REDUCE_MEAN", "REDUCE_MAX"] = "REDUCE_NONE"
    """Combines several series into one; needs an aligner."""


class Metric(ApiModel):
    """One metric: a signal of the catalogue, a query or Cloud Monitoring, and its target."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)] = ""
    """Unique in the policy. Default: the signal's name, `query` or `cloudMonitoring`."""
    signal: Signal | None = None
    """A signal of the catalogue. Exactly one of `signal`, `query` and `cloudMonitoring` is set."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=8192)] | None = None
    """PromQL. With `PodsAverage` it must keep the `pod` label; otherwise its series are summed."""
    cloud_monitoring: CloudMonitoring | None = None
    """Time series of Cloud Monitoring, for what PromQL cannot reach. Belongs to no pod."""
    quantile: Annotated[float, Field(strict=True, gt=0.0, lt=1.0)] | None = None
    """For `ttft` and `itl`: which quantile. Default 0.95."""
    window_seconds: Annotated[Int, Field(ge=15, le=3600)] = 60
    """For rates, quantiles and aligned time series: the window they are taken over."""
    type: Literal["External", "Object"] | None = None
    """With `AverageValue` and `Value`: which of HPA's metric types this is. They differ where series
    are negative, and in the reason of a failure. Default: `External`."""
    target: Target
    """The value that the metric should have."""
    role: Role = Role.DRIVER
    """`Guard`: never scales up; keeps a scale-down from going below what this metric needs."""
    max_age_seconds: Annotated[Int, Field(ge=1, le=86400)] | None = None
    """A sample older than this is missing. Default: 90 (`LLM`), no limit (`HPA`)."""
    missing_data: MissingData | None = None
    """A pod without a usable sample: `Hold` never scales down, `Conservative` fills in as HPA does
    (at target on the way down, 0 on the way up), `Zero` counts 0. Default: `Hold` (`LLM`),
    `Conservative` (`HPA`)."""

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: Any) -> Any:
        return {**data, "name": metric_name(data)} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(METRIC_RULES)


class ScaleTargetRef(ApiModel):
    """The workload to scale: any kind with a scale subresource."""

    api_version: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "apps/v1"
    """The group and version of the workload."""
    kind: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    """`Deployment`, `StatefulSet`, `LeaderWorkerSet` or any other with a scale subresource."""
    name: Name
    """The workload's name, in the namespace of the policy."""


class ScalingPolicyRule(ApiModel):
    """autoscaling/v2 HPAScalingPolicy: how much may change within a period."""

    type: Literal["Pods", "Percent"]
    """`Pods`: value is a number of replicas. `Percent`: a share of those at the start of the period."""
    value: Annotated[Int, Field(ge=1, le=MAX_INT32)]
    """How many replicas or percent may change within the period."""
    period_seconds: Annotated[Int, Field(ge=1, le=1800)]
    """The period, which slides."""


class ScalingRules(ApiModel):
    """autoscaling/v2 HPAScalingRules for one direction; unset fields take HPA's defaults."""

    stabilization_window_seconds: Annotated[Int, Field(ge=0, le=3600)] | None = None
    """Act on the most cautious recommendation of this long. Default: 0 for scaleUp, 300 for scaleDown."""
    select_policy: SelectPolicy | None = None
    """Which of the policies counts: the one that allows most, least, or none. Default: `Max`."""
    policies: Annotated[tuple[ScalingPolicyRule, ...], Field(min_length=1)] | None = None
    """How much may change within a period.
    Default: scaleUp 4 Pods or 100 Percent in 15 s, scaleDown 100 Percent in 15 s."""
    tolerance: Ratio | None = None
    """How far a ratio of metric to target may be from 1 without a change. Default: 0.1."""


class Behavior(ApiModel):
    """autoscaling/v2 HorizontalPodAutoscalerBehavior."""

    scale_up: ScalingRules | None = None
    """How fast replicas may be added."""
    scale_down: ScalingRules | None = None
    """How fast replicas may be removed."""


@dataclass(frozen=True, slots=True)
class EffectiveRules:
    """ScalingRules with every default filled in (pkg/apis/autoscaling/v2/defaults.go)."""

    stabilization_window_seconds: int
    select_policy: SelectPolicy
    policies: tuple[ScalingPolicyRule, ...]
    tolerance: float


# What this file writes needs no check: building a part's own validator takes longer than reading a policy.
_PERCENT_100 = ScalingPolicyRule.model_construct(type="Percent", value=100, period_seconds=15)
_4_PODS = ScalingPolicyRule.model_construct(type="Pods", value=4, period_seconds=15)
_UP_DEFAULTS = (0, (_4_PODS, _PERCENT_100))
_DOWN_DEFAULTS = (300, (_PERCENT_100,))


def _effective(
    rules: ScalingRules | None, defaults: tuple[int, tuple[ScalingPolicyRule, ...]]
) -> EffectiveRules:
    rules = rules or ScalingRules.model_construct()
    window, policies = defaults
    given = rules.stabilization_window_seconds
    return EffectiveRules(
        stabilization_window_seconds=window if given is None else given,
        select_policy=rules.select_policy or SelectPolicy.MAX,
        policies=rules.policies or policies,
        tolerance=DEFAULT_TOLERANCE if rules.tolerance is None else rules.tolerance,
    )


class PendingReplicas(ApiModel):
    """Credit for replicas that are ordered but not ready."""

    credit: Bool | None = None
    """Hold scale-downs while ordered replicas are on their way: no pending scale-up is cancelled,
    and few ready pods are not mistaken for the whole fleet. Default: true (`LLM`), false (`HPA`)."""
    timeout_seconds: Annotated[Int, Field(ge=1, le=86400)] = 900
    """Replicas that are not ready after this long get no more credit."""


class RemainingCapacity(ApiModel):
    """No scale-down below the replicas that could carry the current load."""

    enabled: Bool | None = None
    """Switches this guard on or off. Default: true (`LLM`), false (`HPA`)."""
    kv_cache_usage: Share = Field(default=800, json_schema_extra={"default": "800m"})
    """The mean KV-cache usage (0 to 1) that the remaining replicas may reach."""
    waiting: Milli = Field(default=1000, json_schema_extra={"default": 1})
    """The mean number of waiting requests that the remaining replicas may have."""


class RejectedRequests(ApiModel):
    """No scale-down while replicas refuse requests."""

    enabled: Bool | None = None
    """Keep the replicas while `rejectedPerSecond` is above 0: a queue that is capped looks short while
    requests are refused. Default: true (`LLM`), false (`HPA`)."""


class Guards(ApiModel):
    """Corrections of HPA for LLM serving. All on with `semantics: LLM`, all off with `HPA`."""

    pending_replicas: PendingReplicas = PendingReplicas.model_construct()
    """Counts replicas that are not ready yet."""
    remaining_capacity: RemainingCapacity = RemainingCapacity.model_construct()
    """The load that the remaining replicas must be able to carry after a scale-down."""
    rejected_requests: RejectedRequests = RejectedRequests.model_construct()
    """Counts refused requests as demand."""
    complete_data_for_scale_down: Bool | None = None
    """A scale-down needs a fresh sample of every ready pod for every metric; metrics whose
    `missingData` is not `Hold` decide for themselves. Default: true (`LLM`), false (`HPA`)."""


class Fallback(ApiModel):
    """Replicas to run when no metric could be used for a while."""

    replicas: Annotated[Int, Field(ge=0, le=MAX_INT32)]
    """How many, within minReplicas and maxReplicas."""
    after_seconds: Annotated[Int, Field(ge=1, le=86400)] = 180
    """How long metrics must have failed."""
    behavior: Literal["CurrentReplicasIfHigher", "Static"] = "CurrentReplicasIfHigher"
    """`CurrentReplicasIfHigher` never removes a replica; `Static` may."""


class Schedule(ApiModel):
    """A recurring window that replaces minReplicas, maxReplicas or both."""

    name: Name
    """Unique in the policy; reasons mention it."""
    cron: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """When the window opens: five cron fields, e.g. `0 8 * * MON-FRI`."""
    duration_seconds: Annotated[Int, Field(ge=60, le=31 * 86400)]
    """How long it stays open."""
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "Etc/UTC"
    """An IANA time zone, e.g. `Europe/Berlin`."""
    min_replicas: Annotated[Int, Field(ge=0, le=MAX_INT32)] | None = None
    """While open, in place of minReplicas. Default: the policy's."""
    max_replicas: Annotated[Int, Field(ge=1, le=MAX_INT32)] | None = None
    """While open, in place of maxReplicas. Default: the policy's."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(SCHEDULE_RULES)


class Spec(ApiModel):
    """The target of a policy, its bounds, its metrics and its speed."""

    scale_target_ref: ScaleTargetRef
    """The workload to scale."""
    min_replicas: Annotated[Int, Field(ge=0, le=MAX_INT32)] = DEFAULT_MIN_REPLICAS
    """0 scales to zero; that needs a metric that exists at zero replicas, such as `gatewayQueue`."""
    max_replicas: Annotated[Int, Field(ge=1, le=MAX_INT32)]
    """The most replicas; schedules may raise it for a while."""
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=32)]
    """Each proposes replicas; the highest proposal wins."""
    behavior: Behavior | None = None
    """autoscaling/v2's. With `semantics: HPA` an absent behavior follows HPA's older path
    (at most doubling a sync); with `LLM` it means the defaults of a present one."""
    semantics: Semantics = Semantics.LLM
    """`HPA`: exactly HPA's decisions. `LLM`: the same rules and the guards."""
    tolerance_rule: Literal["v1.33", "v1.32"] = "v1.33"
    """A ratio exactly on the tolerance's edge: `v1.33` and later keep the replicas, `v1.32` and
    before scale up."""
    zero_rule: Literal["v1.36", "v1.37"] | None = None
    """With `semantics: HPA`: what 0 replicas mean. `v1.36` and before: metrics are read there if
    minReplicas is 0, also after another writer scaled to zero. `v1.37` and later: only if this policy
    scaled to zero itself (condition `ScaledToZero`); any other 0 is a pause. Default: `v1.36`."""
    guards: Guards = Guards.model_construct()
    """Protection against what HPA gets wrong for LLMs."""
    fallback: Fallback | None = None
    """The replicas to run when no metric has been usable for a while. Default: hold the current replicas."""
    schedules: Annotated[tuple[Schedule, ...], Field(max_length=32)] = ()
    """While several are open, the highest of their minReplicas and of their maxReplicas count."""
    sync_period_seconds: Annotated[Int, Field(ge=1, le=3600)] = 15
    """How often to decide."""
    mode: Mode = Mode.ACTIVE
    """`DryRun` decides and records without writing; `Paused` keeps the replicas."""
    freeze: Literal["None", "ScaleUp", "ScaleDown"] = "None"
    """Forbids one direction altogether, corrections to the bounds included."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(SPEC_RULES)

    @cached_property
    def scale_up(self) -> EffectiveRules:
        """The scale-up rules, defaults filled in."""
        return _effective(self.behavior.scale_up if self.behavior else None, _UP_DEFAULTS)

    @cached_property
    def scale_down(self) -> EffectiveRules:
        """The scale-down rules, defaults filled in."""
        return _effective(self.behavior.scale_down if self.behavior else None, _DOWN_DEFAULTS)

    def _by_semantics(self, given: bool | None) -> bool:
        return self.semantics is Semantics.LLM if given is None else given

    @property
    def credits_pending(self) -> bool:
        """True if guards.pendingReplicas is on."""
        return self._by_semantics(self.guards.pending_replicas.credit)

    @property
    def needs_complete_data(self) -> bool:
        """True if guards.completeDataForScaleDown is on."""
        return self._by_semantics(self.guards.complete_data_for_scale_down)

    def max_age_seconds(self, metric: Metric) -> float:
        """The age limit of a metric's samples in seconds; infinity where there is none."""
        if metric.max_age_seconds is not None:
            return metric.max_age_seconds
        return LLM_MAX_AGE_SECONDS if self.semantics is Semantics.LLM else float("inf")

    def missing_data(self, metric: Metric) -> MissingData:
        """The meaning of a pod without a usable sample for a metric: its own, or by default the guard's."""
        if metric.missing_data is not None:
            return metric.missing_data
        return MissingData.HOLD if self.needs_complete_data else MissingData.CONSERVATIVE

    @cached_property
    def inputs(self) -> tuple[Metric, ...]:
        """Every metric a decision needs: the policy's own, then those of its guards.

        An observation carries one reading for each, matched by name.
        """
        guards = self.guards
        capacity = guards.remaining_capacity
        metrics = list(self.metrics)
        if self._by_semantics(capacity.enabled):
            metrics += (
                _guard("remainingCapacity", Signal.KV_CACHE_USAGE, capacity.kv_cache_usage),
                _guard("remainingCapacity", Signal.WAITING, capacity.waiting),
            )
        if self._by_semantics(guards.rejected_requests.enabled):
            metrics.append(_guard("rejectedRequests", Signal.REJECTED_RATE, 0))
        return tuple(metrics)


def _guard(field: str, signal: Signal, milli: int) -> Metric:
    target = Target.model_construct(type=TargetType.PODS_AVERAGE, average_value=milli)
    return Metric.model_construct(name=f"{field}/{signal}", signal=signal, target=target, role=Role.GUARD)


class Metadata(ApiModel):
    """Kubernetes object metadata, as far as a person writes it."""

    name: Name
    """The policy's name, unique in its namespace."""
    namespace: Name | None = None
    """Default: that of the client's context."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Kubernetes labels."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Kubernetes annotations."""


class ScalingPolicy(ApiModel):
    """How one workload is scaled."""

    api_version: Literal["vllm-autoscaler.io/v1alpha1"]
    """Always `vllm-autoscaler.io/v1alpha1`."""
    kind: Literal["ScalingPolicy"]
    """Always `ScalingPolicy`."""
    metadata: Metadata
    """The policy's name and labels."""
    spec: Spec
    """The policy itself."""
