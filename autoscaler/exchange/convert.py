"""YAML of any of the kinds -> policies, and what was said on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscaler.errors import PolicyError, Problem
from autoscaler.exchange.documents import Source, read_sources
from autoscaler.exchange.from_hpa import policy_of_hpa
from autoscaler.exchange.from_keda import policy_of_scaled_object
from autoscaler.policy.check import read_file
from autoscaler.policy.load import LoadedPolicy, load_policy_object, load_policy_text

KINDS: Mapping[str, Callable[[Source], dict[str, Any]]] = {
    "HorizontalPodAutoscaler": policy_of_hpa,
    "ScaledObject": policy_of_scaled_object,
}


@dataclass(frozen=True, slots=True)
class Converted:
    """A policy that was made of a foreign document; ``document`` is its YAML as plain data."""

    loaded: LoadedPolicy
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a file. ``remarks``: what could not be carried over, in file order."""

    converted: tuple[Converted, ...]
    remarks: tuple[Problem, ...]


def convert_file(path: Path) -> Conversion:
    """The policies of a file's foreign documents. Raises ``PolicyError`` as ``convert_text``."""
    return convert_text(read_file(path), str(path))


def convert_text(raw: str | bytes, file: str) -> Conversion:
    """The policies of a text's HPAs and ScaledObjects; other documents are passed over.

    Raises ``PolicyError`` where the text is no YAML, holds none of them, or one of them makes no
    policy at all.
    """
    sources, problems = read_sources(raw, file)
    ours = [source for source in sources if source.kind in KINDS]
    if not ours and not problems:
        problems.append(Problem(file, None, "", f"holds no {' and no '.join(KINDS)}"))
    converted = []
    for source in ours:
        try:
            converted.append(_convert(source))
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return Conversion(tuple(converted), tuple(remark for source in ours for remark in source.remarks))


def _convert(source: Source) -> Converted:
    document = KINDS[source.kind](source)
    if not document["spec"]["metrics"]:
        nothing = Problem(source.file, source.root.line, "", "has no metric that could be carried over")
        raise PolicyError([*source.remarks, nothing])
    policy = load_policy_object(document, f"{source.file}:{source.root.line}")
    return Converted(LoadedPolicy(policy, source.file, source.root), document)


def load_any(path: Path) -> tuple[tuple[LoadedPolicy, ...], tuple[Problem, ...]]:
    """A file's policies, be they written as such or as HPAs or ScaledObjects; and the remarks on those.

    Raises ``PolicyError``.
    """
    raw = read_file(path)
    if not any(kind.encode() in raw for kind in KINDS):
        return load_policy_text(raw, str(path)), ()
    kinds = {source.kind for source in read_sources(raw, str(path))[0]}
    if "ScalingPolicy" in kinds or not kinds & KINDS.keys():
        return load_policy_text(raw, str(path)), ()
    conversion = convert_text(raw, str(path))
    return tuple(one.loaded for one in conversion.converted), conversion.remarks
