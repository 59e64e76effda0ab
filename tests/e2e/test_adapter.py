"""A stock HPA's clients, the aggregation layer, the adapter, a Prometheus and emulated vLLM pods."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import asdict
from functools import partial
from itertools import count

import pytest

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.quantity import parse_quantity
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import Observation, Pod, PodPhase, Reading, Sample
from autoscaler.timestamps import from_rfc3339
from tests.e2e.adapter import export
from tests.e2e.controller import PATIENCE, load, replicas
from tests.e2e.controller import policy as scaling_policy
from tests.e2e.manifests import deployment, pods_of
from tests.parity.naive_hpa import Hpa
from tests.servers.aggregation import MetricsOfAnHPA
from tests.servers.eventually import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

GKE = "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"
METRICS = (
    {"name": "num_requests_waiting", "aliases": [GKE], "signal": "waiting", "maxAgeSeconds": 5},
    {"name": "num_requests_running", "signal": "running"},
    {"name": "ttft_p50", "signal": "ttft", "quantile": 0.5, "windowSeconds": 15, "resource": "Namespace"},
    {
        "name": "ttft_p50",
        "signal": "ttft",
        "quantile": 0.5,
        "windowSeconds": 15,
        "resource": "External",
        "labels": {"model": "gemma"},
    },
)


@pytest.fixture(scope="module")
def hpa(cluster, adapter):  # noqa: ARG001 (its clients need an API)
    return MetricsOfAnHPA(cluster.account("kube-system", "horizontal-pod-autoscaler"))


def values(answer):
    return {item["describedObject"]["name"]: item["value"] for item in answer["items"]}


def got(read):
    """What ``read`` gets; None where the HPA's client reports an error, or there is no item."""
    try:
        return read()
    except (RuntimeError, IndexError):
        return None


def waiting(hpa, namespace, metric="num_requests_waiting"):
    """What an HPA gets of its pods; empty where its client reports an error."""
    return got(lambda: values(hpa.pods(namespace, metric, "app=vllm"))) or {}


def test_the_hpas_clients_read_queues_batches_and_a_quantile(cluster, namespace, fleet, adapter, hpa):
    adapter.serve(export(namespace, *METRICS))
    cluster.api.apply(deployment(namespace, replicas=2))
    eventually(lambda: len(pods_of(cluster, namespace)) == 2, PATIENCE)
    fleet.keep(8)
    eventually(lambda: len(waiting(hpa, namespace, GKE)) == 2, PATIENCE)

    eventually(lambda: fresh_and_at_most(hpa, namespace, 8), PATIENCE)
    about = eventually(lambda: quantile(hpa, namespace), PATIENCE)
    assert 0 < about < 10
    external = eventually(lambda: item(hpa, namespace, "ttft_p50", "model=gemma"), PATIENCE)
    assert external["metricLabels"] == {"model": "gemma"}
    assert 0 < parse_quantity(external["value"]) < 10
    assert not hpa.external(namespace, "ttft_p50", "model=other")["items"]


def fresh_and_at_most(hpa, namespace, most):
    """Whether both pods' running requests are there, with times of now, and not more than there are clients.

    The pods are not scraped at one moment: a client that moved on in between may be counted twice.
    """
    answer = got(lambda: hpa.pods(namespace, "num_requests_running", "app=vllm"))
    running = answer["items"] if answer else ()
    ages = [time.time() - from_rfc3339(one["timestamp"]) for one in running]
    total = sum(parse_quantity(one["value"]) for one in running)
    return len(running) == 2 and total <= most and all(-1 < age < 20 for age in ages)


def quantile(hpa, namespace):
    answer = got(lambda: hpa.object(namespace, "ttft_p50", "Namespace", namespace))
    return float(parse_quantity(answer["value"])) if answer else None


def item(hpa, namespace, metric, labels):
    """The one item of an External metric; None while there is none."""
    return got(lambda: hpa.external(namespace, metric, labels)["items"][0])


def test_a_policys_metrics_are_served_too(cluster, namespace, script, hpa):
    script.change(lambda _: load(waiting=3))
    cluster.api.apply(deployment(namespace, replicas=2))
    whole = {"signal": "waiting", "name": "all", "target": {"type": "AverageValue", "averageValue": 5}}
    each = {"signal": "waiting", "target": {"type": "PodsAverage", "averageValue": 5}}
    cluster.api.apply(scaling_policy(namespace, metrics=[each, whole]))
    wanted = eventually(lambda: len(names(cluster, namespace)) == 2 and names(cluster, namespace), PATIENCE)
    eventually(lambda: waiting(hpa, namespace, "waiting") == dict.fromkeys(wanted, "3"), PATIENCE)
    total = partial(hpa.object, namespace, "all", "Deployment.apps", "vllm")
    assert eventually(lambda: got(total), PATIENCE)["value"] == "6"
    assert eventually(lambda: item(hpa, namespace, "all", "policy=vllm"), PATIENCE)["value"] == "6"


def names(cluster, namespace):
    return [pod["metadata"]["name"] for pod in pods_of(cluster, namespace)]


def test_missing_data_is_no_item_and_never_zero(cluster, namespace, script, adapter, hpa, own_prometheus):
    adapter.serve(export(namespace, *METRICS))
    script.change(lambda _: load(waiting=7))
    cluster.api.apply(deployment(namespace, replicas=1))
    (pod,) = eventually(lambda: names(cluster, namespace), PATIENCE)
    eventually(lambda: waiting(hpa, namespace) == {pod: "7"}, PATIENCE)

    script.change(lambda _: load(waiting="NaN"))
    eventually(lambda: nothing(hpa, namespace), PATIENCE)
    script.change(lambda _: load(waiting=7))
    eventually(lambda: waiting(hpa, namespace) == {pod: "7"}, PATIENCE)

    own_prometheus.stop()  # its last values may be served for maxAgeSeconds, under their own time
    eventually(lambda: nothing(hpa, namespace), PATIENCE)
    own_prometheus.start()
    eventually(lambda: waiting(hpa, namespace) == {pod: "7"}, PATIENCE)

    script.pods[pod].status = 500  # Prometheus is there, and its last sample grows old
    eventually(lambda: nothing(hpa, namespace), PATIENCE)
    script.pods[pod].status = 200
    eventually(lambda: waiting(hpa, namespace) == {pod: "7"}, PATIENCE)


def nothing(hpa, namespace):
    """Whether there is an answer, and no item in it."""
    return got(lambda: values(hpa.pods(namespace, "num_requests_waiting", "app=vllm"))) == {}


def test_a_pod_that_is_gone_has_no_item_though_prometheus_still_knows_it(
    cluster, namespace, script, adapter, hpa, endpoints
):
    adapter.serve(export(namespace, *METRICS))
    script.change(lambda _: load(waiting=7))
    cluster.api.apply(deployment(namespace, replicas=2))
    eventually(lambda: len(waiting(hpa, namespace)) == 2, PATIENCE)
    endpoints.lingering.add(namespace)
    cluster.api.patch(scale_of(namespace), {"spec": {"replicas": 1}})
    eventually(lambda: len(names(cluster, namespace)) == 1, PATIENCE)
    eventually(lambda: list(waiting(hpa, namespace)) == names(cluster, namespace), PATIENCE)
    endpoints.lingering.discard(namespace)


def test_exact_mode_fed_by_the_hpas_client_scales_as_an_hpa_would(cluster, namespace, script, adapter, hpa):
    """Ours decides by what the HPA's client reads; a naive HPA beside it decides the same at each sync."""
    adapter.serve(export(namespace, *METRICS))
    script.change(lambda _: load(waiting=20))
    cluster.api.apply(deployment(namespace, replicas=1))
    eventually(lambda: len(waiting(hpa, namespace)) == 1, PATIENCE)
    down = {"stabilizationWindowSeconds": 4, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 1}]}
    metric = {"name": "m", "query": "m", "target": {"type": "PodsAverage", "averageValue": 10}}
    document = scaling_policy(
        namespace, metrics=[metric], semantics="HPA", maxReplicas=4, behavior={"scaleDown": down}
    )
    policy = ScalingPolicy.model_validate(document)
    naive = Hpa(
        {
            "minReplicas": 1,
            "maxReplicas": 4,
            "behavior": {"scaleDown": down},
            "toleranceRule": "v1.33",
            "metrics": [{"type": "Pods", "target": 10_000}],
        }
    )
    seen, state = [], None
    end = time.monotonic() + 4 * PATIENCE
    for sync in count():
        assert time.monotonic() < end, seen
        now, current = float(sync), replicas(cluster, namespace)
        pods, milli = fleet_of(cluster, namespace), read_milli(hpa, namespace)
        state = state or initial_state(current, now)
        samples = tuple(Sample(value / 1000, now, name) for name, value in milli.items())
        observation = Observation(current, current, pods, (Reading("m", samples),))
        decision, state = evaluate(policy, observation, state, now)
        wanted = naive.reconcile(current, current, [asdict(pod) for pod in pods], [milli], now)
        assert wanted == decision.desired_replicas
        if decision.desired_replicas != current:
            cluster.api.patch(scale_of(namespace), {"spec": {"replicas": decision.desired_replicas}})
            naive.written(current, decision.desired_replicas, now)
            state = record_scale(policy, state, decision, now)
            seen.append(decision.desired_replicas)
        if seen[-1:] == [4] and len(milli) == 4:
            script.change(lambda _: load(waiting=0))
        if seen[-1:] == [1] and len(seen) > 1:
            break
        time.sleep(0.5)
    assert max(seen) == 4
    assert seen[-1] == 1


def scale_of(namespace):
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/vllm/scale"


def fleet_of(cluster, namespace):
    found = []
    for pod in cluster.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]:
        status = pod.get("status", {})
        conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
        ready = conditions.get("Ready") == "True"
        deleting = "deletionTimestamp" in pod["metadata"]
        found.append(Pod(pod["metadata"]["name"], PodPhase(status.get("phase", "Pending")), ready, deleting))
    return tuple(found)


def read_milli(hpa, namespace, metric="num_requests_waiting"):
    found = waiting(hpa, namespace, metric)
    return {name: int(parse_quantity(value) * 1000) for name, value in found.items()}


def test_kubectl_finds_and_reads_it(cluster, namespace, script, adapter):
    kubectl = shutil.which("kubectl") or pytest.skip("no kubectl here")
    adapter.serve(export(namespace, *METRICS))
    script.change(lambda _: load(waiting=7))
    cluster.api.apply(deployment(namespace, replicas=1))

    def get(*words):
        done = subprocess.run(
            [kubectl, "--kubeconfig", cluster.kubeconfig, *words], capture_output=True, text=True, timeout=120
        )
        return done.stdout + done.stderr

    path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/%2A/num_requests_waiting"
    eventually(lambda: '"value":"7"' in get("get", "--raw", path), PATIENCE)
    legacy = ("get", "--raw", "/apis/custom.metrics.k8s.io/v1beta1")
    eventually(lambda: "pods/num_requests_waiting" in get(*legacy), PATIENCE)
    words = ("api-resources", "--api-group=external.metrics.k8s.io", "--cached=false")
    # The aggregator asks for what there is once a minute.
    eventually(lambda: "ExternalMetricValueList" in get(*words), 60 + 3 * PATIENCE)
