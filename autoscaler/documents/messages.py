"""pydantic's errors in plain words: what is wrong, and what would be right.

What would be right is read from the JSON Schema of the models, so that it cannot disagree.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

_SHOWN_LENGTH = 60
_METRIC_PATTERN = "must be letters, digits and the characters -_.:|+, ending with a letter, a digit or _"
_NAME_PATTERN = (
    "must be lower-case letters, digits, '-' and '.', beginning and ending with a letter or a digit"
)


def describe(error: ErrorDetails, schema: dict[str, Any]) -> str:
    """The message of a validation error. ``schema`` is the policies' JSON Schema."""
    words = _WORDS.get(error["type"])
    if words is not None:
        return words(error, schema)
    wanted = expected(part_of(schema, error["loc"]), schema)
    return f"must be {wanted}, not {shown(error['input'])}"


def shown(value: object) -> str:
    """A value in a user's words."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f"the string {_quoted(value)}"
    return str(value)


def _quoted(text: str) -> str:
    cut = text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
    return json.dumps(cut, ensure_ascii=False)


def expected(part: dict[str, Any], schema: dict[str, Any]) -> str:
    """The value that a part of the schema expects, e.g. ``an integer from 0 to 3600``."""
    part = _resolved(part, schema)
    if "const" in part:
        return str(part["const"])
    if "enum" in part:
        return f"one of {', '.join(part['enum'])}"
    if "anyOf" in part:
        return 'a quantity such as 10, "850m" or "2k"'
    kind = {
        "boolean": "true or false",
        "integer": "an integer",
        "number": "a number",
        "string": "a string",
        "array": "a list",
        "object": "a mapping",
    }[part["type"]]
    return kind + _limits(part)


def _limits(part: dict[str, Any]) -> str:
    if "minimum" in part and "maximum" in part:
        return f" from {part['minimum']} to {part['maximum']}"
    if "exclusiveMinimum" in part and "exclusiveMaximum" in part:
        return f" between {part['exclusiveMinimum']:g} and {part['exclusiveMaximum']:g}"
    return ""


def part_of(schema: dict[str, Any], path: Iterable[str | int]) -> dict[str, Any]:
    """The part of the schema that describes the value at a path. Every part must exist."""
    part = _resolved(schema, schema)
    for step in path:
        if isinstance(step, int):
            part = part["items"]
        elif step in part.get("properties", {}):
            part = part["properties"][step]
        else:
            part = part["additionalProperties"]
        part = _resolved(part, schema)
    return part


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    return part


def close_field(name: str, fields: Iterable[str]) -> str | None:
    """The field that an unknown name was probably meant to be."""
    by_lower = {field.lower(): field for field in fields}
    camel = to_camel(re.sub(r"[-\s]", "_", name)).lower()
    if camel in by_lower:
        return by_lower[camel]
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[close[0]] if close else None


def close_unknown(error: ErrorDetails, schema: dict[str, Any]) -> str | None:
    """The field that an ``extra_forbidden`` error's field was probably meant to be."""
    fields = part_of(schema, error["loc"][:-1])["properties"]
    return close_field(str(error["loc"][-1]), fields)


def _unknown(error: ErrorDetails, schema: dict[str, Any]) -> str:
    meant = close_unknown(error, schema)
    if meant is not None:
        return f"is not a field here: did you mean {meant}?"
    fields = part_of(schema, error["loc"][:-1])["properties"]
    return f"is not a field here: the fields are {', '.join(fields)}"


def _missing(error: ErrorDetails, schema: dict[str, Any]) -> str:
    part = part_of(schema, error["loc"])
    fields = f" of {', '.join(part['properties'])}" if "properties" in part else ""
    return f"is missing: set it to {expected(part, schema)}{fields}"


def _wrong_type(error: ErrorDetails, schema: dict[str, Any]) -> str:
    wanted = expected(part_of(schema, error["loc"]), schema)
    value = error["input"]
    message = f"must be {wanted}, not {shown(value)}"
    if wanted == "a string":
        return message if isinstance(value, dict | list) else f"{message}: put it in quotes"
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?|true|false", value, re.ASCII):
        return f"{message}: remove the quotes"
    if isinstance(value, float) and value.is_integer():
        return f"{message}: write {int(value)}"
    return message


def _choice(error: ErrorDetails, schema: dict[str, Any]) -> str:
    part, value = part_of(schema, error["loc"]), error["input"]
    message = f"must be {expected(part, schema)}, not {shown(value)}"
    meant = _closest(value, part.get("enum", ())) if isinstance(value, str) else None
    return f"{message}; did you mean {meant}?" if meant else message


def _closest(value: str, choices: Collection[str]) -> str | None:
    """The choice that a wrong value most likely means.

    A release's rule holds until the next named release; the first rule holds for all earlier ones too.
    """
    releases = {choice: _release(choice) for choice in choices}
    given = _release(value)
    if given is None or None in releases.values():
        return close_field(value, choices)
    known = sorted(release for release in releases.values() if release is not None)
    rule = max((release for release in known if release <= given), default=known[0])
    return next(choice for choice, release in releases.items() if release == rule)


def _release(text: str) -> tuple[int, ...] | None:
    match = re.fullmatch(r"v?(\d+)\.(\d+)", text, re.ASCII)
    return None if match is None else (int(match[1]), int(match[2]))


def _limit(words: str, key: str) -> Callable[[ErrorDetails, dict[str, Any]], str]:
    def describe_limit(error: ErrorDetails, _schema: dict[str, Any]) -> str:
        return f"must be {words} {error['ctx'][key]}, is {error['input']}"

    return describe_limit


def _length(error: ErrorDetails, _schema: dict[str, Any]) -> str:
    context = error["ctx"]
    kind = "characters" if isinstance(error["input"], str) else "entries"
    if "min_length" in context:
        return "is empty: give it a value" if kind == "characters" else "is empty: give it at least one entry"
    return f"has {len(error['input'])} {kind}: at most {context['max_length']} are allowed"


def _own_words(error: ErrorDetails, _schema: dict[str, Any]) -> str:
    message = str(error["ctx"]["error"])
    return f"{message}, is {shown(error['input'])}" if message.startswith("must") else message


def _pattern(error: ErrorDetails, _schema: dict[str, Any]) -> str:
    words = _METRIC_PATTERN if ":" in error["ctx"]["pattern"] else _NAME_PATTERN
    return f"{words}; is {shown(error['input'])}"


_WORDS: dict[str, Callable[[ErrorDetails, dict[str, Any]], str]] = {
    "extra_forbidden": _unknown,
    "unexpected_keyword_argument": _unknown,
    "missing": _missing,
    "int_type": _wrong_type,
    "float_type": _wrong_type,
    "bool_type": _wrong_type,
    "string_type": _wrong_type,
    "enum": _choice,
    "literal_error": _choice,
    "greater_than_equal": _limit("at least", "ge"),
    "less_than_equal": _limit("at most", "le"),
    "greater_than": _limit("above", "gt"),
    "less_than": _limit("below", "lt"),
    "too_short": _length,
    "too_long": _length,
    "string_too_short": _length,
    "string_too_long": _length,
    "string_pattern_mismatch": _pattern,
    "value_error": _own_words,
}
