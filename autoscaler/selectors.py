"""Kubernetes label selectors: text to requirements, requirements to yes or no. Pure.

The grammar and the meaning are those of apimachinery's ``pkg/labels/selector.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_TEXT = 8192
MAX_REQUIREMENTS = 64

_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+|$)")
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}", re.ASCII)
_VALUE = re.compile(rf"({_NAME})?", re.ASCII)
_INTEGER = re.compile(r"[-+]?\d{1,19}", re.ASCII)
_SYMBOLS = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. ``operator``: in, notin, exists, !exists, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """True if an object with these labels matches. Without the label, ``notin`` holds."""
        if self.key not in labels:
            return self.operator in ("notin", "!exists")
        if self.operator in ("gt", "lt"):
            return self._compares(labels[self.key])
        if self.operator in ("in", "notin"):
            return (labels[self.key] in self.values) is (self.operator == "in")
        return self.operator == "exists"

    def _compares(self, value: str) -> bool:
        if not _INTEGER.fullmatch(value):
            return False
        (bound,) = self.values
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        if self.operator in ("exists", "!exists"):
            return self.key if self.operator == "exists" else f"!{self.key}"
        if self.operator in ("gt", "lt"):
            return f"{self.key}{'>' if self.operator == 'gt' else '<'}{values}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'in' else '!='}{values}"
        return f"{self.key} {self.operator} ({values})"


Requirements = tuple[Requirement, ...]


def matches(requirements: Sequence[Requirement], labels: Mapping[str, str]) -> bool:
    """True if every requirement holds; without requirements everything matches."""
    return all(requirement.holds(labels) for requirement in requirements)


def parse_selector(text: str) -> Requirements:
    """The requirements of a selector such as ``app=vllm,tier in (a, b),!canary``, sorted by key.

    Raises ``ValueError`` for a selector that is not valid, or too large.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"the selector is longer than {MAX_TEXT} characters")
    tokens = _Tokens(text)
    found: list[Requirement] = []
    while tokens.peek():
        found.append(_requirement(tokens))
        if len(found) > MAX_REQUIREMENTS:
            raise ValueError(f"the selector has more than {MAX_REQUIREMENTS} requirements")
        if tokens.peek():
            tokens.expect(",")
            if not tokens.peek():
                raise ValueError("the selector ends with a comma")
    return tuple(sorted(found, key=lambda requirement: (requirement.key, str(requirement))))


def selector_of(selector: Mapping[str, object]) -> Requirements:
    """The requirements of a LabelSelector object: ``matchLabels`` and ``matchExpressions``.

    Raises ``ValueError`` for an operator that is none, or values where none belong.
    """
    found = [Requirement(_key(key), "in", frozenset({_value(value)})) for key, value in _labels(selector)]
    expressions = selector.get("matchExpressions") or ()
    for expression in expressions if isinstance(expressions, list | tuple) else ():
        operator, values = _OPERATORS.get(expression.get("operator")), expression.get("values") or ()
        if operator is None or (operator in ("in", "notin")) is not bool(values):
            raise ValueError(f"{expression.get('operator')} with {len(values)} values is not a requirement")
        found.append(Requirement(_key(expression["key"]), operator, frozenset(map(_value, values))))
    return tuple(sorted(found, key=lambda requirement: (requirement.key, str(requirement))))


def selector_text(requirements: Sequence[Requirement]) -> str:
    """The selector as text, in the order and spelling of Go's ``Selector.String()``."""
    return ",".join(map(str, requirements))


def _labels(selector: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    labels = selector.get("matchLabels") or {}
    if isinstance(labels, Mapping):
        yield from labels.items()


class _Tokens:
    """The words and signs of a selector, one after the other; the empty word is its end."""

    def __init__(self, text: str) -> None:
        self._words: list[str] = _TOKEN.findall(text)
        self._next = 0

    def peek(self) -> str:
        return self._words[self._next] if self._next < len(self._words) else ""

    def take(self) -> str:
        word = self.peek()
        self._next += 1
        return word

    def expect(self, sign: str) -> None:
        if (word := self.take()) != sign:
            raise ValueError(f"the selector has {word!r} where {sign!r} should be")


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.peek() == "!":
        tokens.take()
        return Requirement(_key(tokens.take()), "!exists")
    key = _key(tokens.take())
    sign = tokens.peek()
    if sign in ("", ","):
        return Requirement(key, "exists")
    tokens.take()
    if sign in ("in", "notin"):
        return Requirement(key, sign, frozenset(_set(tokens)))
    if sign not in _SYMBOLS:
        raise ValueError(f"the selector has {sign!r} after {key!r}, where an operator should be")
    value = _value(tokens.take() if tokens.peek() not in ("", ",") else "")
    if sign in "<>" and not _INTEGER.fullmatch(value):
        raise ValueError(f"{key}{sign}{value}: only whole numbers have an order")
    return Requirement(key, _SYMBOLS[sign], frozenset({value}))


def _set(tokens: _Tokens) -> Iterator[str]:
    tokens.expect("(")
    while True:
        yield _value(tokens.take() if tokens.peek() not in (",", ")") else "")
        if tokens.peek() == ")":
            tokens.take()
            return
        tokens.expect(",")


def _key(word: str) -> str:
    if not _KEY.fullmatch(word):
        raise ValueError(f"{word[:63]!r} is not a label key")
    return word


def _value(word: str) -> str:
    if not _VALUE.fullmatch(word):
        raise ValueError(f"{word[:63]!r} is not a label value")
    return word
