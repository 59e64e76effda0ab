"""Whether a policy and the workload that it scales go together: warnings, as those of ``lint``.

The words are here beside the rules; ``docs/policy.md`` lists them. What the manifests at hand do
not tell is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from autoscaler.api.models import Metric, Signal
from autoscaler.api.rules import FieldPath
from autoscaler.documents.manifests import Manifest
from autoscaler.documents.policies import LoadedPolicy
from autoscaler.errors import Problem
from autoscaler.selectors import Requirements, matches, selector_of

LONG_ANSWER_SECONDS = 120
"""About 2,000 tokens at 60 ms each: what a replica that leaves should be able to finish."""
DEFAULT_GRACE_SECONDS = 30

_TEMPLATES: dict[str, tuple[FieldPath, ...]] = {
    "LeaderWorkerSet": (
        ("spec", "leaderWorkerTemplate", "leaderTemplate"),
        ("spec", "leaderWorkerTemplate", "workerTemplate"),
    )
}
_USUAL_TEMPLATE: tuple[FieldPath, ...] = (("spec", "template"),)
_MONITORS = {
    "PodMonitoring": "endpoints",
    "ClusterPodMonitoring": "endpoints",
    "PodMonitor": "podMetricsEndpoints",
}
"""Kinds that say what is scraped, and where in their spec the ports are."""
_WORKLOADS = {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "LeaderWorkerSet"}
"""Kinds whose pods live as long as those of a target."""
_QUANTITIES = {"averageValue", "value", "tolerance", "kvCacheUsage", "waiting"}
_QUEUE_CAP = re.compile(r"--max[-_]num[-_]queued[-_](reqs|tokens)[= ]+\d+")
_SINGLE_NODE = {"ReadWriteOnce", "ReadWriteOncePod"}

Rule = Callable[[LoadedPolicy, Manifest, Sequence[Manifest]], Iterator[Problem]]


def fit(loaded: LoadedPolicy, manifests: Sequence[Manifest]) -> tuple[Problem, ...]:
    """The warnings for one policy, given its workload and what belongs to it."""
    targets = [manifest for manifest in manifests if _is_target(loaded, manifest)]
    own = _unquoted_fractions(loaded, (), loaded.root.data)
    if not targets:
        return (*own, _missing(loaded, manifests))
    fitting = (rule(loaded, target, manifests) for target in targets for rule in RULES)
    return (*own, *chain.from_iterable(fitting))


def _unquoted_fractions(loaded: LoadedPolicy, path: FieldPath, value: Any) -> Iterator[Problem]:
    """A CRD cannot say "a number or a text", only "an integer or a text"."""
    if isinstance(value, float) and path[-1] in _QUANTITIES:
        message = f'an API server takes a fraction as text only; write "{value:g}", in quotes'
        yield loaded.problem(path, _warning(message, "unquoted-fraction"))
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield from _unquoted_fractions(loaded, (*path, step), part)


def _is_target(loaded: LoadedPolicy, manifest: Manifest) -> bool:
    ref = loaded.policy.spec.scale_target_ref
    group = ref.api_version.rpartition("/")[0]
    return (manifest.group, manifest.kind) == (group, ref.kind) and _has_name(loaded, manifest)


def _has_name(loaded: LoadedPolicy, manifest: Manifest) -> bool:
    return manifest.name == loaded.policy.spec.scale_target_ref.name and _together(
        loaded.policy.metadata.namespace, manifest.namespace
    )


def _together(one: str | None, other: str | None) -> bool:
    """Whether two objects may be in one namespace; one that names none goes anywhere."""
    return one is None or other is None or one == other


def _missing(loaded: LoadedPolicy, manifests: Sequence[Manifest]) -> Problem:
    ref = loaded.policy.spec.scale_target_ref
    path: FieldPath = ("spec", "scaleTargetRef")
    for manifest in manifests:
        if _has_name(loaded, manifest) and any(template for template in _templates(manifest)):
            version = manifest.data.get("apiVersion")
            message = f'"{ref.name}" is a {manifest.kind} of {version}, not a {ref.kind} of {ref.api_version}'
            return loaded.problem((*path, "kind"), _warning(message, "target-kind"))
    message = f"there is no {ref.kind} {ref.name} among what it was compared with"
    return loaded.problem((*path, "name"), _warning(message, "target-missing"))


def _warning(message: str, rule_id: str) -> str:
    return f"warning: {message} [{rule_id}]"


def _templates(manifest: Manifest) -> Iterator[FieldPath]:
    """Where the pod templates are; of a group those of leader and workers."""
    for path in _TEMPLATES.get(manifest.kind, _USUAL_TEMPLATE):
        if manifest.at(*path) is not None:
            yield path


def _containers(target: Manifest, template: FieldPath) -> list[dict[str, Any]]:
    return [one for one in target.at(*template, "spec", "containers") or () if isinstance(one, dict)]


def _short_grace_period(_: LoadedPolicy, target: Manifest, __: Sequence[Manifest]) -> Iterator[Problem]:
    for template in _templates(target):
        path = (*template, "spec", "terminationGracePeriodSeconds")
        given = target.at(*path)
        grace = DEFAULT_GRACE_SECONDS if given is None else given
        if isinstance(grace, int) and grace < LONG_ANSWER_SECONDS:
            message = (
                f"a replica that is removed is killed after {grace} s, in the middle of long answers; "
                f"{LONG_ANSWER_SECONDS} or more, above vLLM's --shutdown-timeout and any preStop"
            )
            yield target.problem(path, _warning(message, "short-grace-period"))


def _single_node_volume(
    loaded: LoadedPolicy, target: Manifest, manifests: Sequence[Manifest]
) -> Iterator[Problem]:
    spec = loaded.policy.spec
    most = max([spec.max_replicas, *(window.max_replicas or 0 for window in spec.schedules)])
    claims = {
        one.name: one
        for one in manifests
        if one.kind == "PersistentVolumeClaim" and _together(one.namespace, target.namespace)
    }
    for template in _templates(target) if most > 1 else ():
        for index, volume in enumerate(target.at(*template, "spec", "volumes") or ()):
            name = ((volume or {}).get("persistentVolumeClaim") or {}).get("claimName")
            modes = set(claims[name].at("spec", "accessModes") or ()) if name in claims else set()
            if modes and modes <= _SINGLE_NODE:
                message = (
                    f"the claim {name} is {' and '.join(sorted(modes))}: pods on a second node cannot "
                    f"attach it, and maxReplicas is {most}; make it ReadOnlyMany"
                )
                path = (*template, "spec", "volumes", index)
                yield target.problem(path, _warning(message, "single-node-volume"))


def _unscraped(_: LoadedPolicy, target: Manifest, manifests: Sequence[Manifest]) -> Iterator[Problem]:
    monitors = [one for one in manifests if one.kind in _MONITORS and _covers(one, target)]
    if not monitors or any(one.kind == "ServiceMonitor" for one in manifests):
        return
    template = next(_templates(target), None)
    if template is None:
        return
    labels = {**(target.at(*template, "metadata", "labels") or {}), **_given_labels(target)}
    selecting = [one for one in monitors if matches(selector_of(one.at("spec", "selector") or {}), labels)]
    if not selecting:
        names = ", ".join(f"{one.kind} {one.name}" for one in monitors)
        message = f"no monitor selects these labels ({names}), so the pods' metrics are missing"
        yield target.problem((*template, "metadata", "labels"), _warning(message, "unscraped"))
    for monitor in selecting:
        yield from _unknown_ports(monitor, _port_names(target))


def _given_labels(target: Manifest) -> dict[str, str]:
    """What the owner of a kind adds to the labels of the pods that serve."""
    if target.kind != "LeaderWorkerSet":
        return {}
    return {
        "leaderworkerset.sigs.k8s.io/name": target.name,
        "leaderworkerset.sigs.k8s.io/worker-index": "0",
    }


def _covers(monitor: Manifest, target: Manifest) -> bool:
    return monitor.kind == "ClusterPodMonitoring" or _together(monitor.namespace, target.namespace)


def _port_names(target: Manifest) -> set[str]:
    return {
        str(port.get("name"))
        for template in _templates(target)
        for container in _containers(target, template)
        for port in container.get("ports") or ()
    }


def _unknown_ports(monitor: Manifest, names: set[str]) -> Iterator[Problem]:
    field = _MONITORS[monitor.kind]
    for index, endpoint in enumerate(monitor.at("spec", field) or ()):
        port = (endpoint or {}).get("port")
        if isinstance(port, str) and port not in names:
            message = f'no container has a port named "{port}", so nothing is scraped here'
            yield monitor.problem(("spec", field, index, "port"), _warning(message, "unknown-port"))


def _capped_queue(loaded: LoadedPolicy, target: Manifest, _: Sequence[Manifest]) -> Iterator[Problem]:
    """Beyond vLLM's own limit requests are refused, and no gauge of requests grows any more."""
    if any(map(_sees_refusals, loaded.policy.spec.metrics)):
        return
    for template in _templates(target):
        for index, container in enumerate(_containers(target, template)):
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            cap = _QUEUE_CAP.search(" ".join(map(str, words)))
            if cap is not None:
                message = (
                    f"beyond {cap[0]} vLLM refuses requests, which running+waiting does not show: the load "
                    "looks bounded while clients get 503; add a metric on rejectedPerSecond"
                )
                path = (
                    *template,
                    "spec",
                    "containers",
                    index,
                    "args" if container.get("args") else "command",
                )
                yield target.problem(path, _warning(message, "capped-queue"))


def _sees_refusals(metric: Metric) -> bool:
    return metric.signal is Signal.REJECTED_RATE or "rejection" in (metric.query or "")


def _fixed_replicas(_: LoadedPolicy, target: Manifest, __: Sequence[Manifest]) -> Iterator[Problem]:
    if not target.live and target.at("spec", "replicas") is not None:
        message = "each time this file is applied, it sets the replicas back; leave the field out"
        yield target.problem(("spec", "replicas"), _warning(message, "replicas-in-manifest"))


def _overlapping_selector(
    _: LoadedPolicy, target: Manifest, manifests: Sequence[Manifest]
) -> Iterator[Problem]:
    selector = _selector(target)
    others = [
        f"{one.kind} {one.name}"
        for one in manifests
        if one.kind in _WORKLOADS and _is_other(one, target) and _makes_pods_for(selector, one)
    ]
    if selector and others:
        message = (
            f"it finds the pods of {', '.join(others)} too, which whoever goes by selectors alone counts; "
            "give these pods a label of their own"
        )
        yield target.problem(("spec", "selector"), _warning(message, "overlapping-selector"))


def _is_other(one: Manifest, target: Manifest) -> bool:
    is_same = (one.group, one.kind, one.name) == (target.group, target.kind, target.name)
    return not is_same and _together(one.namespace, target.namespace)


def _selector(workload: Manifest) -> Requirements:
    """The requirements of its selector; none where it has none that can be read."""
    given = workload.at("spec", "selector")
    try:
        return selector_of(given) if isinstance(given, dict) else ()
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _makes_pods_for(selector: Requirements, workload: Manifest) -> bool:
    templates = (workload.at(*template, "metadata", "labels") for template in _templates(workload))
    return any(
        matches(selector, {**labels, **_given_labels(workload)})
        for labels in templates
        if isinstance(labels, dict)
    )


RULES: tuple[Rule, ...] = (
    _short_grace_period,
    _single_node_volume,
    _unscraped,
    _capped_queue,
    _fixed_replicas,
    _overlapping_selector,
)
RULE_IDS = (
    "unquoted-fraction",
    "target-missing",
    "target-kind",
    "short-grace-period",
    "single-node-volume",
    "unscraped",
    "unknown-port",
    "capped-queue",
    "replicas-in-manifest",
    "overlapping-selector",
)
"""Every id, in the order of docs/policy.md."""
