"""How the rules between fields are written: words, the check in Python and its twin in CEL in one unit.

Rules work on plain data, not models, so that one wrong field does not hide the others: the loader runs
them next to the models' own checks and reports everything at once. The models run them as well, for
policies that are built in Python. A check passes over data that is not of the expected type; the models
report it.

The API server holds the same rules in CEL, whose messages cannot mention a value: ``cel_says`` has the
words without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

FieldPath = tuple[str | int, ...]
Data = Mapping[str, Any]
"""One object of a document, as plain data."""
Say = Callable[[FieldPath, str], None]
"""Takes what is wrong with the field at a path, from the object that was checked."""


class At(NamedTuple):
    """A place that breaks a rule, from the object that the check was given, and what the words mention."""

    path: FieldPath
    values: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One rule of an object. ``cel`` holds where the rule does; None: the schema says it in other ways."""

    path: FieldPath
    says: str
    find: Callable[[Data], Iterable[At]]
    cel: str | None = None
    cel_says: str | None = None

    def check(self, data: Data, say: Say) -> None:
        """Reports each place of an object that breaks the rule."""
        for path, values in self.find(data):
            say(path, self.says.format_map(values))


@dataclass(frozen=True, slots=True)
class FieldRules:
    """The rules of one model, by whose name a schema knows it; decorating a check adds a rule."""

    of: str
    rules: list[FieldRule] = field(default_factory=list)

    def __iter__(self) -> Iterator[FieldRule]:
        return iter(self.rules)

    def breaks(
        self, *path: str, says: str, cel: str | None = None, cel_says: str | None = None
    ) -> Callable[[Callable[[Data], bool]], FieldRule]:
        """Adds a rule on the field at a path, which the check breaks where it is true.

        ``says`` may mention fields of the object: ``{signal}``, ``{target[type]}``.
        """

        def add(check: Callable[[Data], bool]) -> FieldRule:
            def find(data: Data) -> Iterator[At]:
                if check(data):
                    yield At(path, data)

            return self.add(FieldRule(path, says, find, cel, cel_says))

        return add

    def finds(
        self, *path: str, says: str, cel: str | None = None, cel_says: str | None = None
    ) -> Callable[[Callable[[Data], Iterable[At]]], FieldRule]:
        """Adds a rule whose check finds the places; ``path`` is where CEL, which cannot, puts them."""

        def add(check: Callable[[Data], Iterable[At]]) -> FieldRule:
            return self.add(FieldRule(path, says, check, cel, cel_says))

        return add

    def add(self, rule: FieldRule) -> FieldRule:
        """Adds a rule, which another model may have too."""
        self.rules.append(rule)
        return rule

    def check(self, data: Data, say: Say) -> None:
        """Reports everything that the rules find in an object."""
        for rule in self.rules:
            rule.check(data, say)


def below(path: FieldPath, say: Say) -> Say:
    """Takes what is wrong with a part of an object, and puts the part's path in front of its own paths."""
    return lambda inner, message: say((*path, *inner), message)


def entries(data: Data, key: str) -> list[tuple[int, Data]]:
    """The objects of a list with their indices; the models report an entry that is not an object."""
    items = data.get(key)
    if not isinstance(items, list):
        return []
    return [(index, item) for index, item in enumerate(items) if isinstance(item, Mapping)]


def is_integer(value: Any) -> TypeGuard[int]:
    """True if a value is an integer, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)
