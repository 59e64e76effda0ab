"""Kubernetes manifests, as far as a policy's target needs a look: from files, or from a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoscaler.errors import PolicyError, Problem
from autoscaler.policy.check import read_file
from autoscaler.policy.document import Node, dotted, read_documents
from autoscaler.policy.rules import FieldPath


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object. ``source``: the file, or the object's name where it comes from a cluster.

    ``start``: where the object begins in the document ``root``, which a cluster has none of.
    """

    source: str
    data: Mapping[str, Any] = field(repr=False)
    root: Node | None = field(default=None, repr=False)
    start: FieldPath = ()

    @property
    def live(self) -> bool:
        """Whether it comes from a cluster."""
        return self.root is None

    @property
    def kind(self) -> str:
        """Its kind; empty where it has none."""
        return str(self.data.get("kind") or "")

    @property
    def group(self) -> str:
        """The group of its apiVersion: ``apps``."""
        return str(self.data.get("apiVersion") or "").rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name; empty where it has none."""
        return str(self.at("metadata", "name") or "")

    @property
    def namespace(self) -> str | None:
        """Its namespace; None where it leaves that to whoever applies it."""
        value = self.at("metadata", "namespace")
        return value if isinstance(value, str) else None

    def at(self, *path: str | int) -> Any:
        """The value at a path; None where there is none."""
        value: Any = self.data
        for step in path:
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def problem(self, path: FieldPath, message: str) -> Problem:
        """A remark on the field at a path, with its line where it has one."""
        line = self.root.line_of((*self.start, *path)) if self.root else None
        return Problem(self.source, line, dotted(path), message)


def load_manifests(path: Path) -> list[Manifest]:
    """Every object of a YAML file, those of a List one by one. Raises ``PolicyError``."""
    documents, problems = read_documents(read_file(path), str(path))
    if problems:
        raise PolicyError(problems)
    found = [manifest for root in documents for manifest in _objects(root, str(path))]
    if not found:
        raise PolicyError([Problem(str(path), None, "", "holds no Kubernetes object")])
    return found


def _objects(root: Node, source: str) -> Iterator[Manifest]:
    if not isinstance(root.data, dict):
        raise PolicyError([Problem(source, root.line, "", "is no Kubernetes object: each has a kind")])
    items = root.data.get("items")
    if root.data.get("kind") != "List" or not isinstance(items, list):
        yield Manifest(source, root.data, root)
        return
    for index, item in enumerate(items):
        if isinstance(item, dict):
            yield Manifest(source, item, root, ("items", index))
