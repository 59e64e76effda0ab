"""A run's inputs as flat (name, value) pairs, defaults included."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

Pairs = list[tuple[str, str]]

_EMPTY = frozenset({"-", "[]", "{}", ""})


def input_pairs(inputs: Mapping[str, object]) -> Pairs:
    """One pair per innermost value, named ``outer.inner``, in the inputs' own order."""
    return [(name, _format(value)) for name, value in _flat("", inputs)]


def brief_pairs(inputs: Mapping[str, object]) -> Pairs:
    """The inputs in short: a policy or profile by its name; empty inputs are left out."""
    short = {name: _named(value) for name, value in inputs.items()}
    return [(name, text) for name, text in input_pairs(short) if text not in _EMPTY]


def _named(value: object) -> object:
    """A document's name in place of the document; other values as they are."""
    if not isinstance(value, Mapping):
        return value
    metadata = value.get("metadata")
    return value.get("name") or (metadata.get("name") if isinstance(metadata, Mapping) else None) or value


def shared_and_own(runs: Sequence[Mapping[str, object]]) -> tuple[Pairs, list[Pairs]]:
    """The brief pairs that all runs have in common, and the further pairs of each run."""
    pairs = [brief_pairs(inputs) for inputs in runs]
    common = set(pairs[0]).intersection(*pairs[1:]) if pairs else set()
    shared = [pair for pair in pairs[0] if pair in common] if pairs else []
    return shared, [[pair for pair in own if pair not in common] for own in pairs]


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _flat(f"{name}[{index}]", item)
    else:
        yield name, value


def _format(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
