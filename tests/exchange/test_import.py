"""HPAs and ScaledObjects as they are out there, and what becomes of them."""

from __future__ import annotations

import pytest

from autoscaler.errors import PolicyError
from autoscaler.exchange.convert import convert_text, load_any

HEAD = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: vllm, namespace: chat, creationTimestamp: null}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: vllm}
  minReplicas: 1
  maxReplicas: 5
  metrics:
"""


def imported(text, file="hpa.yaml"):
    conversion = convert_text(text, file)
    return [one.loaded.policy.spec for one in conversion.converted], [str(one) for one in conversion.remarks]


def metric(text):
    (spec,), remarks = imported(HEAD + text)
    (found,) = spec.metrics
    return found, remarks


def pods(name, target="averageValue: 10", selector=""):
    return (
        f'  - type: Pods\n    pods:\n      metric: {{name: "{name}"{selector}}}\n'
        f"      target: {{type: AverageValue, {target}}}\n"
    )


KNOWN = [
    ("prometheus.googleapis.com|vllm:num_requests_waiting|gauge", "waiting"),
    ("prometheus.googleapis.com|vllm:num_requests_running|gauge", "running"),
    ("vllm:num_requests_waiting", "waiting"),
    ("num_requests_running", "running"),
    ("vllm:gpu_cache_usage_perc", "kvCacheUsage"),
    ("running+waiting", "running+waiting"),
]


@pytest.mark.parametrize(("name", "signal"), KNOWN)
def test_a_name_that_is_known_becomes_a_signal(name, signal):
    found, remarks = metric(pods(name, "averageValue: 500m"))
    assert (found.signal, found.target.type, found.target.milli) == (signal, "PodsAverage", 500)
    assert remarks == []


def test_another_unit_is_converted_and_said():
    name = "prometheus.googleapis.com|dcgm_fi_dev_gpu_util|unknown"
    found, remarks = metric(pods(name, "averageValue: 80"))
    assert (found.signal, found.target.milli) == ("gpuUtilization", 800)
    (remark,) = remarks
    assert remark.startswith("hpa.yaml:10: spec.metrics[0].pods: gpuUtilization is 0.01 of the metric's unit")


def test_any_other_metric_becomes_a_query_to_be_looked_at():
    selector = ', selector: {matchLabels: {model: "a\\"b"}}'
    found, remarks = metric(pods("http_requests", selector=selector))
    assert found.query == 'http_requests{namespace="chat",model="a\\"b"}'
    assert found.name == "http_requests"
    assert "check the query" in remarks[0]


def test_an_external_metric_of_cloud_monitoring_gets_its_name_in_promql():
    found, _ = metric(
        "  - type: External\n    external:\n"
        "      metric:\n"
        '        name: "pubsub.googleapis.com|subscription|num_undelivered_messages"\n'
        "        selector: {matchLabels: {resource.labels.subscription_id: jobs}}\n"
        "      target: {type: AverageValue, averageValue: 10}\n"
    )
    name = "pubsub_googleapis_com:subscription_num_undelivered_messages"
    assert found.query == f'sum({name}{{subscription_id="jobs"}})'
    assert found.target.type == "AverageValue"


def test_an_object_metric_is_a_guess_and_says_so():
    found, remarks = metric(
        "  - type: Object\n    object:\n"
        "      describedObject: {apiVersion: v1, kind: Service, name: gateway}\n"
        "      metric: {name: queue}\n"
        "      target: {type: Value, value: 20}\n"
    )
    assert found.query == 'sum(queue{namespace="chat",service="gateway"})'
    assert found.target.type == "Value"
    assert any("which series are of Service gateway is a guess" in remark for remark in remarks)


def test_what_is_not_carried_over_is_said_with_its_line():
    cpu = "  - type: Resource\n    resource: {name: cpu, target: {averageUtilization: 50}}\n"
    _, remarks = metric(pods("vllm:num_requests_waiting") + cpu)
    assert remarks == [
        "hpa.yaml:13: spec.metrics[1]: a metric of type Resource is not carried over: no CPU or memory here"
    ]


def test_behavior_and_bounds_are_taken_as_they_are():
    behavior = "  behavior: {scaleDown: {stabilizationWindowSeconds: 60, selectPolicy: Min}}\n"
    (spec,), _ = imported(HEAD + pods("vllm:num_requests_waiting") + behavior)
    assert spec.semantics == "HPA"
    assert (spec.min_replicas, spec.max_replicas) == (1, 5)
    assert spec.behavior.scale_down.stabilization_window_seconds == 60
    assert spec.behavior.scale_up is None


def test_a_list_of_kubectl_is_unpacked_and_other_documents_are_passed_over():
    hpa = "\n".join("  " + line for line in (HEAD + pods("vllm:num_requests_waiting")).splitlines())
    text = "apiVersion: v1\nkind: List\nitems:\n-" + hpa[1:] + "\n---\nkind: Service\nmetadata: {name: x}\n"
    (spec,), _ = imported(text)
    assert spec.scale_target_ref.name == "vllm"


KEDA = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: vllm, namespace: chat}
spec:
  scaleTargetRef: {name: vllm}
  pollingInterval: 10
  minReplicaCount: 1
  maxReplicaCount: 8
  fallback: {failureThreshold: 6, replicas: 4, behavior: currentReplicasIfHigher}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: {scaleDown: {stabilizationWindowSeconds: 600}}
  triggers:
  - type: prometheus
    metricType: Value
    metadata: {query: "sum(x)", threshold: "5", ignoreNullValues: "false"}
  - type: cron
    metadata: {timezone: Europe/Berlin, start: "0 8 * * 1-5", end: "0 18 * * 1-5", desiredReplicas: "6"}
"""


def test_a_scaled_object_becomes_a_policy():
    (spec,), remarks = imported(KEDA)
    assert remarks == []
    (found,) = spec.metrics
    assert (found.query, found.target.type, found.target.milli) == ("sum(x)", "Value", 5000)
    assert (spec.min_replicas, spec.max_replicas, spec.semantics) == (1, 8, "HPA")
    assert (spec.fallback.replicas, spec.fallback.after_seconds) == (4, 60)
    assert spec.fallback.behavior == "CurrentReplicasIfHigher"
    assert spec.scale_down.stabilization_window_seconds == 600
    (schedule,) = spec.schedules
    assert (schedule.cron, schedule.duration_seconds, schedule.min_replicas) == ("0 8 * * 1-5", 36000, 6)


LEFT_OUT = [
    ("  pollingInterval: 10\n", "  cooldownPeriod: 60\n", "spec.cooldownPeriod: is not carried over"),
    ("  pollingInterval: 10\n", "  idleReplicaCount: 0\n", "spec.idleReplicaCount: is not carried over"),
    ('ignoreNullValues: "false"', 'activationThreshold: "3"', "activationThreshold: is not carried over"),
    (', ignoreNullValues: "false"', "", "an empty or NaN answer was 0 to KEDA and holds the replicas here"),
    ("currentReplicasIfHigher", "currentReplicasIfLower", "is carried over as Static"),
    ("type: cron", "type: cpu", "a trigger of type cpu is not carried over"),
    ('end: "0 18 * * 1-5"', 'end: "never"', "start and end are no window"),
]


@pytest.mark.parametrize(("good", "other", "message"), LEFT_OUT)
def test_what_keda_has_and_we_have_not_is_said(good, other, message):
    assert good in KEDA
    _, remarks = imported(KEDA.replace(good, other, 1))
    assert any(message in remark for remark in remarks)


NOTHING = [
    ("kind: Service\n", "holds no HorizontalPodAutoscaler and no ScaledObject"),
    ("a: [\n", "is not YAML"),
    (HEAD + "  - type: Resource\n    resource: {name: cpu}\n", "has no metric that could be carried over"),
    (HEAD.replace("maxReplicas: 5", "maxReplicas: 0") + pods("waiting"), "maxReplicas: must be at least 1"),
    (HEAD + pods("waiting", "averageValue: lots"), "must be a quantity"),
    (HEAD + "  - 7\n", "has no metric that could be carried over"),
    ("kind: ScaledObject\nspec: 5\n", "has no metric that could be carried over"),
]


@pytest.mark.parametrize(("text", "message"), NOTHING)
def test_what_makes_no_policy_is_an_error(text, message):
    with pytest.raises(PolicyError, match=message):
        convert_text(text, "hpa.yaml")


def test_files_of_both_worlds_are_loaded_alike(tmp_path):
    foreign, own = tmp_path / "hpa.yaml", tmp_path / "policy.yaml"
    foreign.write_text(HEAD + pods("vllm:num_requests_waiting"))
    (loaded,), remarks = load_any(foreign)
    assert (loaded.policy.metadata.name, loaded.line, remarks) == ("vllm", 1, ())
    text = loaded.policy.model_dump_json(by_alias=True, exclude_none=True)
    own.write_text(f"# was a HorizontalPodAutoscaler\n{text}")
    (again,), _ = load_any(own)
    assert again.policy.spec == loaded.policy.spec
