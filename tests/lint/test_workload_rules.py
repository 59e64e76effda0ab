from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from autoscaler.documents.manifests import Manifest, load_manifests
from autoscaler.documents.policies import load_policy_text
from autoscaler.errors import PolicyError
from autoscaler.lint.workload_rules import RULES, fit
from tests.api.build import METRICS, VALID, load_spec

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  template:
    metadata: {labels: {app: vllm}}
    spec:
      terminationGracePeriodSeconds: 300
      containers:
      - name: vllm
        ports: [{name: http, containerPort: 8000}]
"""
CLAIM = """\
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: weights}
spec: {accessModes: [ReadWriteOnce]}
"""
MOUNTED = f"""\
{DEPLOYMENT}\
      volumes:
      - {{name: tmp, emptyDir: {{}}}}
      - {{name: weights, persistentVolumeClaim: {{claimName: weights}}}}
"""
MONITOR = """\
---
apiVersion: monitoring.googleapis.com/v1
kind: PodMonitoring
metadata: {name: vllm}
spec:
  selector: {matchLabels: {app: vllm}}
  endpoints: [{port: http, interval: 15s}]
"""
GROUP = """\
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: vllm}
spec:
  leaderWorkerTemplate:
    leaderTemplate: {spec: {terminationGracePeriodSeconds: 600}}
    workerTemplate: {spec: {containers: []}}
"""


@pytest.fixture
def found(tmp_path: Path):
    def look(text: str, *lines: str, replicas: str = "  maxReplicas: 10\n") -> list[str]:
        """The warnings as ``line id``; a line of p.yaml, the policy, begins with p."""
        path = tmp_path / "w.yaml"
        path.write_text(text)
        problems = fit(load_spec(*lines, replicas=replicas), load_manifests(path))
        return [f"{'p' if one.file == 'p.yaml' else ''}{one.line} {one.rule}" for one in problems]

    return look


def test_a_workload_that_suits_its_policy_gives_no_warning(found):
    assert found(DEPLOYMENT + MONITOR) == []
    assert found(MOUNTED + CLAIM.replace("ReadWriteOnce", "ReadOnlyMany") + MONITOR) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: vllm}", "name: other}", "p6 target-missing"),
        ("metadata: {name: vllm}", "metadata: {name: vllm, namespace: code}", None),
        ("kind: Deployment", "kind: StatefulSet", "p6 target-kind"),
        ("apps/v1", "apps/v2", None),
        ("apps/v1", "example.com/v1", "p6 target-kind"),
        ("terminationGracePeriodSeconds: 300", "terminationGracePeriodSeconds: 60", "8 short-grace-period"),
        ("      terminationGracePeriodSeconds: 300\n", "", "7 short-grace-period"),
        ("spec:\n  template", "spec:\n  replicas: 1\n  template", "5 replicas-in-manifest"),
    ],
)
def test_one_thing_that_does_not_suit(found, old, new, expected):
    assert old in DEPLOYMENT
    assert found(DEPLOYMENT.replace(old, new)) == ([expected] if expected else [])


def test_a_policy_with_a_namespace_means_the_workload_there(tmp_path):
    loaded = load_spec()
    there = loaded.policy.metadata.model_copy(update={"namespace": "chat"})
    object.__setattr__(loaded, "policy", loaded.policy.model_copy(update={"metadata": there}))
    path = tmp_path / "w.yaml"
    for namespace, count in (("chat", 0), ("code", 1)):
        path.write_text(DEPLOYMENT.replace("{name: vllm}", f"{{name: vllm, namespace: {namespace}}}"))
        assert len(fit(loaded, load_manifests(path))) == count


def test_a_fraction_without_quotes_is_refused_by_an_api_server(found):
    guard = "guards: {remainingCapacity: {kvCacheUsage: 0.5, waiting: 2}}"
    assert found(DEPLOYMENT, "behavior: {scaleUp: {tolerance: 0.2}}", guard) == [
        "p11 unquoted-fraction",
        "p12 unquoted-fraction",
    ]
    assert found(DEPLOYMENT, 'behavior: {scaleUp: {tolerance: "0.2"}}') == []


# Volumes


def test_a_volume_for_one_node_and_more_than_one_replica(found):
    assert found(MOUNTED + CLAIM) == ["14 single-node-volume"]
    assert found(MOUNTED + CLAIM, replicas="  maxReplicas: 1\n") == []
    night = "schedules: [{name: a, cron: 0 2 * * *, durationSeconds: 60, maxReplicas: 2}]"
    assert found(MOUNTED + CLAIM, night, replicas="  maxReplicas: 1\n") == ["14 single-node-volume"]


def test_a_claim_that_is_not_at_hand_is_not_guessed(found):
    assert found(MOUNTED) == []


def test_a_claim_that_can_also_be_read_elsewhere_is_fine(found):
    both = CLAIM.replace("[ReadWriteOnce]", "[ReadWriteOnce, ReadOnlyMany]")
    assert found(MOUNTED + both) == []


# Scraping


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{app: vllm}}", "{app: other}}", ["6 unscraped"]),
        ("{matchLabels: {app: vllm}}", "{}", []),
        ("port: http", "port: metrics", ["18 unknown-port"]),
        ("port: http", "port: 8000", []),
        ("{name: vllm}", "{name: vllm, namespace: elsewhere}", []),
    ],
)
def test_a_monitor_that_misses_the_pods(found, old, new, expected):
    assert old in MONITOR
    assert found(DEPLOYMENT + MONITOR.replace(old, new)) == expected


def test_the_prometheus_operators_monitor_counts_too(found):
    monitor = MONITOR.replace("PodMonitoring", "PodMonitor").replace("endpoints", "podMetricsEndpoints")
    assert found(DEPLOYMENT + monitor.replace("port: http", "port: web")) == ["18 unknown-port"]


def test_a_service_monitor_may_find_them_by_other_ways(found):
    service = MONITOR.replace("PodMonitoring", "ServiceMonitor")
    assert found(DEPLOYMENT + MONITOR.replace("{app: vllm}}", "{app: other}}") + service) == []


# A limit of requests


@pytest.mark.parametrize(
    "args",
    [
        'args: ["--max-num-queued-reqs", "64"]',
        "args: [--max-num-queued-tokens=100000]",
        'command: [sh, -c, "exec vllm serve m --max-num-queued-reqs 64"]',
    ],
)
def test_a_queue_with_a_limit_hides_load_that_only_refusals_show(found, args):
    capped = f"{DEPLOYMENT}        {args}\n"
    assert found(capped) == ["12 capped-queue"]


def test_a_limit_that_a_metric_looks_beyond_is_fine():
    manifest = yaml.safe_load(DEPLOYMENT)
    manifest["spec"]["template"]["spec"]["containers"][0]["args"] = ["--max-num-queued-reqs=64"]
    for source in ("signal: rejectedPerSecond", "query: 'sum(rate(vllm:admission_rejections_total[1m]))'"):
        second = f"  - {{{source}, target: {{type: AverageValue, averageValue: 1}}}}\n"
        assert fit(load_spec(metrics=METRICS + second), [Manifest("Deployment vllm", manifest)]) == ()


# Other workloads


SELECTING = DEPLOYMENT.replace(
    "spec:\n  template", "spec:\n  selector: {matchLabels: {app: vllm}}\n  template", 1
)


def beside(kind: str = "Deployment", name: str = "canary", labels: str = "{app: vllm, track: canary}") -> str:
    version = "leaderworkerset.x-k8s.io/v1" if kind == "LeaderWorkerSet" else "apps/v1"
    template = f"{{metadata: {{labels: {labels}}}, spec: {{containers: []}}}}"
    spec = f"{{template: {template}}}"
    if kind == "LeaderWorkerSet":
        spec = f"{{leaderWorkerTemplate: {{workerTemplate: {template}}}}}"
    return f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "LeaderWorkerSet"])
def test_a_selector_that_finds_the_pods_of_another_workload(found, kind):
    assert found(SELECTING + beside(kind)) == ["5 overlapping-selector"]


@pytest.mark.parametrize(
    "other",
    [
        "",
        beside(labels="{app: other}"),
        beside(labels="[app, vllm]"),
        beside(name="canary, namespace: elsewhere").replace("{name: vllm", "{name: vllm, namespace: chat"),
        beside(kind="Service"),
    ],
    ids=["alone", "other labels", "labels that are none", "another namespace", "no workload"],
)
def test_a_selector_of_its_own(found, other):
    target = SELECTING.replace("{name: vllm}", "{name: vllm, namespace: chat}")
    assert not any("overlapping-selector" in warning for warning in found(target + other))


@pytest.mark.parametrize(
    "selector", ["{matchLabels: {}}", "{matchExpressions: [{operator: near}]}", "[app]", "x"]
)
def test_a_selector_that_cannot_be_read_is_nothing_to_compare(found, selector):
    assert found(SELECTING.replace("{matchLabels: {app: vllm}}", selector) + beside()) == []


def test_the_workloads_that_share_the_pods_are_named(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text(SELECTING + beside() + beside("StatefulSet", "old"))
    (problem,) = fit(load_spec(), load_manifests(path))
    assert "the pods of Deployment canary, StatefulSet old too" in problem.message


def test_a_group_has_two_templates():
    ref = "{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, name: vllm}"
    (loaded,) = load_policy_text(VALID.replace("{kind: Deployment, name: vllm}", ref), "p.yaml")
    (problem,) = fit(loaded, [Manifest("LeaderWorkerSet vllm", yaml.safe_load(GROUP))])
    assert problem.field == "spec.leaderWorkerTemplate.workerTemplate.spec.terminationGracePeriodSeconds"
    assert (problem.file, problem.line) == ("LeaderWorkerSet vllm", None)


@pytest.mark.parametrize(("worker", "expected"), [("0", []), ("1", ["unscraped"])])
def test_the_leader_of_a_group_has_the_labels_that_the_group_gives_it(worker, expected):
    """As the monitor of the multi-node example selects it; workers have no metrics."""
    labels = {"leaderworkerset.sigs.k8s.io/name": "vllm", "leaderworkerset.sigs.k8s.io/worker-index": worker}
    monitor = yaml.safe_load(MONITOR.removeprefix("---\n"))
    monitor["spec"] |= {"selector": {"matchLabels": labels}, "endpoints": [{"port": 8000}]}
    group = yaml.safe_load(GROUP)
    for template in group["spec"]["leaderWorkerTemplate"].values():
        template["spec"]["terminationGracePeriodSeconds"] = 600
    ref = "{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, name: vllm}"
    (loaded,) = load_policy_text(VALID.replace("{kind: Deployment, name: vllm}", ref), "p.yaml")
    problems = fit(loaded, [Manifest("LeaderWorkerSet vllm", group), Manifest("PodMonitoring vllm", monitor)])
    assert [problem.rule for problem in problems] == expected


def test_a_group_is_no_deployment(found):
    assert found(GROUP) == ["p6 target-kind"]


def test_the_replicas_of_a_live_object_are_nobodys_fault():
    live = yaml.safe_load(DEPLOYMENT)
    live["spec"]["replicas"] = 3
    assert fit(load_spec(), [Manifest("Deployment vllm", live)]) == ()


# Files


def test_a_list_is_read_item_by_item_with_its_lines(found):
    indented = "".join(f"  {line}\n" for line in DEPLOYMENT.replace("300", "5").splitlines())
    text = f"apiVersion: v1\nkind: List\nitems:\n- {indented[2:]}"
    assert found(text) == ["11 short-grace-period"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no Kubernetes object"),
        ("- a\n", "is not a Kubernetes object"),
        ("a: b: c\n", "is not YAML"),
    ],
)
def test_a_file_without_manifests_is_refused(tmp_path, text, message):
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=message):
        load_manifests(path)


@pytest.mark.parametrize("spec", ["{}", "[]", "3", "{template: 3}", "{template: {spec: {containers: [3]}}}"])
def test_a_manifest_that_makes_no_sense_does_no_harm(found, spec):
    text = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: vllm}}\nspec: {spec}\n"
    assert set(found(text + MONITOR)) <= {f"{line} {rule.id}" for rule in RULES for line in range(9)}
