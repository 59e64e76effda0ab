"""A decision log through the engine again: the same decisions, or another policy's.

Another policy is asked what it would have ordered in each situation that the log holds. The load
stays as it was recorded, with the replicas that the recorded policy ordered; what a policy would
have made of the whole day is for the simulator to say. Behind a gap in the log everything starts from
the next line that holds the policy and the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from autoscaler.api.models import Metric, ScalingPolicy
from autoscaler.api.schedule import active_schedules
from autoscaler.api.vocabulary import Action
from autoscaler.decision import evaluate, record_scale
from autoscaler.decision.metric_samples import is_rejection_guard
from autoscaler.decision.types import Decision, Observation, Reading, Reason, ScalingState
from autoscaler.history.records import DecisionRecord, LogGap, LogLine
from autoscaler.metrics.readings import question


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record, and the engine's decision on it now.

    ``decision`` is None before the log's first line that holds the policy and the state.
    """

    record: DecisionRecord
    decision: Decision | None


class _Memory:
    """The log's facts so far about one policy."""

    policy: ScalingPolicy | None = None
    state: ScalingState | None = None

    def follow(self, record: DecisionRecord) -> None:
        """Takes the policy and the state from a line."""
        self.policy = record.policy or self.policy
        self.state = record.state or self.state


def replay(records: Iterable[LogLine]) -> Iterator[Replayed]:
    """Decides each record again, with the policy and the memory of the log."""
    memories: dict[str, _Memory] = {}
    for record in records:
        if isinstance(record, LogGap):
            memories.clear()
            continue
        memory = memories.setdefault(record.policy_name, _Memory())
        memory.follow(record)
        if memory.policy is None or memory.state is None:
            yield Replayed(record, None)
            continue
        decision, memory.state = _again(memory.policy, record, record.observation, memory.state)
        yield Replayed(record, _without_unasked(decision, record))


def replay_with(
    records: Iterable[LogLine], policy: ScalingPolicy, clock_start: float = 0.0
) -> Iterator[Replayed]:
    """The replicas that ``policy`` would have ordered in each situation of a log of one policy.

    Its memory holds its own recommendations and the scale events that took place. A metric that
    the log's policy did not ask for is without a reading, which the engine explains.
    ``clock_start``: the epoch second of the log's 0, for schedules.
    """
    memory = _Memory()
    for record in records:
        if isinstance(record, LogGap):
            memory = _Memory()
            continue
        memory.follow(record)
        if memory.policy is None or memory.state is None:
            yield Replayed(record, None)
            continue
        observation = _as_asked(record, memory.policy, policy, clock_start)
        decision, memory.state = _again(policy, record, observation, memory.state)
        yield Replayed(record, decision)


def _without_unasked(decision: Decision, record: DecisionRecord) -> Decision:
    """The decision as a log has it from before refused requests were asked for: that guard abstains."""
    logged = {one.metric for one in record.decision.proposals}
    proposals = tuple(
        one for one in decision.proposals if one.reason is not Reason.NOT_EXPORTED or one.metric in logged
    )
    return replace(decision, proposals=proposals)


def unrecorded(recorded: ScalingPolicy, other: ScalingPolicy) -> tuple[str, ...]:
    """The metrics of ``other`` that a log of ``recorded`` has no readings of."""
    known = {_asks(metric) for metric in recorded.spec.inputs}
    return tuple(metric.name for metric in other.spec.inputs if _asks(metric) not in known)


def _again(
    policy: ScalingPolicy, record: DecisionRecord, observation: Observation, state: ScalingState
) -> tuple[Decision, ScalingState]:
    decision, state = evaluate(policy, observation, state, record.now)
    if record.action is Action.SCALED:
        state = record_scale(policy, state, record.decision, record.now)
    return decision, state


def _as_asked(
    record: DecisionRecord, recorded: ScalingPolicy, other: ScalingPolicy, clock_start: float
) -> Observation:
    """The observation under the other policy's names, with its schedules.

    A log from before refused requests were asked for has no reading of them, and decided without.
    """
    readings = {reading.metric: reading for reading in record.observation.readings}
    asked = [metric for metric in recorded.spec.inputs if metric.name in readings]
    found = {_asks(metric): readings[metric.name] for metric in reversed(asked)}
    found |= {(metric.name, *_asks(metric)): readings[metric.name] for metric in asked}
    return replace(
        record.observation,
        readings=tuple(
            _reading(metric, found)
            for metric in other.spec.inputs
            if _asks(metric) in found or not is_rejection_guard(metric)
        ),
        active_schedules=active_schedules(other.spec, clock_start + record.now),
    )


def _reading(metric: Metric, found: Mapping[tuple[object, ...], Reading]) -> Reading:
    """The recorded metric of the same name, if it asks the same; otherwise the first that does."""
    reading = found.get((metric.name, *_asks(metric))) or found.get(_asks(metric))
    if reading is None:
        return Reading(metric.name, error="the log has no reading of it")
    return replace(reading, metric=metric.name)


def _asks(metric: Metric) -> tuple[object, ...]:
    """The request to a source for a metric, regardless of its name and target."""
    return question(metric), metric.quantile, metric.window_seconds
