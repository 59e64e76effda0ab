"""The types of the fields in our documents, and the base class of all parts."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from autoscaler.api.quantity import (
    MAX_QUANTITY_LENGTH,
    QUANTITY_PATTERN,
    from_float,
    from_milli,
    to_float,
    to_milli,
)
from autoscaler.api.rules import FieldRules

MAX_QUANTITY = (2**63 - 1) // 1000  # HPA keeps milli units in an int64
RULE_ERROR = "policy_rule"
"""The pydantic error type of a broken rule between fields."""

Int = Annotated[int, Field(strict=True)]
Bool = Annotated[bool, Field(strict=True)]
Name = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]


def _positive(milli: int) -> int:
    if milli <= 0:
        raise ValueError("must be above 0")
    if milli > MAX_QUANTITY * 1000:
        raise ValueError(f"must be at most {MAX_QUANTITY}, the most that HPA can hold")
    return milli


def _share(milli: int) -> int:
    if not 0 < milli <= 1000:
        raise ValueError("must be above 0 and at most 1")
    return milli


def _not_negative(ratio: float) -> float:
    if ratio < 0:
        raise ValueError("must be at least 0")
    return ratio


def _quantity_schema(**limits: float) -> WithJsonSchema:
    text = {"type": "string", "pattern": QUANTITY_PATTERN, "maxLength": MAX_QUANTITY_LENGTH}
    return WithJsonSchema({"anyOf": [{"type": "number", **limits}, text]}, mode="validation")


_AS_QUANTITY = PlainSerializer(from_milli, when_used="json")
Milli = Annotated[
    int,
    BeforeValidator(to_milli),
    AfterValidator(_positive),
    _AS_QUANTITY,
    _quantity_schema(exclusiveMinimum=0, maximum=MAX_QUANTITY),
]
Share = Annotated[
    int,
    BeforeValidator(to_milli),
    AfterValidator(_share),
    _AS_QUANTITY,
    _quantity_schema(exclusiveMinimum=0, maximum=1),
]
Ratio = Annotated[
    float,
    BeforeValidator(to_float),
    AfterValidator(_not_negative),
    PlainSerializer(from_float, when_used="json"),
    _quantity_schema(minimum=0),
]


class ApiModel(BaseModel):
    """The base of every part of our documents: frozen, camelCase in YAML, no unknown field."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
        field_title_generator=lambda name, _info: to_camel(name),
    )

    def enforce(self, rules: FieldRules) -> Self:
        """Checks the rules between fields; raises all their findings as one ``PydanticCustomError``."""
        found: list[str] = []
        rules.check(_plain(self), lambda path, message: found.append(f"{_dotted(path)} {message}".strip()))
        if found:
            raise PydanticCustomError(RULE_ERROR, "{text}", {"text": "; ".join(found)})
        return self


def _plain(value: Any) -> Any:
    """A model as the data that rules read, without what is unset; quantities stay in milli units.

    ``model_dump`` would build each part's own serializer, which takes longer than all the rules.
    """
    if isinstance(value, ApiModel):
        return {to_camel(name): _plain(part) for name, part in value if part is not None}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in path)
