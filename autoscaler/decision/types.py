"""The input and the output of a decision. Frozen: a decision can be logged and replayed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Sample:
    """One series' value at its own time.

    ``value`` is in the signal's unit and may be NaN (the engine rejects it with a reason);
    ``timestamp`` is in seconds on the same clock as ``now``; ``pod`` is None where the series
    belongs to no pod.
    """

    value: float
    timestamp: float
    pod: str | None = None


NO_REQUEST = "no request in the last {} s"
"""Why a histogram is idle; the seconds are its window."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer of a source for one metric: samples, or the reason why there are none.

    ``missing``: what the samples should cover and do not, e.g. a pod whose histogram is not part
    of a quantile over all pods. A pod without a sample of its own is not listed: the engine sees it.
    ``idle``: why there is no sample although the source is complete and fresh: no request came.
    """

    metric: str
    samples: tuple[Sample, ...] = ()
    error: str | None = None
    missing: tuple[str, ...] = ()
    idle: str | None = None


class PodPhase(StrEnum):
    """Kubernetes' pod phases, as far as a scaler distinguishes them."""

    PENDING = "Pending"
    RUNNING = "Running"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of the target. ``deleting``: it has a deletion timestamp."""

    name: str
    phase: PodPhase = PodPhase.RUNNING
    ready: bool = True
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """All input of a decision from the cluster and the sources.

    ``readings`` holds one reading per ``spec.inputs`` metric, matched by name; one that is absent
    counts as failed. ``active_schedules`` names the schedules whose windows are open at ``now``
    (calendars are I/O, so the caller looks). ``unseen_replicas``: how many of ``status_replicas`` the pods
    do not account for, in the target's own unit; the target and its pods are two copies, which may differ.
    ``selected_by``: other autoscalers of HPA's kind whose selectors also find pods of this target.
    """

    spec_replicas: int
    status_replicas: int
    pods: tuple[Pod, ...]
    readings: tuple[Reading, ...]
    active_schedules: tuple[str, ...] = ()
    unseen_replicas: int = 0
    selected_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An unstabilized recommendation, as HPA keeps them."""

    replicas: int
    timestamp: float


@dataclass(frozen=True, slots=True)
class ScaleEvent:
    """A change that was written. ``change`` is positive in both directions.

    ``outdated``: it was older than every policy's period when another change was stored. It stays so,
    also when a period is lengthened, and the next change may take its slot.
    """

    change: int
    timestamp: float
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class ScalingState:
    """The engine's memory between syncs. Plain data, so that it can be persisted.

    ``failing_since``: when the last driver metric became unusable; ``pending_since``: since when
    fewer replicas are ready than ordered, or when replicas were last added meanwhile;
    ``scaled_to_zero``: the 0 replicas are our own doing (see ``zero.py`` for how long); ``unseen_since``:
    since when the pods have not accounted for all replicas of the target's status;
    ``counting_rejections``: the ready pods whose engines have shown a counter of refused requests, so that
    its absence is missing data.
    """

    recommendations: tuple[Recommendation, ...] = ()
    up_events: tuple[ScaleEvent, ...] = ()
    down_events: tuple[ScaleEvent, ...] = ()
    failing_since: float | None = None
    pending_since: float | None = None
    scaled_to_zero: bool = False
    unseen_since: float | None = None
    counting_rejections: tuple[str, ...] = ()


class Reason(StrEnum):
    """Why a stage gave the replicas it gave. HPA's own word wherever HPA has one."""

    SUCCEEDED_GET_SCALE = "SucceededGetScale"
    # bounds and modes
    PAUSED = "Paused"
    FROZEN = "Frozen"
    SCALING_DISABLED = "ScalingDisabled"
    ABOVE_MAX = "AboveMaxReplicas"
    BELOW_MIN = "BelowMinReplicas"
    SCHEDULE_ACTIVE = "ScheduleActive"
    # metrics
    AMBIGUOUS_SELECTOR = "AmbiguousSelector"
    VALID_METRIC = "ValidMetricFound"
    ABOVE_TARGET = "AboveTarget"
    BELOW_TARGET = "BelowTarget"
    WITHIN_TOLERANCE = "WithinTolerance"
    FAILED_PODS_METRIC = "FailedGetPodsMetric"
    FAILED_OBJECT_METRIC = "FailedGetObjectMetric"
    FAILED_EXTERNAL_METRIC = "FailedGetExternalMetric"
    STALE_METRIC = "StaleMetric"
    NO_REQUESTS = "NoRequests"
    NOT_EXPORTED = "NotExported"
    FALLBACK = "Fallback"
    # guards
    INCOMPLETE_DATA = "IncompleteData"
    FEWER_PODS = "FewerPodsThanReplicas"
    PENDING_REPLICAS = "PendingReplicas"
    REJECTED_REQUESTS = "RejectedRequests"
    REMAINING_CAPACITY = "RemainingCapacity"
    # stabilization, rate limits, bounds
    READY_FOR_NEW_SCALE = "ReadyForNewScale"
    SCALE_UP_STABILIZED = "ScaleUpStabilized"
    SCALE_DOWN_STABILIZED = "ScaleDownStabilized"
    SCALE_UP_LIMIT = "ScaleUpLimit"
    SCALE_DOWN_LIMIT = "ScaleDownLimit"
    TOO_MANY_REPLICAS = "TooManyReplicas"
    TOO_FEW_REPLICAS = "TooFewReplicas"
    DESIRED_WITHIN_RANGE = "DesiredWithinRange"


ABSTAINING = frozenset({Reason.NO_REQUESTS, Reason.NOT_EXPORTED})
"""Why a metric without a value is not missing: no requests came, or no engine has it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a decision: the replicas after it, and why."""

    stage: str
    replicas: int
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A status condition in Kubernetes' sense; ``status`` is True or False."""

    type: str
    status: bool
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """The proposal of one metric, and the use of its samples.

    ``replicas`` is None where the metric could not be used, or abstains. ``usage_milli`` is what HPA reports
    (per pod, or the value), in milli units. ``rejected`` lists unusable samples as
    ``"pod: reason"``; ``missing`` the pods that should have a usable sample and have none, and
    what the reading itself calls missing; ``complete``: nothing that should be there is missing.
    For a guard ``replicas`` is what could carry the current load.
    """

    metric: str
    replicas: int | None
    usage_milli: int | None
    target_milli: int
    reason: Reason
    message: str
    used: int = 0
    missing: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    complete: bool = True

    @property
    def abstains(self) -> bool:
        """True if the metric neither proposes replicas nor forbids a scale-down."""
        return self.replicas is None and self.reason in ABSTAINING


@dataclass(frozen=True, slots=True)
class Decision:
    """The replicas to write, and every step that led to them.

    ``desired_replicas == current_replicas`` means hold. ``steps`` has one entry per stage in
    order, except guards that had nothing to hold; ``reason`` and ``message`` are those of the
    stage that settled the outcome. ``conditions`` are those that this sync determined; an
    absent condition keeps its old value, as in HPA.
    """

    current_replicas: int
    desired_replicas: int
    reason: Reason
    message: str
    steps: tuple[Step, ...]
    proposals: tuple[Proposal, ...] = ()
    conditions: tuple[Condition, ...] = ()
