"""Decision records as JSON lines: everything that was observed and decided, to be read and replayed.

The JSON follows the dataclasses field by field, in camelCase as Kubernetes writes it. Numbers that
JSON has no word for are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. A policy is written
as its document. The controller and the simulator write the same lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache, lru_cache
from math import isfinite, isnan
from operator import attrgetter
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.vocabulary import Action
from autoscaler.decision.types import Decision, Observation, ScalingState
from autoscaler.documents.text_lines import Lines
from autoscaler.errors import InputError


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One sync: what was observed at ``now``, what the engine made of it and what became of that.

    Only after ``Scaled`` does the engine's memory know of a change; ``note`` is what the cluster
    said to it. ``policy_name`` tells the policies of one log apart. ``policy`` and ``state`` are
    what the engine started from: on the first line of a policy, and where they are not what the
    line before has left.
    """

    now: float
    observation: Observation
    decision: Decision
    action: Action = Action.HELD
    note: str = ""
    policy_name: str = ""
    policy: ScalingPolicy | None = None
    state: ScalingState | None = None


@dataclass(frozen=True, slots=True)
class LogGap:
    """The place where a log lost decisions, of any policy. Behind it each policy starts with its state.

    ``now``: when writing went on; ``lost``: how many decisions; ``reason``: why they were not written.
    """

    now: float
    lost: int
    reason: str = ""


LogLine: TypeAlias = DecisionRecord | LogGap
"""What a line of a decision log holds."""

_RECORD_FIELDS = tuple((part.name, part.default) for part in fields(DecisionRecord))
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_Decoder: TypeAlias = Callable[[Any], Any]


def record_line(record: DecisionRecord) -> str:
    """One record as one line of JSON, without the line end and the fields at their defaults."""
    parts = [
        f'"{_camel(name)}":{_text(value)}'
        for name, default in _RECORD_FIELDS
        if (value := getattr(record, name)) is not default and value != default
    ]
    return f"{{{','.join(parts)}}}"


def gap_line(gap: LogGap) -> str:
    """A gap as one line of JSON, without the line end."""
    return f'{{"gap":{_text(gap)}}}'


def read_decisions_jsonl(path: Path) -> Iterator[LogLine]:
    """Yields the records and gaps of a decision log, equal to those written.

    Raises:
        InputError: with the line and the field, where the file holds anything else.
    """
    lines = Lines(path, InputError)
    decoded = _line_decoder()
    for first, text in lines.blocks():
        for number, line in enumerate(text.split("\n"), first):
            if line:
                try:
                    yield decoded(json.loads(line))
                except _MismatchError as error:
                    raise lines.fail(number, error.place, error.message) from None
                except (ValueError, RecursionError) as error:
                    raise lines.fail(number, "", f"is no JSON: {error}") from None


class _MismatchError(Exception):
    """A value is not what its field holds; ``place`` grows while the error passes outwards."""

    def __init__(self, message: str) -> None:
        self.place = ""
        self.message = message
        super().__init__(message)

    def inside(self, place: str) -> _MismatchError:
        joint = "." if self.place and not self.place.startswith("[") else ""
        self.place = f"{place}{joint}{self.place}"
        return self


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


# Writing. A long run has thousands of records with hundreds of samples each, hence one template
# for each class, which is filled in one step.


def _text(value: object) -> str:
    writer = _WRITERS.get(type(value))
    if writer is not None:
        return writer(value)
    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    kind: Any = type(value)
    template, values = _layout(kind)
    return template % tuple(map(_text, values(value)))


def _float_text(value: float) -> str:
    if isfinite(value):
        return repr(value)
    return '"NaN"' if isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


@lru_cache(maxsize=4096)  # names and reasons come back in every record
def _string_text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


_WRITERS: dict[type, Callable[[Any], str]] = {
    float: _float_text,
    int: repr,
    bool: lambda value: "true" if value else "false",
    str: _string_text,
    NoneType: lambda _: "null",
    ScalingPolicy: lambda policy: policy.model_dump_json(by_alias=True, exclude_none=True),
}


@cache
def _layout(kind: Any) -> tuple[str, Callable[[Any], tuple[Any, ...]]]:
    """The JSON of a class with ``%s`` for each value, and what takes the values out."""
    if issubclass(kind, StrEnum):
        return "%s", lambda member: (member.value,)
    names = [part.name for part in fields(kind)]
    keys = ",".join(f'"{_camel(name)}":%s' for name in names)
    if len(names) == 1:  # attrgetter gives a bare value for one name
        return f"{{{keys}}}", lambda value: (getattr(value, names[0]),)
    return f"{{{keys}}}", attrgetter(*names)


# Reading.


@cache
def _decoder(kind: Any) -> _Decoder:
    """What turns a JSON value into ``kind``, which is what a record's field may be annotated with."""
    if is_dataclass(kind):
        return _record_decoder(kind)
    if get_origin(kind) is UnionType:
        (plain,) = (_decoder(one) for one in get_args(kind) if one is not NoneType)
        return lambda value: None if value is None else plain(value)
    if get_origin(kind) is tuple:
        return _list_decoder(_decoder(get_args(kind)[0]))
    if kind is float:
        return _float
    if kind is ScalingPolicy:
        return _policy
    return _enum_decoder(kind) if issubclass(kind, StrEnum) else _exact_decoder(kind)


def _float(value: Any) -> float:
    if type(value) in (int, float) or value in _NOT_FINITE:
        return float(value)
    raise _mismatch(value, "number")


def _policy(value: Any) -> ScalingPolicy:
    try:
        return ScalingPolicy.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _MismatchError(first["msg"]).inside(place) from None


def _exact_decoder(kind: type) -> _Decoder:
    def decoded(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise _mismatch(value, kind.__name__)

    return decoded


def _enum_decoder(kind: type[StrEnum]) -> _Decoder:
    members = {member.value: member for member in kind}

    def decoded(value: Any) -> StrEnum:
        if isinstance(value, str) and value in members:
            return members[value]
        raise _mismatch(value, kind.__name__)

    return decoded


def _list_decoder(part_of: _Decoder) -> _Decoder:
    def decoded(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _mismatch(value, "array")
        return tuple(_placed(part_of, part, f"[{index}]") for index, part in enumerate(value))

    return decoded


def _record_decoder(kind: Any) -> _Decoder:
    hints = get_type_hints(kind)
    parts = {_camel(part.name): (part.name, _decoder(hints[part.name])) for part in fields(kind)}
    required = {_camel(part.name) for part in fields(kind) if part.default is MISSING}

    def decoded(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(value, kind.__name__)
        for key in sorted(required - value.keys()):
            raise _MismatchError(f"{key} is missing from this {kind.__name__}")
        for key in sorted(value.keys() - parts.keys()):
            raise _MismatchError(f"{key[:60]!r} is no field of a {kind.__name__}")
        return kind(**{parts[key][0]: _placed(parts[key][1], part, key) for key, part in value.items()})

    return decoded


def _line_decoder() -> Callable[[Any], LogLine]:
    record, gap = _decoder(DecisionRecord), _decoder(LogGap)

    def decoded(value: Any) -> LogLine:
        is_gap = isinstance(value, dict) and value.keys() == {"gap"}
        line: LogLine = _placed(gap, value["gap"], "gap") if is_gap else record(value)
        return line

    return decoded


def _placed(decoder: _Decoder, value: Any, place: str) -> Any:
    try:
        return decoder(value)
    except _MismatchError as error:
        raise error.inside(place) from None


def _mismatch(value: object, wanted: str) -> _MismatchError:
    return _MismatchError(f"{json.dumps(value)[:60]} is no {wanted}")
