"""Decision records as JSON lines: all that was observed and decided, for reading and replay.

The JSON follows the dataclasses field by field, in camelCase as Kubernetes writes it. A sample's
numbers that JSON has no word for are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``; every
other number is finite. A policy is written as its document. The controller and the simulator write
the same lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, PlainSerializer, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, SchemaValidator, core_schema

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.vocabulary import Action
from autoscaler.decision.types import Decision, Observation, Sample, ScalingState
from autoscaler.documents.text_lines import Lines
from autoscaler.documents.yaml_source import dotted
from autoscaler.errors import InputError
from autoscaler.timestamps import MAX_SECONDS

_AS_JSON = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, ser_json_inf_nan="strings")
"""pydantic hands it on to the dataclasses within."""

_Document = Annotated[
    ScalingPolicy,
    PlainSerializer(lambda policy: policy.model_dump(mode="json", by_alias=True, exclude_none=True)),
]


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One sync: the observation at ``now``, the engine's decision and its outcome.

    Only after ``Scaled`` does the engine's memory know of a change; ``note`` is the cluster's
    answer. ``policy_name`` distinguishes the policies of one log. ``policy`` and ``state`` are
    the engine's input: on the first line of a policy, and where they differ from the result of
    the line before.
    """

    __pydantic_config__: ClassVar = _AS_JSON

    now: float
    observation: Observation
    decision: Decision
    action: Action = Action.HELD
    note: str = ""
    policy_name: str = ""
    policy: _Document | None = None
    state: ScalingState | None = None


@dataclass(frozen=True, slots=True)
class LogGap:
    """The place where a log lost decisions, of any policy. Behind it each policy starts with its state.

    ``now``: when writing resumed; ``lost``: how many decisions; ``reason``: why they were not written.
    """

    __pydantic_config__: ClassVar = _AS_JSON

    now: float
    lost: int
    reason: str = ""


LogLine: TypeAlias = DecisionRecord | LogGap
"""A line of a decision log."""

_GapLine = dict[Literal["gap"], LogGap]
_BEGINS_GAP = re.compile(r'\s*\{\s*"gap"\s*:')
_OPTIONAL = tuple((part.name, part.default) for part in fields(DecisionRecord) if part.default is not MISSING)


def record_line(record: DecisionRecord) -> str:
    """One record as one line of JSON, without the line end and the fields at their defaults."""
    usual = {name for name, default in _OPTIONAL if getattr(record, name) == default}
    return _adapter(DecisionRecord).dump_json(record, by_alias=True, exclude=usual).decode()


def gap_line(gap: LogGap) -> str:
    """A gap as one line of JSON, without the line end."""
    return _adapter(_GapLine).dump_json({"gap": gap}, by_alias=True).decode()


def read_decisions_jsonl(path: Path) -> Iterator[LogLine]:
    """Yields the records and gaps of a decision log, equal to those written.

    Raises:
        InputError: with the line and the field, where the file holds anything else.
    """
    lines = Lines(path, InputError)
    for first, text in lines.blocks():
        for number, line in enumerate(text.split("\n"), first):
            if line:
                try:
                    yield _line(line)
                except ValidationError as error:
                    fault = error.errors(include_url=False)[0]
                    raise lines.fail(number, dotted(fault["loc"]), _in_words(fault)) from None


def _line(text: str) -> LogLine:
    if _BEGINS_GAP.match(text):
        gap: LogGap = _reader(_GapLine).validate_json(text)["gap"]
        return gap
    record: DecisionRecord = _reader(DecisionRecord).validate_json(text, by_alias=True, by_name=False)
    return record


def _in_words(fault: ErrorDetails) -> str:
    match fault["type"]:
        case "json_invalid":
            return f"is not valid JSON: {fault['ctx']['error']}"
        case "missing":
            return "is missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return "is not a field of this object"
        case _:
            given = json.dumps(fault["input"], default=str)[:60]
            return f"{fault['msg'].replace('Input should', 'must', 1)}, not {given}"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@cache
def _reader(kind: Any) -> SchemaValidator:
    return SchemaValidator(_with_numbers(_adapter(kind).core_schema))


# pydantic writes numbers that are not finite as texts, and a strict float refuses to read them.
_TEXT = core_schema.chain_schema(
    [core_schema.literal_schema(["NaN", "Infinity", "-Infinity"]), core_schema.float_schema(strict=False)]
)
_NUMBER = core_schema.union_schema(
    [core_schema.float_schema(strict=True), _TEXT],
    mode="left_to_right",
    custom_error_type="number",
    custom_error_message="Input should be a number",
)


# The engine's own times, which it reckons with and which are shown as dates.
_TIME = core_schema.custom_error_schema(
    core_schema.float_schema(strict=True, allow_inf_nan=False, ge=-MAX_SECONDS, le=MAX_SECONDS),
    custom_error_type="time",
    custom_error_message=f"Input should be a finite number of at most {MAX_SECONDS} seconds",
)


def _with_numbers(schema: Any, number: Any = _TIME) -> Any:
    """A schema whose floats are times, but in a sample any number: a server gives it, the engine judges it.

    A policy keeps its own limits.
    """
    if isinstance(schema, list):
        return [_with_numbers(part, number) for part in schema]
    if not isinstance(schema, dict) or schema.get("type") == "model":
        return schema
    if schema.get("type") == "float":
        return number
    within = _NUMBER if schema.get("cls") is Sample else number
    return {key: _with_numbers(part, within) for key, part in schema.items()}
