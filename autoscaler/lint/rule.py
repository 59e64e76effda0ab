"""How a lint rule is written: its id, its words and its check in one unit.

A check finds the places and never raises. Its docstring says when the rule warns; docs/policy.md has that and
the words in a table, which ``make rule-tables`` writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from autoscaler.api.rules import At, FieldPath
from autoscaler.errors import Diagnostic, Severity

Subject = TypeVar("Subject")
Check = Callable[[Subject], Iterable[At]]


class Located(Protocol):
    """The subject of a warning: a policy or a manifest, which knows its file and its lines."""

    def diagnostic(self, path: FieldPath, message: str) -> Diagnostic:
        """A diagnostic of the field at a path."""
        ...


@dataclass(frozen=True, slots=True)
class Rule(Generic[Subject]):
    """One rule. ``says``: what is harmful, why, and what would be better; values fill the braces."""

    id: str
    says: str
    check: Check[Subject]

    @property
    def when(self) -> str:
        """When it warns, on one line."""
        return " ".join((inspect.getdoc(self.check) or "").split())

    def warnings(self, subject: Subject, document: Located) -> Iterator[Diagnostic]:
        """The warnings about a subject, whose places are in the document."""
        for path, values in self.check(subject):
            found = document.diagnostic(path, self.says.format_map(values))
            yield replace(found, severity=Severity.WARNING, rule=self.id)


class Rules(Generic[Subject]):
    """A group of rules about one kind of subject. Decorating a check adds a rule::

    rule = Rules[Spec]()

    @rule("fallback-zero", "0 stops serving when monitoring fails; …")
    def fallback_zero(spec: Spec) -> Iterator[At]: ...
    """

    def __init__(self) -> None:
        self._rules: list[Rule[Subject]] = []

    def __call__(self, rule_id: str, says: str) -> Callable[[Check[Subject]], Check[Subject]]:
        """Adds a rule with this check."""

        def add(check: Check[Subject]) -> Check[Subject]:
            self._rules.append(Rule(rule_id, says, check))
            return check

        return add

    def __iter__(self) -> Iterator[Rule[Subject]]:
        return iter(self._rules)

    def warnings(self, subject: Subject, document: Located) -> Iterator[Diagnostic]:
        """Everything that the rules find."""
        for rule in self._rules:
            yield from rule.warnings(subject, document)
