"""The status of a ScalingPolicy: a controller's report on a policy, and its memory.

In Python times are seconds since the epoch; in JSON they are RFC 3339. ``History`` keeps nine
digits of the second, so that a restart resumes with exactly the memory that was written.

Build one, and ``as_json`` gives what ``PolicyStore.write_status`` takes; ``read_status`` goes the
other way. Texts and lists that grow with the workload are cut to a bound, so that a status can
always be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from autoscaler.api.models import MAX_INT32
from autoscaler.api.vocabulary import Action, Mode, Role
from autoscaler.timestamps import from_rfc3339, to_rfc3339

MAX_TEXT = 1024
MAX_NAMES = 10
MAX_STEPS = 32
MAX_METRICS = 40  # 32 of the policy and those that guards add
MAX_PAST_DECISIONS = 10
MAX_HISTORY = 4096  # a window of 3600 s at one sync a second, and some more

_Item = TypeVar("_Item")


def _seconds(value: Any) -> Any:
    return from_rfc3339(value) if isinstance(value, str) else value


def _cut_text(value: Any) -> Any:
    is_long = isinstance(value, str) and len(value) > MAX_TEXT
    return f"{value[: MAX_TEXT - 1]}…" if is_long else value


def _cut_names(value: Sequence[_Item]) -> Sequence[_Item]:
    return value[:MAX_NAMES] if isinstance(value, list | tuple) else value


def _newest(value: Sequence[_Item]) -> Sequence[_Item]:
    return value[-MAX_HISTORY:] if isinstance(value, list | tuple) else value


_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})
Time = Annotated[
    float, BeforeValidator(_seconds), PlainSerializer(to_rfc3339, when_used="json"), _TIME_SCHEMA
]
"""Whole seconds in JSON, as Kubernetes' own times."""
ExactTime = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(lambda seconds: to_rfc3339(seconds, digits=9), when_used="json"),
    _TIME_SCHEMA,
]
"""Nanoseconds in JSON: every float comes back as it was."""
Text = Annotated[str, Field(max_length=MAX_TEXT), BeforeValidator(_cut_text)]
Count = Annotated[int, Field(ge=0, le=MAX_INT32)]
Names = Annotated[tuple[Text, ...], Field(max_length=MAX_NAMES), BeforeValidator(_cut_names)]


class ConditionType(StrEnum):
    """The conditions of a policy: HPA's four, and our own."""

    ABLE_TO_SCALE = "AbleToScale"
    SCALING_ACTIVE = "ScalingActive"
    SCALING_LIMITED = "ScalingLimited"
    SCALED_TO_ZERO = "ScaledToZero"
    ACCEPTED = "Accepted"
    CONTESTED = "Contested"
    PODS_KNOWN = "PodsKnown"


class _Part(BaseModel):
    """Fields of a newer version are passed over: a controller may be rolled back."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
        field_title_generator=lambda name, _info: to_camel(name),
    )


class StatusCondition(_Part):
    """A condition in the shape of metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """`AbleToScale`: the target can be read and written. `ScalingActive`: metrics decide.
    `ScalingLimited`: a limit or a bound holds the replicas back. `ScaledToZero` (with `zeroRule: v1.37`):
    the policy scaled the target to zero itself. `Accepted`: the newest edit is in
    force. `Contested`: another autoscaler or writer scales the target, so this policy does not; a policy
    that only observes (`DryRun`, `Paused`) is not contested. `PodsKnown`: the pods
    that are counted are the target's own, and as many as its status says."""
    status: Annotated[str, Field(pattern="^(True|False|Unknown)$")]
    """`True`, `False` or `Unknown`."""
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """One word for machines."""
    message: Text = ""
    """One sentence for people."""
    last_transition_time: Time
    """When `status` last changed."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the policy that the condition speaks of."""


class DecisionStep(_Part):
    """One stage of a decision."""

    stage: Annotated[str, Field(max_length=64)]
    """Which stage, e.g. `metrics`, `stabilize`, `rateLimit`."""
    replicas: Count
    """The replicas after it."""
    reason: Annotated[str, Field(max_length=128)]
    """One word for machines."""
    message: Text = ""
    """One sentence for people."""


class MetricStatus(_Part):
    """The result of one metric, and the use of its samples."""

    name: Annotated[str, Field(max_length=128)]
    """The metric's name in the policy, or the guard's."""
    role: Role
    """`Driver` or `Guard`."""
    value: Annotated[str, Field(max_length=32)] | None = None
    """The value as a quantity: per pod, or in all for `Value`. Absent where there was none."""
    target: Annotated[str, Field(max_length=32)]
    """The metric's target, as a quantity."""
    replicas: Count | None = None
    """The proposed replicas; for a guard, the replicas that could carry the load. Absent if unusable."""
    reason: Annotated[str, Field(max_length=128)]
    """One word for machines."""
    message: Text = ""
    """One sentence for people."""
    complete: bool
    """True if every pod that should have a usable sample has one."""
    used: Count = 0
    """How many samples counted."""
    missing: Count = 0
    """How many pods have no usable sample."""
    rejected: Count = 0
    """How many samples could not be used."""
    missing_pods: Names = ()
    """Names of the first few pods without a usable sample."""
    rejected_samples: Names = ()
    """The first few unusable samples, as `pod: reason`."""


class LastDecision(_Part):
    """The newest decision, stage by stage."""

    time: Time
    """When it was made."""
    current_replicas: Count
    """The replicas that were ordered."""
    desired_replicas: Count
    """The replicas that it wants."""
    action: Action
    """The outcome of the decision. Only `Scaled` was written to the target."""
    note: Text = ""
    """The answer of the target or the cluster."""
    reason: Annotated[str, Field(max_length=128)]
    """The reason of the stage that settled the decision."""
    message: Text = ""
    """That stage's sentence."""
    steps: Annotated[tuple[DecisionStep, ...], Field(max_length=MAX_STEPS)] = ()
    """The stages in order."""
    metrics: Annotated[tuple[MetricStatus, ...], Field(max_length=MAX_METRICS)] = ()
    """The result of each metric."""


class PastDecision(_Part):
    """Decisions in a row that came to the same."""

    since: Time
    """When the first of them was made."""
    until: Time
    """When the last of them was made."""
    count: Count
    """How many they are."""
    current_replicas: Count
    """The replicas that were ordered."""
    desired_replicas: Count
    """The replicas that they wanted."""
    action: Action
    """Their outcome."""
    reason: Annotated[str, Field(max_length=128)]
    """The reason of the stage that settled them."""
    message: Text = ""
    """The last one's sentence."""


class PastRecommendation(_Part):
    """An unstabilized recommendation."""

    replicas: Count
    """The recommended replicas."""
    time: ExactTime
    """The time of the recommendation."""


class PastChange(_Part):
    """A change of the replicas that was written."""

    change: Annotated[int, Field(ge=1, le=MAX_INT32)]
    """By how many; positive in both directions."""
    time: ExactTime
    """The time of the recommendation."""
    outdated: bool | None = None
    """True where the next change may take its place although a period that was lengthened reaches it."""


Recommendations = Annotated[
    tuple[PastRecommendation, ...], Field(max_length=MAX_HISTORY), BeforeValidator(_newest)
]
Changes = Annotated[tuple[PastChange, ...], Field(max_length=MAX_HISTORY), BeforeValidator(_newest)]


class History(_Part):
    """The memory that the next decision depends on, so that a restart changes no decision."""

    target: Annotated[str, Field(max_length=512)]
    """The history's target, as `apiVersion/kind/name`; the history of another target is ignored."""
    recommendations: Recommendations = ()
    """Within the stabilization windows, in the order that the engine keeps them."""
    up_events: Changes = ()
    """Scale-ups within the rate limits' periods."""
    down_events: Changes = ()
    """Scale-downs within the rate limits' periods."""
    failing_since: ExactTime | None = None
    """Since when no metric could be used."""
    pending_since: ExactTime | None = None
    """Since when fewer replicas are ready than ordered."""
    scaled_to_zero: bool = False
    """True if this policy itself scaled to the 0 replicas."""


class PolicyStatus(_Part):
    """The status subresource of a ScalingPolicy."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the policy that the last decision followed."""
    mode: Mode
    """The mode in force."""
    current_replicas: Count | None = None
    """The replicas that are ordered. Absent while the target cannot be read."""
    desired_replicas: Count | None = None
    """The replicas that the last decision wants."""
    ready_replicas: Count | None = None
    """The replicas that are ready."""
    last_scale_time: Time | None = None
    """When this policy last changed the replicas."""
    conditions: Annotated[tuple[StatusCondition, ...], Field(max_length=16)] = ()
    """One of each type."""
    last_decision: LastDecision | None = None
    """The newest decision and why."""
    past_decisions: Annotated[tuple[PastDecision, ...], Field(max_length=MAX_PAST_DECISIONS)] = ()
    """The story so far, newest last."""
    history: History | None = None
    """The controller's memory. Do not edit: without it scale-downs wait for the whole window."""

    def as_json(self) -> dict[str, Any]:
        """The status as Kubernetes keeps it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def read_status(raw: Mapping[str, object] | None) -> PolicyStatus | None:
    """The status that was stored; None where there is none, or none that can be understood."""
    if not raw:
        return None
    try:
        return PolicyStatus.model_validate(raw)
    except ValidationError:
        return None
