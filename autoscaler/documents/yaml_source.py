"""Untrusted YAML text to plain data that knows its lines.

PyYAML's own composer recurses, expands nothing but also bounds nothing, and forgets duplicate
keys. So the documents are put together here from its event stream: without recursion, with a
bound on depth and on the values that aliases multiply to, and with every problem noted.

Scalars mean what they mean to ``kubectl``: YAML 1.1 booleans (``yes`` is true), no base-60
integers, no dates. Integers with a leading 0 stay strings, because parsers disagree on them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from autoscaler.api.rules import FieldPath
from autoscaler.errors import Diagnostic

MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """The greatest size of a text in bytes, and of a document in values with aliases expanded."""

    size: int = 1 << 20
    values: int = 10_000


POLICY_FILE = ReadLimits()
"""The limits of a file that a person writes."""

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE|yes|Yes|YES|on|On|ON")
_FALSE = re.compile(r"false|False|FALSE|no|No|NO|off|Off|OFF")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_NUMBER_LENGTH = 64
_STRING_TAG = "tag:yaml.org,2002:str"
_PLAIN_TAGS = frozenset({None, "!", _STRING_TAG, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True, eq=False)
class Node:
    """One value of a document. ``line`` counts from 1.

    ``data`` is plain Python data; ``size`` counts the values in it, aliases expanded;
    ``refused``: a problem has been noted for it, so its data means nothing.
    """

    line: int
    data: Any
    children: dict[str | int, Node] = field(default_factory=dict)
    key_lines: dict[str | int, int] = field(default_factory=dict)
    size: int = 1
    refused: bool = False

    def line_of(self, path: FieldPath) -> int:
        """The line of the value at a path; of its nearest parent where it is absent."""
        line = self.line
        for part, node in self._walk(path):
            line = node.key_lines.get(part, node.line)
            if part in node.children and part not in node.key_lines:
                line = node.children[part].line
        return line

    def is_refused(self, path: FieldPath) -> bool:
        """True if a problem has been noted for the value at a path or for a parent of it."""
        steps = [node.children[part] for part, node in self._walk(path)]
        return self.refused or any(node.refused for node in steps)

    def objects(self) -> Iterator[Node]:
        """A document's objects: those of a List, as kubectl prints several, one by one; else itself."""
        is_list = isinstance(self.data, dict) and str(self.data.get("kind", "")).endswith("List")
        if is_list and "items" in self.children:
            for item in self.children["items"].children.values():
                yield from item.objects()
        else:
            yield self

    def _walk(self, path: FieldPath) -> Iterator[tuple[str | int, Node]]:
        node = self
        for part in path:
            if part not in node.children:
                return
            yield part, node
            node = node.children[part]


class _UnreadableError(Exception):
    """The rest of the text cannot be read."""

    def __init__(self, problem: Diagnostic) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_documents(
    raw: str | bytes, file: str, limits: ReadLimits = POLICY_FILE
) -> tuple[list[Node], list[Diagnostic]]:
    """The non-empty documents of a YAML text, and what is wrong with the text.

    Documents before a syntax error are returned as well; those after it cannot be.
    """
    composer = _Composer(file, limits)
    try:
        text = _decode(raw, file, limits)
        _compose(text, composer)
    except _UnreadableError as stop:
        composer.problems.append(stop.problem)
    return composer.documents, composer.problems


def _decode(raw: str | bytes, file: str, limits: ReadLimits) -> str:
    if len(raw) > limits.size:
        message = f"is too large: at most {limits.size} bytes are read; split it into several files"
        raise _UnreadableError(Diagnostic(file, None, "", message))
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}): a policy is a YAML text file"
        raise _UnreadableError(Diagnostic(file, None, "", message)) from None
    found = _UNPRINTABLE.search(text)
    if found is not None:
        message = f"has the control character U+{ord(found[0]):04X}: a policy is a YAML text file"
        line = None if found[0] == "\0" else text.count("\n", 0, found.start()) + 1
        raise _UnreadableError(Diagnostic(file, line, "", message))
    return text.removeprefix("\ufeff")


def _compose(text: str, composer: _Composer) -> None:
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        raise _UnreadableError(_syntax_problem(text, composer.file, error)) from None
    except yaml.YAMLError as error:
        raise _UnreadableError(Diagnostic(composer.file, None, "", f"is not YAML: {error}")) from None


def _syntax_problem(text: str, file: str, error: yaml.MarkedYAMLError) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    lines = text.splitlines()
    at = lines[line - 1] if line is not None and line <= len(lines) else ""
    if "\t" in at[: len(at) - len(at.lstrip())]:
        return Diagnostic(file, line, "", "is indented with a tab: YAML wants spaces")
    reasons = [reason for reason in (error.context, error.problem) if reason]
    return Diagnostic(file, line, "", f"is not YAML: {': '.join(reasons)}")


@dataclass(slots=True, eq=False)
class _Frame:
    """A collection that is being read; ``key`` is the mapping key whose value comes next."""

    node: Node
    anchor: str | None
    key: Node | None = None

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node.data, dict)

    @property
    def place(self) -> str | int | None:
        """The key or index of the value that comes next; None where its key is not a string."""
        if not self.is_mapping:
            return len(self.node.data)
        return self.key.data if self.key is not None and isinstance(self.key.data, str) else None


class _Composer:
    """Puts documents together from events, with a stack of its own instead of recursion."""

    def __init__(self, file: str, limits: ReadLimits) -> None:
        self.file = file
        self._limits = limits
        self.documents: list[Node] = []
        self.problems: list[Diagnostic] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: yaml.Event) -> None:
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            self._value(self._scalar(event, line), event.anchor)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            frame = self._frames.pop()
            self._value(frame.node, frame.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._value(self._alias(str(event.anchor), line), None)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}

    def _open(self, event: yaml.CollectionStartEvent, line: int) -> None:
        if len(self._frames) == MAX_DEPTH:
            message = f"is nested deeper than {MAX_DEPTH} levels: no policy needs that"
            raise _UnreadableError(Diagnostic(self.file, line, "", message))
        node = Node(line, {} if isinstance(event, yaml.MappingStartEvent) else [])
        self._check_tag(event.tag, node)
        self._frames.append(_Frame(node, event.anchor))

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Node:
        plain = event.implicit[0] and event.tag != _STRING_TAG
        node = Node(line, _resolve(event.value) if plain else event.value)
        self._check_tag(event.tag, node)
        return node

    def _check_tag(self, tag: str | None, node: Node) -> None:
        if tag not in _PLAIN_TAGS:
            shown = str(tag).replace("tag:yaml.org,2002:", "!!")
            self._refuse(node, f"has the YAML tag {shown}, which is not allowed: write the plain value")

    def _alias(self, anchor: str, line: int) -> Node:
        node = Node(line, None)
        if any(frame.anchor == anchor for frame in self._frames):
            self._refuse(node, f"the alias *{anchor} contains itself: write the value out")
        elif anchor not in self._anchors:
            self._refuse(node, f"the alias *{anchor} has no anchor &{anchor} before it")
        else:
            return self._anchors[anchor]
        return node

    def _value(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._frames:
            if node.data is not None or node.refused:
                self.documents.append(node)
        elif not self._frames[-1].is_mapping:
            self._put_item(self._frames[-1].node, node)
        elif self._frames[-1].key is None:
            self._frames[-1].key = node
        else:
            self._put_entry(self._frames[-1], self._frames[-1].key, node)
            self._frames[-1].key = None

    def _put_item(self, parent: Node, node: Node) -> None:
        if node.data is None and not node.refused:
            self._refuse(node, "is an empty list entry: give it a value, or remove it")
        parent.children[len(parent.data)] = node
        parent.data.append(node.data)
        self._grow(parent, node)

    def _put_entry(self, frame: _Frame, key: Node, node: Node) -> None:
        parent, name = frame.node, key.data
        if name == "<<":
            self._refuse(parent, "merge keys (<<) are not supported: write the fields out", key.line)
        elif not isinstance(name, str):
            shown = json.dumps(name) if not isinstance(name, dict | list) else "(a list or mapping)"
            self._note(key.line, f"the key {shown} is not a string: put it in quotes")
        elif name in parent.children:
            first = parent.key_lines[name]
            self._note(key.line, f"is set twice, first on line {first}: keep one of them")
        else:
            if node.data is None and not node.refused:
                node = Node(key.line, None)  # not the anchor's node: only this use is empty
                self._refuse(node, "has no value: give it one, or remove the line")
            parent.children[name] = node
            parent.key_lines[name] = key.line
            parent.data[name] = node.data
        self._grow(parent, node)

    def _grow(self, parent: Node, node: Node) -> None:
        parent.size += node.size
        if parent.size > self._limits.values:
            message = f"expands to more than {self._limits.values} values: are there aliases that multiply?"
            raise _UnreadableError(Diagnostic(self.file, parent.line, "", message))

    def _refuse(self, node: Node, message: str, line: int | None = None) -> None:
        node.refused = True
        self._note(line or node.line, message)

    def _note(self, line: int, message: str) -> None:
        path = tuple(frame.place for frame in self._frames if frame.place is not None)
        self.problems.append(Diagnostic(self.file, line, dotted(path), message))


def _resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return _TRUE.fullmatch(text) is not None
    if len(text) > _MAX_NUMBER_LENGTH:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL_FLOAT.fullmatch(text)
    return float(special[1] + special[2]) if special else text


def dotted(path: FieldPath) -> str:
    """A path in its written form: ``spec.metrics[0].target``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text
