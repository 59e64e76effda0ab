"""Warnings about the kind of the workload."""

from __future__ import annotations

from collections.abc import Iterator

from autoscaler.api.models import Spec
from autoscaler.api.rules import At, FieldPath
from autoscaler.documents.messages import close_field
from autoscaler.lint.rule import Rules
from autoscaler.workload_kinds import WORKLOAD_KINDS

_BUILT_IN_GROUPS = ("apps", "batch", "")
_OWN_KINDS = [kind for kind in WORKLOAD_KINDS if kind.group in _BUILT_IN_GROUPS]
_SCALABLE_KINDS = tuple(kind.name for kind in _OWN_KINDS if kind.scalable)
_UNSCALABLE_KINDS = tuple(kind.name for kind in _OWN_KINDS if not kind.scalable)
_KIND: FieldPath = ("spec", "scaleTargetRef", "kind")

rule = Rules[Spec]()


@rule("misspelt-kind", "Kubernetes has no kind {kind}: did you mean {meant}?")
def _misspelt_kind(spec: Spec) -> Iterator[At]:
    """`scaleTargetRef.kind` is almost one of Kubernetes' own (`deployment`). Other groups are passed over."""
    kind, meant = spec.scale_target_ref.kind, _built_in(spec)
    if meant in _SCALABLE_KINDS and meant != kind:
        yield At(_KIND, {"kind": kind, "meant": meant})


@rule(
    "unscalable-kind",
    "a {kind} has no scale subresource, so this policy does nothing; scale a Deployment, a StatefulSet "
    "or another kind that has one",
)
def _unscalable_kind(spec: Spec) -> Iterator[At]:
    """`scaleTargetRef.kind` is `DaemonSet`, `Job`, `CronJob` or `Pod`."""
    meant = _built_in(spec)
    if meant in _UNSCALABLE_KINDS:
        yield At(_KIND, {"kind": meant})


def _built_in(spec: Spec) -> str | None:
    """The kind of Kubernetes' own that is meant; None for other people's, of which nothing is known here."""
    ref = spec.scale_target_ref
    if ref.api_version.rpartition("/")[0] not in _BUILT_IN_GROUPS:
        return None
    return close_field(ref.kind, (*_SCALABLE_KINDS, *_UNSCALABLE_KINDS))
