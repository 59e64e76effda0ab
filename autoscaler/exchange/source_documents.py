"""Foreign YAML documents with their lines, and the remarks on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.api.rules import FieldPath
from autoscaler.documents.document_checks import diagnostic_at
from autoscaler.documents.yaml_source import Node, ReadLimits, read_documents
from autoscaler.errors import Diagnostic, Severity

DUMP = ReadLimits(size=16 << 20, values=500_000)
"""The limits of kubectl's dump of a whole cluster: one List of several thousand objects."""

_NULL = "has no value"
"""Exported objects have empty fields, which mean nothing here."""


@dataclass(slots=True)
class SourceDocument:
    """One document that is being converted; ``remarks`` say what could not be carried over.

    ``origins``: where it has what a policy has elsewhere; ``words``: what it calls fields of a policy.
    """

    file: str
    root: Node
    remarks: list[Diagnostic] = field(default_factory=list)
    origins: dict[FieldPath, FieldPath] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Mapping[str, Any]:
        """The document; empty where it is not a mapping."""
        return self.root.data if isinstance(self.root.data, dict) else {}

    @property
    def kind(self) -> str:
        """Its kind, empty where it has none."""
        return str(self.data.get("kind") or "")

    def part(self, *path: str | int) -> Mapping[str, Any]:
        """The mapping at a path, without empty fields; an empty one where there is none."""
        found: Any = self.root.data
        for step in path:
            if isinstance(found, dict) and isinstance(step, str):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int) and step < len(found):
                found = found[step]
            else:
                return {}
        return _without_empty(found) if isinstance(found, dict) else {}

    def items(self, *path: str | int) -> range:
        """The indices of the list at a path."""
        *parents, last = path
        found = self.part(*parents).get(str(last))
        return range(len(found)) if isinstance(found, list) else range(0)

    def whole(self, path: FieldPath, default: int) -> int | None:
        """The whole number at a path, which KEDA allows as text; None, and a remark, for anything else."""
        *parents, last = path
        found = self.part(*parents).get(str(last), default)
        try:
            if isinstance(found, bool) or not isinstance(found, int | str):
                raise ValueError
            return int(found)
        except ValueError:
            self.remark(path, "is not a whole number: not carried over")
            return None

    def origin(self, path: FieldPath) -> FieldPath:
        """The document's field for a field of the policy, or for its nearest parent."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self._nearest(self.origins[path[:end]], path[end:])
        return path

    def _nearest(self, place: FieldPath, rest: FieldPath) -> FieldPath:
        for step in rest:
            if step not in self.part(*place):
                break
            place = (*place, step)
        return place

    def in_its_words(self, message: str) -> str:
        """A message about the policy with the document's names of its fields."""
        return re.sub(r"\w+", lambda word: self.words.get(word[0], word[0]), message)

    def remark(self, path: FieldPath, message: str) -> None:
        """Adds a remark on a field."""
        self.remarks.append(diagnostic_at(self.file, self.root, path, message, Severity.REMARK))


def read_sources(raw: str | bytes, file: str) -> tuple[list[SourceDocument], list[Diagnostic]]:
    """The documents of a YAML text, those inside of Lists too, and what is wrong with the text."""
    documents, problems = read_documents(raw, file, DUMP)
    sources = [SourceDocument(file, node) for document in documents for node in document.objects()]
    return sources, [problem for problem in problems if not problem.message.startswith(_NULL)]


def _without_empty(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _without_empty(value) for key, value in found.items() if value is not None}
    if isinstance(found, list):
        return [_without_empty(value) for value in found]
    return found
