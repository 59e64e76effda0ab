"""A log through the engine again: identical decisions, from any of its beginnings; or another policy's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.vocabulary import Action
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import Reading, Reason
from autoscaler.history.records import DecisionRecord, read_decisions_jsonl, record_line
from autoscaler.history.replay import replay, replay_with, unrecorded
from tests.decision.builders import (
    NOW,
    failed,
    guarded,
    metric,
    per_pod,
    policy,
    remembering,
)

CHAT = policy(metric(5, signal="waiting"))


def recorded(loads: Sequence[float | None], scaling: ScalingPolicy = CHAT) -> list[DecisionRecord]:
    """What a controller logs that sees these loads per pod (None: no answer), one every 15 s."""
    replicas, state, records = 2, initial_state(2, 0.0), []
    for number, load in enumerate(loads, 1):
        now = number * 15.0
        name = scaling.spec.metrics[0].name
        reading = failed(name) if load is None else per_pod([load] * replicas, name, now)
        seen = guarded(replicas, reading, at=now)
        before = state
        decision, state = evaluate(scaling, seen, before, now)
        writes = decision.desired_replicas != replicas
        if writes:
            state = record_scale(scaling, state, decision, now)
        replicas = decision.desired_replicas
        action = Action.SCALED if writes else Action.HELD
        record = DecisionRecord(now, seen, decision, action, policy_name="chat/vllm")
        records.append(replace(record, policy=scaling, state=before) if number == 1 else record)
    return records


def test_a_log_from_before_refused_requests_were_asked_for_replays_to_itself() -> None:
    earlier = []
    for record in recorded([4.0, 9.0, 2.0]):
        proposals = tuple(one for one in record.decision.proposals if not one.metric.startswith("rejected"))
        readings = tuple(one for one in record.observation.readings if not one.metric.startswith("rejected"))
        earlier.append(
            replace(
                record,
                decision=replace(record.decision, proposals=proposals),
                observation=replace(record.observation, readings=readings),
            )
        )
    assert [one.decision for one in replay(earlier)] == [one.decision for one in earlier]


LOADS = st.lists(st.one_of(st.none(), st.floats(0, 40)), min_size=1, max_size=60)


@given(LOADS)
def test_a_log_replays_to_identical_decisions(
    tmp_path_factory: pytest.TempPathFactory, loads: list[float | None]
) -> None:
    path = tmp_path_factory.getbasetemp() / "replayed.jsonl"
    records = recorded(loads)
    path.write_text("".join(f"{record_line(record)}\n" for record in records))
    again = list(replay(read_decisions_jsonl(path)))
    assert [one.decision for one in again] == [record.decision for record in records]


@given(LOADS)
def test_the_same_policy_in_its_own_place_is_no_other(loads: list[float | None]) -> None:
    records = recorded(loads)
    again = replay_with(records, CHAT)
    assert [one.decision for one in again] == [record.decision for record in records]


def test_several_policies_in_one_log_keep_apart() -> None:
    one = recorded([30, 30, 1, 1])
    two = [replace(record, policy_name="code/vllm") for record in recorded([1, 40, 1, 40])]
    mixed = [record for pair in zip(one, two, strict=True) for record in pair]
    assert all(again.decision == again.record.decision for again in replay(mixed))


def test_a_log_whose_head_is_cut_off_waits_for_the_next_beginning() -> None:
    records = recorded([30, 30, 1, 1])
    second = recorded([2, 30])
    again = list(replay([*records[1:], *second]))
    assert [one.decision for one in again] == [None] * 3 + [record.decision for record in second]


def test_a_changed_decision_shows() -> None:
    first, *_ = recorded([30])
    tampered = replace(first, decision=replace(first.decision, desired_replicas=9))
    (again,) = replay([tampered])
    assert again.decision == first.decision != tampered.decision


def test_another_policy_decides_in_the_recorded_situations() -> None:
    records = recorded([12, 12])
    bold = policy(metric(2, signal="waiting", name="queue"))
    first, second = replay_with(records, bold)
    assert records[0].decision.desired_replicas == 5
    assert first.decision is not None
    assert first.decision.proposals[0].metric == "queue"
    assert first.decision.desired_replicas == 6  # 12 wanted, 4 more at a time
    assert second.decision is not None
    assert second.decision.current_replicas == 5  # what the log's own policy ordered


def test_a_log_says_why_a_metric_is_absent_and_one_from_before_that_holds_as_it_did(tmp_path: Path) -> None:
    scaling = policy(metric(5, signal="waiting"), metric(1, "Value", signal="ttft"))
    idle = Reading("ttft", idle="no request in the last 60 s")
    seen = guarded(2, per_pod([0.0] * 2, "waiting"), idle)
    state = remembering((2, 1000.0))
    decision = evaluate(scaling, seen, state, NOW)[0]
    path = tmp_path / "log.jsonl"
    line = record_line(DecisionRecord(NOW, seen, decision, policy=scaling, state=state))
    path.write_text(f"{line}\n")
    (now,) = replay(read_decisions_jsonl(path))
    assert now.decision == decision
    assert decision.desired_replicas == 1
    path.write_text(
        line.replace(',"idle":"no request in the last 60 s"', "").replace(',"idle":null', "") + "\n"
    )
    (before,) = replay(read_decisions_jsonl(path))
    assert before.decision is not None
    assert (before.decision.desired_replicas, before.decision.reason) == (2, "FailedGetExternalMetric")


def test_a_metric_that_was_not_recorded_is_without_an_answer() -> None:
    records = recorded([12])
    other = policy(metric(5, signal="running"))
    (again,) = replay_with(records, other)
    assert again.decision is not None
    assert again.decision.desired_replicas == again.decision.current_replicas
    assert "the log has no reading of it" in again.decision.message
    assert unrecorded(CHAT, other) == ("running",)


def test_another_policys_schedules_follow_its_own_calendar() -> None:
    records = recorded([1])
    nightly = policy(
        metric(5, signal="waiting"),
        schedules=[{"name": "early", "cron": "0 0 * * *", "durationSeconds": 3600, "minReplicas": 4}],
    )
    (at_midnight,) = replay_with(records, nightly)
    (at_noon,) = replay_with(records, nightly, clock_start=12 * 3600.0)
    assert at_midnight.decision is not None
    assert at_midnight.decision.desired_replicas == 4
    assert at_midnight.decision.reason is Reason.BELOW_MIN
    assert at_noon.decision is not None
    assert at_noon.decision.desired_replicas == 2
