"""A real HPA next to exact mode, sync by sync. Needs a cluster that has the HPA's controller.

``KUBECONFIG=… E2E_HOST=172.18.0.1 python -m pytest tests/e2e/test_real_hpa.py``, with the address at
which the cluster's control plane reaches this machine.
"""

from __future__ import annotations

import time

import pytest

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import Observation, Reading, Sample
from tests.e2e.adapter import export
from tests.e2e.controller import load, policy, replicas
from tests.e2e.manifests import deployment
from tests.e2e.test_adapter import fleet_of, read_milli
from tests.servers.aggregation import MetricsOfAnHPA
from tests.servers.eventually import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

SYNC_SECONDS = 15
MINUTES = 6
BEHAVIOR = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]},
    "scaleDown": {
        "stabilizationWindowSeconds": 30,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
    },
}


@pytest.fixture
def real(cluster):
    if cluster.plane is not None:
        pytest.skip("the composed control plane has no HPA controller: set KUBECONFIG")
    return cluster


def hpa_for(namespace):
    target = {"type": "AverageValue", "averageValue": "10"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "vllm", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": "waiting"}, "target": target}}],
            "behavior": BEHAVIOR,
        },
    }


def test_a_real_hpa_orders_what_exact_mode_decides(real, namespace, script, adapter):
    adapter.serve(export(namespace, {"name": "waiting", "signal": "waiting"}))
    client = MetricsOfAnHPA(real.kubeconfig)
    script.change(lambda _: load(waiting=20))
    real.api.apply(deployment(namespace, replicas=1))
    eventually(lambda: len(read_milli(client, namespace, "waiting")) == 1, 120)
    real.api.apply(hpa_for(namespace))
    metric = {"name": "m", "query": "m", "target": {"type": "PodsAverage", "averageValue": 10}}
    document = policy(namespace, metrics=[metric], semantics="HPA", maxReplicas=4, behavior=BEHAVIOR)
    exact = ScalingPolicy.model_validate(document)

    ordered, decided, state = [1], [1], None
    end = time.monotonic() + MINUTES * 60
    while time.monotonic() < end and not (len(ordered) > 2 and ordered[-1] == 1):
        now = time.time()
        live = replicas(real, namespace)
        if live != ordered[-1]:
            ordered.append(live)
        pods, milli = fleet_of(real, namespace), read_milli(client, namespace, "waiting")
        state = state or initial_state(live, now)
        samples = tuple(Sample(value / 1000, now, name) for name, value in milli.items())
        seen = Observation(live, live, pods, (Reading("m", samples),))
        decision, state = evaluate(exact, seen, state, now)
        state = record_scale(exact, state, decision, now)
        if decision.desired_replicas != decided[-1]:
            decided.append(decision.desired_replicas)
        if ordered[-1] == 4 and len(milli) == 4:
            script.change(lambda _: load(waiting=0))
        time.sleep(SYNC_SECONDS)
    assert ordered == decided == [1, 2, 3, 4, 3, 2, 1]
