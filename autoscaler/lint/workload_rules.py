"""Warnings about a policy that does not fit the workload that it scales, as those of ``lint``.

Facts that are not in the given manifests are not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from autoscaler.api.models import Metric, Signal
from autoscaler.api.rules import At, FieldPath
from autoscaler.documents.manifests import Manifest
from autoscaler.documents.policies import LoadedPolicy
from autoscaler.errors import Diagnostic
from autoscaler.lint.compared import MONITORS, Compared, ComparedTarget, together
from autoscaler.lint.pod_templates import containers, labels_of, templates
from autoscaler.lint.rule import Rules
from autoscaler.selectors import Requirements, matches, selector_of
from autoscaler.workload_kinds import WORKLOAD_KINDS

LONG_ANSWER_SECONDS = 120
"""About 2,000 tokens at 60 ms each: what a replica that leaves should be able to finish."""
DEFAULT_GRACE_SECONDS = 30

_WORKLOADS = {kind.name for kind in WORKLOAD_KINDS if kind.compared} | {"ReplicaSet"}
"""Kinds whose pods live as long as those of a target. A ReplicaSet without an owner is in files alone."""
_QUANTITIES = {"averageValue", "value", "tolerance", "kvCacheUsage", "waiting"}
_QUEUE_CAP = re.compile(r"--max[-_]num[-_]queued[-_](reqs|tokens)[= ]+\d+")
_SINGLE_NODE = {"ReadWriteOnce", "ReadWriteOncePod"}


def fit(loaded: LoadedPolicy, manifests: Sequence[Manifest]) -> tuple[Diagnostic, ...]:
    """The warnings for one policy, given its workload and what belongs to it."""
    return tuple(_warnings(Compared(loaded, manifests)))


def _warnings(compared: Compared) -> Iterator[Diagnostic]:
    yield from _of_policy.warnings(compared, compared.loaded)
    for target in compared.targets:
        workload = ComparedTarget(compared.loaded, compared.manifests, target)
        yield from _of_target.warnings(workload, target)
        for monitor in workload.selecting:
            yield from _of_monitor.warnings((workload, monitor), monitor)


_of_policy = Rules[Compared]()
_of_target = Rules[ComparedTarget]()
_of_monitor = Rules[tuple[ComparedTarget, Manifest]]()


# The policy itself


@_of_policy("unquoted-fraction", 'an API server takes a fraction as text only; write "{value:g}", in quotes')
def _unquoted_fraction(compared: Compared) -> Iterator[At]:
    """A quantity is a number such as `0.7`."""
    return _unquoted_fractions((), compared.loaded.root.data)


def _unquoted_fractions(path: FieldPath, value: Any) -> Iterator[At]:
    """A CRD cannot say "a number or a text", only "an integer or a text"."""
    if isinstance(value, float) and path[-1] in _QUANTITIES:
        yield At(path, {"value": value})
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield from _unquoted_fractions((*path, step), part)


@_of_policy("target-missing", "there is no {kind} {name} among what it was compared with")
def _target_missing(compared: Compared) -> Iterator[At]:
    """None of the manifests is the `scaleTargetRef`."""
    ref = compared.loaded.policy.spec.scale_target_ref
    if not compared.targets and _namesake(compared) is None:
        yield At(("spec", "scaleTargetRef", "name"), {"kind": ref.kind, "name": ref.name})


@_of_policy("target-kind", '"{name}" is a {found_kind} of {found_version}, not a {kind} of {version}')
def _target_kind(compared: Compared) -> Iterator[At]:
    """A manifest has the name of the `scaleTargetRef`, and another kind or apiVersion."""
    ref = compared.loaded.policy.spec.scale_target_ref
    other = _namesake(compared)
    if not compared.targets and other is not None:
        meant = {"name": ref.name, "kind": ref.kind, "version": ref.api_version}
        found = {"found_kind": other.kind, "found_version": other.data.get("apiVersion")}
        yield At(("spec", "scaleTargetRef", "kind"), meant | found)


def _namesake(compared: Compared) -> Manifest | None:
    """A workload of the target's name."""
    return next((one for one in compared.namesakes if any(templates(one))), None)


# The target's pods


@_of_target(
    "short-grace-period",
    "a replica that is removed is killed after {grace} s, in the middle of long answers; "
    f"{LONG_ANSWER_SECONDS} or more, above vLLM's --shutdown-timeout and any preStop",
)
def _short_grace_period(workload: ComparedTarget) -> Iterator[At]:
    """`terminationGracePeriodSeconds` is below 120 (Kubernetes' default is 30)."""
    for template in templates(workload.target):
        path = (*template, "spec", "terminationGracePeriodSeconds")
        given = workload.target.at(*path)
        grace = DEFAULT_GRACE_SECONDS if given is None else given
        if isinstance(grace, int) and grace < LONG_ANSWER_SECONDS:
            yield At(path, {"grace": grace})


@_of_target(
    "single-node-volume",
    "the claim {claim} is {modes}: pods on a second node cannot attach it, and maxReplicas is {most}; "
    "make it ReadOnlyMany",
)
def _single_node_volume(workload: ComparedTarget) -> Iterator[At]:
    """A pod mounts a ReadWriteOnce claim, and `maxReplicas` is above 1."""
    spec = workload.loaded.policy.spec
    most = max([spec.max_replicas, *(window.max_replicas or 0 for window in spec.schedules)])
    claims = _claims(workload)
    for template in templates(workload.target) if most > 1 else ():
        path = (*template, "spec", "volumes")
        for index, volume in enumerate(workload.target.at(*path) or ()):
            name = ((volume or {}).get("persistentVolumeClaim") or {}).get("claimName")
            modes = set(claims[name].at("spec", "accessModes") or ()) if name in claims else set()
            if modes and modes <= _SINGLE_NODE:
                yield At((*path, index), {"claim": name, "modes": " and ".join(sorted(modes)), "most": most})


def _claims(workload: ComparedTarget) -> dict[str, Manifest]:
    return {
        one.name: one
        for one in workload.manifests
        if one.kind == "PersistentVolumeClaim" and together(one.namespace, workload.target.namespace)
    }


@_of_target("unscraped", "no monitor selects these labels ({monitors}), so the pods' metrics are missing")
def _unscraped(workload: ComparedTarget) -> Iterator[At]:
    """There are PodMonitorings or PodMonitors, and none selects the pods' labels."""
    names = ", ".join(f"{one.kind} {one.name}" for one in workload.monitors)
    template = next(templates(workload.target), None)
    if names and template is not None and not workload.selecting:
        yield At((*template, "metadata", "labels"), {"monitors": names})


@_of_monitor("unknown-port", 'no container has a port named "{port}", so nothing is scraped here')
def _unknown_port(scraped: tuple[ComparedTarget, Manifest]) -> Iterator[At]:
    """A monitor names a port that no container has."""
    workload, monitor = scraped
    field = MONITORS[monitor.kind]
    known = {
        str(port.get("name")) for _, one in containers(workload.target) for port in one.get("ports") or ()
    }
    for index, endpoint in enumerate(monitor.at("spec", field) or ()):
        port = (endpoint or {}).get("port")
        if isinstance(port, str) and port not in known:
            yield At(("spec", field, index, "port"), {"port": port})


@_of_target(
    "capped-queue",
    "beyond {cap} vLLM refuses requests, which running+waiting does not show: the load "
    "looks bounded while clients get 503; add a metric on rejectedPerSecond",
)
def _capped_queue(workload: ComparedTarget) -> Iterator[At]:
    """A container has `--max-num-queued-reqs` or `--max-num-queued-tokens`, and no metric is
    `rejectedPerSecond` or a query on rejections.
    """
    if any(map(_sees_refusals, workload.loaded.policy.spec.metrics)):
        return
    for path, container in containers(workload.target):
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        cap = _QUEUE_CAP.search(" ".join(map(str, words)))
        if cap is not None:
            yield At((*path, "args" if container.get("args") else "command"), {"cap": cap[0]})


def _sees_refusals(metric: Metric) -> bool:
    return metric.signal is Signal.REJECTED_RATE or "rejection" in (metric.query or "")


# The target itself


@_of_target(
    "replicas-in-manifest",
    "each time this file is applied, it sets the replicas back; leave the field out",
)
def _replicas_in_manifest(workload: ComparedTarget) -> Iterator[At]:
    """A file sets `replicas`."""
    if not workload.target.live and workload.target.at("spec", "replicas") is not None:
        yield At(("spec", "replicas"))


@_of_target(
    "overlapping-selector",
    "it finds the pods of {others} too, which a reader of selectors alone counts; "
    "give these pods a label of their own",
)
def _overlapping_selector(workload: ComparedTarget) -> Iterator[At]:
    """The target's selector finds the pods of another workload in its namespace."""
    selector = _selector(workload.target)
    others = [
        f"{one.kind} {one.name}"
        for one in workload.manifests
        if one.kind in _WORKLOADS and _is_other(one, workload.target) and _makes_pods_for(selector, one)
    ]
    if selector and others:
        yield At(("spec", "selector"), {"others": ", ".join(others)})


def _is_other(one: Manifest, target: Manifest) -> bool:
    is_same = (one.group, one.kind, one.name) == (target.group, target.kind, target.name)
    return not is_same and together(one.namespace, target.namespace)


def _selector(workload: Manifest) -> Requirements:
    """The requirements of its selector; none where it has none that can be read."""
    given = workload.at("spec", "selector")
    try:
        return selector_of(given) if isinstance(given, dict) else ()
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _makes_pods_for(selector: Requirements, workload: Manifest) -> bool:
    labelled = (path for path in templates(workload) if workload.at(*path, "metadata", "labels"))
    return any(matches(selector, labels_of(workload, path)) for path in labelled)


RULES = (*_of_policy, *_of_target, *_of_monitor)
"""Every rule, in the order of docs/policy.md."""
