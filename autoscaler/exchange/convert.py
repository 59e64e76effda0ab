"""YAML of any of the kinds -> policies and remarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoscaler.api.rules import FieldPath
from autoscaler.documents.document_checks import read_file
from autoscaler.documents.policies import LoadedPolicy, check_policy_object, load_policy_text
from autoscaler.errors import Diagnostic, PolicyError, Severity
from autoscaler.exchange.from_hpa import policy_of_hpa
from autoscaler.exchange.from_keda import policy_of_scaled_object
from autoscaler.exchange.source_documents import DUMP, SourceDocument, read_sources

KINDS: Mapping[str, Callable[[SourceDocument], dict[str, Any] | None]] = {
    "HorizontalPodAutoscaler": policy_of_hpa,
    "ScaledObject": policy_of_scaled_object,
}
_OTHERS = {"ScaledJob": "is not carried over: jobs are not scaled here, only workloads with replicas"}


@dataclass(frozen=True, slots=True)
class Converted:
    """A policy that was made of a foreign document; ``document`` is its YAML as plain data."""

    loaded: LoadedPolicy
    document: dict[str, Any]

    @property
    def kind(self) -> str:
        """The document's kind."""
        return str(self.loaded.root.data["kind"])

    @property
    def place(self) -> str:
        """The document's place, for remarks on another document."""
        return f"the {self.kind} of {self.loaded.file}:{self.loaded.line}"

    def remark(self, path: FieldPath, message: str) -> Diagnostic:
        """A remark on a field of the document."""
        said = self.loaded.diagnostic(path, f"this {self.kind} {message}")
        return replace(said, severity=Severity.REMARK)


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of converting a file. ``remarks``: parts that could not be carried over, in file order."""

    converted: tuple[Converted, ...]
    remarks: tuple[Diagnostic, ...]


def convert_file(path: Path, before: Sequence[Converted] = ()) -> Conversion:
    """The policies of a file's foreign documents. Raises ``PolicyError`` as ``convert_text``."""
    return convert_text(read_file(path, DUMP), str(path), before)


def convert_text(raw: str | bytes, file: str, before: Sequence[Converted] = ()) -> Conversion:
    """The policies of a text's HPAs and ScaledObjects; other documents are passed over.

    One that makes no policy is among the remarks, and does not keep the others from theirs; so is
    one whose name or target an earlier one has, also of those ``before``. Raises ``PolicyError``
    where the text is not YAML, holds none of them, or none makes a policy.
    """
    sources, problems = read_sources(raw, file)
    ours = [source for source in sources if source.kind in KINDS]
    if not ours and not problems:
        problems.append(Diagnostic(file, None, "", f"holds no {' and no '.join(KINDS)}"))
    if problems:
        raise PolicyError(problems)
    for source in sources:
        if source.kind in _OTHERS:
            source.remark(("kind",), _OTHERS[source.kind])
    converted = tuple(one for one in map(_convert, ours) if one is not None)
    remarks = [remark for source in sources for remark in source.remarks]
    if not converted:
        raise PolicyError(sorted(remarks, key=_line))
    kept, overlaps = _apart(converted, before)
    return Conversion(kept, tuple(sorted(remarks + overlaps, key=_line)))


def _line(remark: Diagnostic) -> int:
    return remark.line or 0


def _apart(
    converted: Iterable[Converted], before: Sequence[Converted]
) -> tuple[tuple[Converted, ...], list[Diagnostic]]:
    """The policies with a name of their own, and remarks on repeated names and targets."""
    names = {_name(one): one for one in reversed(before)}
    targets = {_target(one): one for one in reversed(before)}
    kept, remarks = [], []
    for one in converted:
        if _name(one) in names:
            message = f"makes no policy, as {names[_name(one)].place} has its name: keep one, or rename one"
            remarks.append(one.remark(("metadata", "name"), message))
            continue
        names[_name(one)] = one
        kept.append(one)
        first = targets.setdefault(_target(one), one)
        if first is not one:
            message = f"scales what {first.place} scales: a workload needs one owner, so keep one policy"
            remarks.append(one.remark(("spec", "scaleTargetRef"), message))
    return tuple(kept), remarks


def _name(one: Converted) -> tuple[str | None, str]:
    metadata = one.loaded.policy.metadata
    return metadata.namespace, metadata.name


def _target(one: Converted) -> tuple[str | None, str, str, str]:
    ref = one.loaded.policy.spec.scale_target_ref
    group = ref.api_version.rpartition("/")[0]
    return one.loaded.policy.metadata.namespace, group, ref.kind, ref.name


def _convert(source: SourceDocument) -> Converted | None:
    """A document's policy; None, and the reasons among its remarks, where it makes none."""
    document = KINDS[source.kind](source)
    if document is None:
        return None
    if not document["spec"]["metrics"]:
        source.remark((), "has no metric that could be carried over: makes no policy")
        return None

    def say(path: FieldPath, message: str) -> None:
        source.remark(source.origin(path), source.in_its_words(message))

    policy = check_policy_object(document, say)
    if policy is None:
        source.remark((), "makes no policy")
        return None
    return Converted(LoadedPolicy(policy, source.file, source.root), document)


def load_any(path: Path) -> tuple[tuple[LoadedPolicy, ...], tuple[Diagnostic, ...]]:
    """A file's policies, written as policies, HPAs or ScaledObjects; and the remarks on the converted ones.

    Raises ``PolicyError``.
    """
    raw = read_file(path, DUMP)
    if not any(kind.encode() in raw for kind in KINDS):
        return load_policy_text(raw, str(path)), ()
    kinds = {source.kind for source in read_sources(raw, str(path))[0]}
    if "ScalingPolicy" in kinds or not kinds & KINDS.keys():
        return load_policy_text(raw, str(path)), ()
    conversion = convert_text(raw, str(path))
    return tuple(one.loaded for one in conversion.converted), conversion.remarks
