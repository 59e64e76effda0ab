"""Policies from YAML, with every problem of a file at once: ``file:line: spec.path: message``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoscaler.api.models import API_VERSION, ScalingPolicy
from autoscaler.api.rules import Data, FieldPath, Say, entries
from autoscaler.api.schedule import cron_fault, time_zone_fault
from autoscaler.api.schema import json_schema
from autoscaler.api.spec_rules import check_document
from autoscaler.documents.document_checks import (
    Report,
    check_head,
    diagnostic_at,
    read_file,
    say_model_errors,
)
from autoscaler.documents.promql_checks import unbalanced
from autoscaler.documents.yaml_source import Node, dotted, read_documents
from autoscaler.errors import Diagnostic, PolicyError

KIND = "ScalingPolicy"
_START = f"a policy begins with apiVersion: {API_VERSION} and kind: {KIND}"
_FOREIGN = {
    "HorizontalPodAutoscaler": "`autoscale import` turns one into a policy",
    "ScaledObject": "`autoscale import` turns KEDA's into a policy",
    "MetricExport": "exports have a file of their own, for `autoscale adapter --exports`",
    "ScaledJob": "jobs are not scaled here, only workloads with replicas",
    "VerticalPodAutoscaler": "pods are not resized here, only their number changes",
    "PodAutoscaler": "to move AIBrix's here, turn each metric source into a metric with a target",
}
_SERVER_SET = frozenset(
    {
        *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"),
        *("ownerReferences", "finalizers", "deletionTimestamp", "deletionGracePeriodSeconds"),
    }
)
"""Metadata that the API server and its clients set, and that no user writes into a file."""


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy and where it was written."""

    policy: ScalingPolicy
    file: str
    root: Node = field(repr=False)

    @property
    def line(self) -> int:
        """The line on which its document begins."""
        return self.root.line

    def diagnostic(self, path: FieldPath, message: str) -> Diagnostic:
        """A diagnostic of the field at a path, with its line."""
        return diagnostic_at(self.file, self.root, path, message)


def load_policies(path: Path) -> tuple[LoadedPolicy, ...]:
    """Every policy of a YAML file.

    Raises ``PolicyError`` with all problems in file order, also where the file cannot be read.
    """
    return load_policy_text(read_file(path), str(path))


def load_policy_text(text: str | bytes, file: str) -> tuple[LoadedPolicy, ...]:
    """Every policy of a YAML text; ``file`` names it in messages. Raises ``PolicyError``."""
    documents, problems = read_documents(text, file)
    roots = [root for document in documents for root in document.objects()]
    if not roots and not problems:
        state = "holds no policy" if text.strip() else "is empty"
        problems.append(Diagnostic(file, None, "", f"{state}: {_START}"))
    loaded: list[LoadedPolicy] = []
    for root in map(_as_written, roots):
        report = Report(file, root)
        policy = _check(root, report.say)
        problems += report.found
        if policy is not None:
            loaded.append(LoadedPolicy(policy, file, root))
    problems += duplicates(loaded)
    if problems:
        raise PolicyError(sorted(problems, key=lambda problem: problem.line or 0))
    return tuple(loaded)


def load_policy_object(document: dict[str, Any], name: str) -> ScalingPolicy:
    """A policy from plain data, such as the Kubernetes API gives; ``name`` names it in messages.

    Raises ``PolicyError`` with all problems, none of which has a line.
    """
    found: list[Diagnostic] = []
    policy = check_policy_object(
        document, lambda path, message: found.append(Diagnostic(name, None, dotted(path), message))
    )
    if policy is None:
        raise PolicyError(found)
    return policy


def check_policy_object(document: dict[str, Any], say: Say) -> ScalingPolicy | None:
    """A policy from plain data; None where something is wrong with it, which ``say`` reports."""
    found: list[tuple[FieldPath, str]] = []
    policy = _check(Node(1, document), lambda *one: found.append(one))
    for path, message in found:
        say(path, message)
    return None if found else policy


def duplicates(policies: Iterable[LoadedPolicy], default: str | None = None) -> list[Diagnostic]:
    """Policies whose namespace and name an earlier policy has, over one or several files.

    ``default``: the namespace of policies that name none, where it is known.
    """
    seen: dict[tuple[str | None, str], LoadedPolicy] = {}
    problems = []
    for loaded in policies:
        metadata = loaded.policy.metadata
        first = seen.setdefault((metadata.namespace or default, metadata.name), loaded)
        if first is not loaded:
            line = first.root.line_of(("metadata", "name"))
            place = f"line {line}" if first.file == loaded.file else f"{first.file}:{line}"
            message = f'the policy "{metadata.name}" was already defined at {place}: give it another name'
            problems.append(loaded.diagnostic(("metadata", "name"), message))
    return problems


def _as_written(root: Node) -> Node:
    """A policy as `kubectl get -o yaml` shows it, less the status and what the API server set."""
    metadata = root.data.get("metadata") if isinstance(root.data, dict) else None
    if not isinstance(metadata, dict) or "uid" not in metadata:
        return root
    kept = {key: value for key, value in metadata.items() if key not in _SERVER_SET}
    rest = {key: value for key, value in root.data.items() if key != "status"}
    return replace(root, data={**rest, "metadata": kept})


def _check(root: Node, say: Say) -> ScalingPolicy | None:
    """One document's policy; reports everything that is wrong with it."""
    if root.refused:
        return None
    if not isinstance(root.data, dict):
        say((), f"is not a policy document, but {_kind_of(root.data)}: {_START}")
        return None
    kind = root.data.get("kind", KIND)
    if _is_foreign(kind):
        hint = _FOREIGN.get(kind, f"this document is none of ours; {_START}")
        say(("kind",), f"must be {KIND}, not {kind}: {hint}")
        return None
    check_head(root.data, KIND, say)
    check_document(root.data, say)
    _check_texts(root.data, say)
    try:
        return ScalingPolicy.model_validate(root.data, by_alias=True, by_name=False)
    except ValidationError as error:
        say_model_errors(error, json_schema(), say)
        return None


def _kind_of(data: object) -> str:
    return "a list" if isinstance(data, list) else "a single value"


def _is_foreign(kind: object) -> bool:
    """True if a document is of another kind, so that its fields are not checked."""
    return isinstance(kind, str) and not difflib.get_close_matches(kind.lower(), [KIND.lower()], cutoff=0.8)


_TEXTS: tuple[tuple[str, str, Callable[[str], str | None]], ...] = (
    ("schedules", "cron", cron_fault),
    ("schedules", "timeZone", time_zone_fault),
    ("metrics", "query", unbalanced),
)
"""Texts in the entries of a spec's lists that have a grammar of their own, and what is wrong with one."""


def _check_texts(document: Data, say: Say) -> None:
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    for part, key, fault_of in _TEXTS:
        for index, entry in entries(spec, part):
            text = entry.get(key)
            fault = fault_of(text) if isinstance(text, str) and text else None
            if fault is not None:
                say(("spec", part, index, key), fault)
