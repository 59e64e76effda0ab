"""HPAs and ScaledObjects as they are out there, and what becomes of them."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

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


def imported(text):
    conversion = convert_text(text, "hpa.yaml")
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


def test_a_signal_that_cannot_have_the_target_stays_a_query_and_says_why():
    name = "vllm:gpu_cache_usage_perc"
    written = f"prometheus.googleapis.com|{name}|gauge"
    external = f"{{metric: {{name: '{written}'}}, target: {{type: Value, value: 1}}}}"
    found, remarks = metric(f"  - type: External\n    external: {external}\n")
    assert (found.signal, found.query) == (None, f'sum({name}{{namespace="chat"}})')
    why = "kvCacheUsage is each pod's own share: use type PodsAverage, not Value"
    assert f"metric.name: stays a query, as {why}: check the query sum({name}{{" in remarks[0]


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
    assert (found.type, found.target.type) == ("Object", "Value")
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


def test_a_minimum_of_zero_says_whose_rules_it_follows():
    (spec,), remarks = imported(HEAD.replace("minReplicas: 1", "minReplicas: 0") + pods("waiting"))
    assert (spec.min_replicas, spec.zero_rule) == (0, None)
    assert "spec.minReplicas: metrics are read at 0, as by Kubernetes 1.36; zeroRule: v1.37" in remarks[0]


def test_a_list_of_kubectl_is_unpacked_and_other_documents_are_passed_over():
    hpa = "\n".join("  " + line for line in (HEAD + pods("vllm:num_requests_waiting")).splitlines())
    text = "apiVersion: v1\nkind: List\nitems:\n-" + hpa[1:] + "\n---\nkind: Service\nmetadata: {name: x}\n"
    (spec,), _ = imported(text)
    assert spec.scale_target_ref.name == "vllm"


def test_what_kubectl_writes_of_a_large_cluster_is_not_too_large():
    items = [yaml.safe_load(HEAD + pods("waiting")), {"kind": "Other", "values": [0] * 10_001}]
    specs, _ = imported(json.dumps({"kind": "List", "items": items}))
    assert len(specs) == 1


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
    ("type: cron", "type: cpu", "a trigger of type cpu is not carried over: no CPU or memory here"),
    ("type: cron", "type: kafka", "a trigger of type kafka is not carried over: write a query for it"),
    (
        "  advanced:\n",
        "  advanced:\n    scalingModifiers: {formula: a}\n",
        "KEDA decides by the formula alone",
    ),
    ("  advanced:\n", "  advanced:\n    restoreToOriginalReplicaCount: true\n", "set it to false before you"),
    ('"sum(x)"', '"sum(x)", namespace: a', "triggers[0].metadata.namespace: is not carried over"),
    (
        '"sum(x)"',
        '"sum(x)", unsafeSsl: "true"',
        "unsafeSsl: is not carried over: the controller's own options",
    ),
    (
        "metricType: Value",
        "authenticationRef: {name: a}",
        "authenticationRef: is not carried over: the contr",
    ),
    ('desiredReplicas: "6"', 'desiredReplicas: "9"', "desiredReplicas: becomes 8, which is maxReplicaCount"),
    (
        'desiredReplicas: "6"',
        "desiredReplicas: six",
        "desiredReplicas: is not a whole number: not carried over",
    ),
    (
        "failureThreshold: 6",
        "failureThreshold: six",
        "failureThreshold: is not a whole number: not carried over",
    ),
    (
        "pollingInterval: 10",
        "pollingInterval: [10]",
        "pollingInterval: is not a whole number: not carried over",
    ),
    ('end: "0 18 * * 1-5"', 'end: "never"', "start and end are not a window"),
]


@pytest.mark.parametrize(("good", "other", "message"), LEFT_OUT)
def test_what_keda_has_and_we_have_not_is_said(good, other, message):
    assert good in KEDA
    _, remarks = imported(KEDA.replace(good, other, 1))
    assert any(message in remark for remark in remarks)


PAUSES = [
    ('autoscaling.keda.sh/paused: "true"', "Paused", "Max", []),
    ('autoscaling.keda.sh/paused: "false"', "Active", "Max", []),
    ('autoscaling.keda.sh/paused-replicas: "4"', "Paused", "Max", ["becomes mode: Paused: replicas stay as"]),
    ('autoscaling.keda.sh/paused-scale-in: "true"', "Active", "Disabled", []),
    ('autoscaling.keda.sh/force-activation: "true"', "Active", "Max", ["is not carried over"]),
]


@pytest.mark.parametrize(("annotation", "mode", "scale_down", "messages"), PAUSES)
def test_a_paused_scaled_object_becomes_a_paused_policy(annotation, mode, scale_down, messages):
    annotated = KEDA.replace("namespace: chat", f"namespace: chat, annotations: {{{annotation}}}")
    (spec,), remarks = imported(annotated)
    assert (spec.mode, spec.scale_down.select_policy) == (mode, scale_down)
    assert spec.scale_down.stabilization_window_seconds == 600
    assert [message in remark for message, remark in zip(messages, remarks, strict=True)] == [True] * len(
        remarks
    )


def test_to_keep_the_current_replicas_is_what_a_policy_does_without_a_fallback():
    (spec,), remarks = imported(KEDA.replace("currentReplicasIfHigher", "currentReplicas"))
    assert (spec.fallback, remarks) == (None, [])


QUERIES = [
    ("sum(vllm:num_requests_waiting)", "waiting", 5000),
    ('sum( vllm:num_requests_running{namespace="chat",model_name="a"} )', "running", 5000),
    ("vllm:kv_cache_usage_perc", "kvCacheUsage", 5000),
    ("sum(DCGM_FI_DEV_GPU_UTIL)", "gpuUtilization", 50),
    ("avg(vllm:num_requests_waiting)", None, 5000),  # of an average there is no total
    ("sum(waiting)", None, 5000),  # a signal's name is no series
    ("sum(llm_d_epp_flow_control_queue_size)", "gatewayQueue", 5000),
    ('sum(inference_extension_flow_control_queue_size{namespace="a"})', "gatewayQueue", 5000),
    (
        "sum(llm_d_epp_flow_control_queue_size) or sum(inference_extension_flow_control_queue_size)",
        "gatewayQueue",
        5000,
    ),
    (  # one queue by two names, which are never added up
        "sum(llm_d_epp_flow_control_queue_size)+sum(inference_extension_flow_control_queue_size)",
        "gatewayQueue",
        5000,
    ),
    ("sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)", None, 5000),
    ('sum(vllm:num_requests_waiting{a="1"}) + sum(vllm:num_requests_waiting{a="2"})', None, 5000),
    ("sum(rate(vllm:generation_tokens_total[1m]))", None, 5000),
]


@pytest.mark.parametrize(("query", "signal", "milli"), QUERIES)
def test_a_trigger_that_adds_up_a_known_gauge_becomes_its_signal(query, signal, milli):
    text = KEDA.replace('"sum(x)"', f"'{query}'").replace("metricType: Value", "metricType: AverageValue")
    (spec,), remarks = imported(text)
    (found,) = spec.metrics
    assert (found.signal, found.query) == (signal, None if signal else query)
    assert found.target.milli == milli
    assert any(f"becomes the signal {signal}" in remark for remark in remarks) is bool(signal)


CLOUD_KINDS = [
    ("counter", 'rate(m{namespace="chat"}[5m])', "check the query"),
    ("gauge", 'm{namespace="chat"}', "check the query"),
    ("histogram", None, "prometheus.googleapis.com|m|histogram is a histogram: not carried over"),
]


@pytest.mark.parametrize(("kind", "query", "message"), CLOUD_KINDS)
def test_a_counter_is_a_rate_and_a_histogram_nothing(kind, query, message):
    text = HEAD + pods(f"prometheus.googleapis.com|m|{kind}") + pods("vllm:num_requests_waiting")
    (spec,), remarks = imported(text)
    assert [one.query for one in spec.metrics if one.query] == ([query] if query else [])
    assert message in remarks[0]


NOTED = [
    (
        "apiVersion: autoscaling/v2\n",
        "apiVersion: autoscaling/v1\n",
        "apiVersion: is read as autoscaling/v2, not",
    ),
    ("creationTimestamp: null", "annotations: {vllm-autoscaler.io/metrics: '{'}", "is not JSON: ignored"),
    ('name: "other"', 'name: "a-b"', "a-b is no name in PromQL: not carried over"),
    (
        "selector: {}",
        "selector: {matchExpressions: [{key: a}]}",
        "matchExpressions are not carried over: add them",
    ),
    ('"DCGM_FI_DEV_GPU_UTIL"', '"waiting", selector: {matchLabels: {a: b}}', "waiting is of all series"),
    ("averageValue: 20", "averageUtilization: 20", "is not a target of a Pods metric: not carried over"),
    ("averageValue: 20", "averageValue: lots", "makes no policy"),
]


@pytest.mark.parametrize(("good", "other", "message"), NOTED)
def test_what_an_hpa_has_and_we_have_not_is_said(good, other, message):
    text = HEAD + pods("other", selector=", selector: {}") + pods("DCGM_FI_DEV_GPU_UTIL", "averageValue: 20")
    assert good in text
    _, remarks = imported(text.replace(good, other, 1) + "---\n" + KEDA)
    assert any(message in remark for remark in remarks)


def test_a_document_without_a_policy_does_not_keep_the_others_from_theirs():
    cpu = HEAD.replace("name: vllm,", "name: cpu,", 1) + "  - type: Resource\n    resource: {name: cpu}\n"
    bad = HEAD.replace("maxReplicas: 5", "maxReplicas: []") + pods("waiting")
    job = "kind: ScaledJob\n"
    (spec,), remarks = imported("---\n".join([cpu, KEDA, bad, job]))
    assert spec.max_replicas == 8
    assert remarks == [
        "hpa.yaml:1: has no metric that could be carried over: makes no policy",
        "hpa.yaml:9: spec.metrics[0]: a metric of type Resource is not carried over: no CPU or memory here",
        "hpa.yaml:31: makes no policy",
        "hpa.yaml:37: spec.maxReplicas: must be an integer from 1 to 2147483647, not a list",
        "hpa.yaml:44: kind: is not carried over: jobs are not scaled here, only workloads with replicas",
    ]


AWRY = [
    (
        "minReplicaCount: 1",
        "minReplicaCount: 9",
        "7: spec.minReplicaCount: must be at most maxReplicaCount, which is 8; is 9",
    ),
    ('threshold: "5"', "threshold: abc", "16: spec.triggers[0].metadata.threshold: must be a quantity"),
    ('query: "sum(x)"', 'query: ""', "16: spec.triggers[0].metadata.query: is empty"),
    (
        'desiredReplicas: "6"',
        'desiredReplicas: "-1"',
        "18: spec.triggers[1].metadata.desiredReplicas: must be",
    ),
    ("name: vllm}", "name: 7}", "5: spec.scaleTargetRef.name: must be a string"),
    (
        "stabilizationWindowSeconds: 600",
        "stabilizationWindowSeconds: 9999",
        "12: spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds: must",
    ),
    ("failureThreshold: 6", "failureThreshold: 99999999999", "9: spec.fallback.failureThreshold: must be at"),
]


@pytest.mark.parametrize(("good", "other", "message"), AWRY)
def test_what_is_wrong_in_a_scaled_object_is_told_by_its_own_names_and_lines(good, other, message):
    with pytest.raises(PolicyError) as told:
        convert_text(KEDA.replace(good, other, 1), "k.yaml")
    assert str(told.value.problems[1]).startswith(f"k.yaml:{message}")


def test_so_it_is_in_an_hpa_whose_metrics_are_not_all_carried_over():
    cpu = "  - type: Resource\n    resource: {name: cpu}\n"
    with pytest.raises(
        PolicyError, match=r"hpa\.yaml:14: spec\.metrics\[1\]\.pods\.target\.averageValue: must"
    ):
        convert_text(HEAD + cpu + pods("waiting", "averageValue: lots"), "hpa.yaml")


def test_the_hpa_that_keda_made_is_left_to_its_scaled_object():
    owned = HEAD.replace("creationTimestamp: null", "ownerReferences: [{kind: ScaledObject, name: vllm}]")
    specs, remarks = imported(owned + pods("s0-prometheus") + "---\n" + KEDA)
    assert len(specs) == 1
    assert "metadata.ownerReferences: is KEDA's: import its ScaledObject" in remarks[0]


def test_of_two_with_one_name_the_first_becomes_the_policy():
    (spec,), remarks = imported(HEAD + pods("waiting") + "---\n" + KEDA)
    assert spec.max_replicas == 5
    message = "makes no policy, as the HorizontalPodAutoscaler of hpa.yaml:1 has its name"
    assert remarks == [f"hpa.yaml:16: metadata.name: this ScaledObject {message}: keep one, or rename one"]


def test_two_that_scale_one_workload_are_told():
    specs, remarks = imported(HEAD + pods("waiting") + "---\n" + KEDA.replace("name: vllm,", "name: keda,"))
    assert len(specs) == 2
    message = "this ScaledObject scales what the HorizontalPodAutoscaler of hpa.yaml:1 scales"
    assert remarks[0].startswith(f"hpa.yaml:18: spec.scaleTargetRef: {message}: a workload needs one owner")


def test_one_name_in_two_namespaces_is_two_policies():
    elsewhere = KEDA.replace("namespace: chat", "namespace: b")
    specs, remarks = imported(HEAD + pods("waiting") + "---\n" + elsewhere)
    assert (len(specs), remarks) == (2, [])


def _places(data, path=()):
    yield path
    if isinstance(data, dict | list):
        pairs = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in pairs:
            yield from _places(value, (*path, key))


def _with(data, path, value):
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = _with(copy[path[0]], path[1:], value)
    return copy


_OBJECT = (
    "  - type: Object\n    object:\n      describedObject: {kind: Service, name: gateway}\n"
    "      metric: {name: queue, selector: {matchLabels: {a: b}}}\n      target: {type: Value, value: 20}\n"
)
_GPU = pods("DCGM_FI_DEV_GPU_UTIL", selector=", selector: {matchLabels: {a: b}}")
DOCUMENTS = [yaml.safe_load(text) for text in (HEAD + _OBJECT + _GPU, KEDA)]
PLACES = [(document, place) for document in DOCUMENTS for place in _places(document)]
WRONG = st.sampled_from([7, -1, 2.5, True, "", "x", "9" * 40, "NaN", [], [7], {}, {"kind": 7}, {"a": ["b"]}])


@given(st.lists(st.tuples(st.sampled_from(PLACES), WRONG), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_whatever_is_wrong_ends_in_words(changes):
    (original, _), _ = changes[0]
    document = original
    for (other, place), value in changes:
        if other is original:
            with suppress(KeyError, IndexError, TypeError, AttributeError):  # an earlier change removed it
                document = _with(document, place, value)
    try:
        told = convert_text(yaml.safe_dump(document), "hpa.yaml").remarks
    except PolicyError as error:
        told = error.problems
    assert all(problem.message for problem in told)


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
