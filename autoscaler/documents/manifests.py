"""Kubernetes manifests around a policy's target: from files, or from a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoscaler.api.rules import FieldPath
from autoscaler.documents.document_checks import read_file
from autoscaler.documents.yaml_source import Node, dotted, read_documents
from autoscaler.errors import Diagnostic, PolicyError


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object. ``source``: the file, or the object's name where it comes from a cluster.

    ``root``: the object with its lines, which one of a cluster has not.
    """

    source: str
    data: Mapping[str, Any] = field(repr=False)
    root: Node | None = field(default=None, repr=False)

    @property
    def live(self) -> bool:
        """True if the manifest comes from a cluster."""
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
        """The manifest's namespace; None where applying it sets one."""
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

    def diagnostic(self, path: FieldPath, message: str) -> Diagnostic:
        """A diagnostic of the field at a path, with its line where it has one."""
        line = self.root.line_of(path) if self.root else None
        return Diagnostic(self.source, line, dotted(path), message)


def load_manifests(path: Path) -> list[Manifest]:
    """Every object of a YAML file, those of a List one by one. Raises ``PolicyError``."""
    documents, problems = read_documents(read_file(path), str(path))
    if problems:
        raise PolicyError(problems)
    found = [_manifest(node, str(path)) for document in documents for node in document.objects()]
    if not found:
        raise PolicyError([Diagnostic(str(path), None, "", "holds no Kubernetes object")])
    return found


def _manifest(root: Node, source: str) -> Manifest:
    if not isinstance(root.data, dict):
        raise PolicyError([Diagnostic(source, root.line, "", "is not a Kubernetes object: each has a kind")])
    return Manifest(source, root.data, root)
