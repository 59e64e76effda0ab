"""Which autoscalers select the same pods: HPA's AmbiguousSelector."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from autoscaler.api.models import Mode, ScaleTargetRef, Semantics
from autoscaler.errors import AutoscalerError
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.references import WorkloadRef, group_of, workload
from autoscaler.kube.conflicts import ScalerObjects
from autoscaler.kube.targets import KubeTargets
from autoscaler.kube.workloads import WATCHED_KINDS
from autoscaler.ports.policies import PolicyStore, StoredPolicy
from autoscaler.ports.targets import TargetKey
from autoscaler.selectors import Requirements, matches, parse_selector

LOOK_SECONDS = 5.0
"""How long the selectors of a namespace are good for."""


@dataclass(frozen=True, slots=True)
class _Selecting:
    """An autoscaler, its target, and the target's selector."""

    name: str
    target: WorkloadRef
    requirements: Requirements


@dataclass(slots=True)
class _Look:
    """The autoscalers of a namespace by a label that their pods must have; the others under None."""

    at: float
    by_label: dict[tuple[str, str] | None, list[_Selecting]] = field(
        default_factory=lambda: defaultdict(list)
    )


class Overlaps:
    """``ports.policies.Selectors`` over watched copies: HPAs, and active policies with ``semantics: HPA``.

    Of the kinds that are watched (workloads.py), as a call for each autoscaler would cost too much.
    Two of one workload are rivals, which conflicts.py finds. ``clock``: seconds, of any origin.
    """

    def __init__(
        self,
        hpas: Informer[ScalerObjects],
        policies: PolicyStore,
        targets: KubeTargets,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hpas = hpas
        self._policies = policies
        self._targets = targets
        self._clock = clock
        self._looks: dict[str, _Look] = {}

    def selecting(self, stored: StoredPolicy, selector: str) -> Sequence[str]:
        """See ``ports.policies.Selectors.selecting``."""
        target = workload(stored.namespace, stored.policy.spec.scale_target_ref)
        look = self._look(stored.namespace)
        found = set()
        for labels in self._targets.labels(stored.namespace, selector):
            for key in (*labels.items(), None):
                found |= {
                    other.name
                    for other in look.by_label.get(key, ())
                    if other.target != target and matches(other.requirements, labels)
                }
        return sorted(found)

    def _look(self, namespace: str) -> _Look:
        """The state of a namespace, or its last known state where a copy cannot be relied on."""
        look = self._looks.get(namespace)
        now = self._clock()
        if look is None or now - look.at > LOOK_SECONDS:
            try:
                look = self._looked(namespace, now)
            except AutoscalerError:  # then nothing is written either, see conflicts.py
                return look or _Look(now)
            self._looks[namespace] = look
        return look

    def _looked(self, namespace: str, now: float) -> _Look:
        look = _Look(now)
        for name, target in self._scalers(namespace):
            requirements = _read(self._selector(target))
            if requirements:
                look.by_label[_label(requirements)].append(_Selecting(name, target, requirements))
        return look

    def _scalers(self, namespace: str) -> Iterator[tuple[str, WorkloadRef]]:
        yield from self._hpas.at(namespace).in_namespace(namespace)
        for one in self._policies.policies():
            spec = one.policy.spec
            if one.namespace == namespace and spec.semantics is Semantics.HPA and spec.mode is Mode.ACTIVE:
                yield f"ScalingPolicy {namespace}/{one.name}", workload(namespace, spec.scale_target_ref)

    def _selector(self, target: WorkloadRef) -> str | None:
        """The selector of a workload; None where its kind is not watched, or there is none."""
        for version, kind in WATCHED_KINDS:
            if (group_of(version), kind) == (target.group, target.kind) and target.name:
                ref = ScaleTargetRef.model_construct(api_version=version, kind=kind, name=target.name)
                workloads = self._targets.workloads(TargetKey(target.namespace, ref))
                scale = workloads.scale(target.namespace, target.name) if workloads else None
                return scale.selector if scale else None
        return None


def _read(selector: str | None) -> Requirements:
    """The requirements of a selector; none where there is none, or none that can be read."""
    try:
        return parse_selector(selector or "")
    except ValueError:
        return ()


def _label(requirements: Requirements) -> tuple[str, str] | None:
    """A label of every pod that the requirements find; None where they name none."""
    for one in requirements:
        if one.operator == "in" and len(one.values) == 1:
            return one.key, next(iter(one.values))
    return None
