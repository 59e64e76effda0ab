"""Decision records: what is written is read back, and decides the same once more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import (
    Decision,
    Observation,
    Pod,
    Reading,
    Reason,
    Recommendation,
    Sample,
    ScaleEvent,
    ScalingState,
    Step,
)
from autoscaler.errors import InputError
from autoscaler.history.records import DecisionRecord, LogGap, gap_line, read_decisions_jsonl, record_line
from simulator.report.csv_files import write_decisions_jsonl

POLICY = ScalingPolicy.model_validate(
    {
        "apiVersion": "vllm-autoscaler.io/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": "chat"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "chat"},
            "maxReplicas": 9,
            "metrics": [{"signal": "waiting", "target": {"type": "AverageValue", "averageValue": 5}}],
        },
    }
)


def decided(observations: Sequence[Observation]) -> list[DecisionRecord]:
    """The records of a controller that saw these observations, one every 15 s."""
    state = initial_state(observations[0].spec_replicas, 0.0)
    records = []
    for number, observation in enumerate(observations):
        now = number * 15.0
        decision, state = evaluate(POLICY, observation, state, now)
        state = record_scale(POLICY, state, decision, now)
        records.append(DecisionRecord(now, observation, decision))
    return records


NUMBERS = st.one_of(st.floats(0, 100), st.sampled_from([nan, inf, -inf]))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    replicas = draw(st.integers(0, 6))
    pods = tuple(Pod(f"chat-{row}", ready=draw(st.booleans())) for row in range(replicas))
    samples = tuple(Sample(draw(NUMBERS), draw(st.floats(0, 60)), pod.name) for pod in pods)
    error = None if samples else draw(st.sampled_from([None, "timed out: “quoted”\n"]))
    reading = Reading(POLICY.spec.inputs[0].name, samples, error)
    return Observation(replicas, replicas, pods, (reading,), draw(st.sampled_from([(), ("nightly", "é")])))


@given(st.lists(observations(), min_size=1, max_size=6))
def test_a_log_goes_through_the_engine_again_to_identical_decisions(
    tmp_path_factory: pytest.TempPathFactory, seen: list[Observation]
) -> None:
    path = tmp_path_factory.getbasetemp() / "decisions.jsonl.gz"
    records = decided(seen)
    write_decisions_jsonl(path, records)
    restored = [line for line in read_decisions_jsonl(path) if isinstance(line, DecisionRecord)]
    assert list(map(repr, restored)) == list(map(repr, records))  # repr, because NaN equals nothing
    again = decided([record.observation for record in restored])
    assert [record.decision for record in again] == [record.decision for record in records]


RECORD = DecisionRecord(
    15.0,
    Observation(
        1, 1, (Pod("chat-0"),), (Reading("waiting", (Sample(nan, 14.5, "chat-0"), Sample(inf, 0.1)), None),)
    ),
    Decision(1, 2, Reason.ABOVE_TARGET, "more", (Step("Recommend", 2, Reason.ABOVE_TARGET, "“more”"),)),
)


def test_a_line_is_one_object_in_kubernetes_spelling() -> None:
    line = record_line(RECORD)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed["now"] == 15.0
    assert parsed["observation"]["specReplicas"] == 1
    assert parsed["observation"]["pods"] == [
        {"name": "chat-0", "phase": "Running", "ready": True, "deleting": False}
    ]
    assert [sample["value"] for sample in parsed["observation"]["readings"][0]["samples"]] == [
        "NaN",
        "Infinity",
    ]
    assert parsed["decision"]["desiredReplicas"] == 2
    assert parsed["decision"]["steps"] == [
        {"stage": "Recommend", "replicas": 2, "reason": "AboveTarget", "message": "“more”"}
    ]


DOCUMENT = POLICY.model_dump(mode="json", by_alias=True, exclude_none=True)
UNKNOWN_FIELD = {**DOCUMENT, "spec": {**DOCUMENT["spec"], "repicas": 1}}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "", "is not valid JSON: "),
        ('"now":15.0', '"now":true', "now: must be a finite number"),
        ('"now":15.0', '"now":"15"', "now: must be a finite number"),
        ('"now":15.0', '"now":null', "now: must be a finite number"),
        ('"value":"NaN"', '"value":true', "observation.readings[0].samples[0].value: must be a number"),
        ('"now":15.0,', "", "now: is missing"),
        ('"now"', '"then":1,"now"', "then: is not a field of this object"),
        (
            '"phase":"Running"',
            '"phase":"Odd"',
            "observation.pods[0].phase: must be 'Pending', 'Running', 'Failed' or 'Succeeded', not \"Odd\"",
        ),
        ('"ready":true', '"ready":1', "observation.pods[0].ready: must be a valid boolean, not 1"),
        (
            '"statusReplicas":1',
            '"statusReplicas":true',
            "observation.statusReplicas: must be a valid integer",
        ),
        ('"specReplicas":1', '"specReplicas":1.5', "observation.specReplicas: must be a valid integer, not"),
        ('"specReplicas"', '"spec_replicas"', "observation.specReplicas: is missing"),
        (
            '"activeSchedules":[]',
            '"activeSchedules":{}',
            "observation.activeSchedules: must be a valid array, not {}",
        ),
        ('"pods":[{', '"pods":[7,{', "observation.pods[0]: must be an object, not 7"),
        ('"decision"', '"policy":{},"decision"', "policy.apiVersion: is missing"),
        (
            '"decision"',
            f'"policy":{json.dumps(UNKNOWN_FIELD)},"decision"',
            "policy.spec.repicas: is not a field of this object",
        ),
        ('{"now"', '{"gap":{"now":1.0},"now"', "gap.lost: is missing"),
    ],
)
def test_a_line_that_is_no_record_names_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "log"
    line = record_line(RECORD)
    assert old in line
    path.write_text(f"{line}\n\n{line.replace(old, new, 1)}\n")
    with pytest.raises(InputError) as caught:
        list(read_decisions_jsonl(path))
    assert str(caught.value).startswith(f"{path}:3: {message}")


@given(st.floats())
def test_every_number_of_a_sample_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, number: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "numbers.jsonl"
    reading = Reading("waiting", (Sample(number, number, "chat-0"),))
    record = replace(RECORD, observation=replace(RECORD.observation, readings=(reading,)))
    path.write_text(f"{record_line(record)}\n")
    assert repr(list(read_decisions_jsonl(path))) == repr([record])


STATE = ScalingState(
    (Recommendation(1, 1.5),), (ScaleEvent(1, 2.5),), (ScaleEvent(1, 3.5),), 4.5, 5.5, unseen_since=6.5
)
TIMES = {
    '"now":15.0': "now",
    '"timestamp":1.5': "state.recommendations[0].timestamp",
    '"timestamp":2.5': "state.upEvents[0].timestamp",
    '"timestamp":3.5': "state.downEvents[0].timestamp",
    '"failingSince":4.5': "state.failingSince",
    '"pendingSince":5.5': "state.pendingSince",
    '"unseenSince":6.5': "state.unseenSince",
    '{"gap":{"now":7.5': "gap.now",
}


@pytest.mark.parametrize("number", ['"NaN"', '"Infinity"', "NaN", "-Infinity", "1e+300", "-1e+300"])
@pytest.mark.parametrize(("written", "field"), TIMES.items())
def test_a_time_is_one_that_can_be_shown(tmp_path: Path, written: str, field: str, number: str) -> None:
    path = tmp_path / "log.jsonl"
    text = f"{record_line(replace(RECORD, state=STATE))}\n{gap_line(LogGap(7.5, 1))}\n"
    path.write_text(text)
    assert len(list(read_decisions_jsonl(path))) == 2
    key = written.rpartition(":")[0]
    path.write_text(text.replace(written, f"{key}:{number}", 1))
    with pytest.raises(InputError) as caught:
        list(read_decisions_jsonl(path))
    line = 2 if field == "gap.now" else 1
    told = f"{path}:{line}: {field}: must be a finite number of at most 253402300799 seconds, not {number}"
    assert str(caught.value) == told


def test_a_gap_is_a_line_of_its_own(tmp_path: Path) -> None:
    path, gap = tmp_path / "decisions.jsonl", LogGap(1.5, 12, "no space left on device")
    path.write_text(f"{gap_line(gap)}\n{record_line(RECORD)}\n")
    assert repr(list(read_decisions_jsonl(path))) == repr([gap, RECORD])
