"""No replicas while nobody asks for anything, and back on the queue in front of them."""

from __future__ import annotations

import pytest

from autoscaler.api.signals import GATEWAY_QUEUE
from tests.e2e.manifests import deployment, pods_of
from tests.e2e.policies import HASTY, MAX_AGE, Policy, more_decisions, spec
from tests.e2e.ranking import is_ready
from tests.e2e.scripted import vllm
from tests.e2e.timeline import Timeline
from tests.servers.eventually import eventually
from tests.servers.exporter import Exporter

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]


class Gateway(Exporter):
    """What the endpoint picker of a gateway says of its queue, by ``names`` (llm-d's router: by both)."""

    names = GATEWAY_QUEUE

    def holds(self, requests: int) -> None:
        """So many wait in it."""
        self.text = "".join(
            f'# TYPE {name} gauge\n{name}{{inference_pool="chat"}} {requests}\n' for name in self.names
        )


@pytest.fixture
def gateway(namespace, endpoints):
    """One that Prometheus scrapes; its queue is empty."""
    with Gateway() as opened:
        opened.holds(0)
        group = {"targets": [opened.address], "labels": {"namespace": namespace, "pod": "epp-0"}}
        endpoints.others.append(group)
        yield opened
        endpoints.others.remove(group)


def to_zero():
    """0 to 4 replicas on the queue in front, and while there are any, on their own load, too."""
    queue = {"signal": "gatewayQueue", "target": {"type": "AverageValue", "averageValue": 10}}
    return spec(minReplicas=0, metrics=[queue | {"maxAgeSeconds": MAX_AGE}, *spec()["metrics"]])


def test_to_zero_and_back_on_the_queue_in_front(cluster, namespace, script, gateway, start):
    cluster.api.apply(deployment(namespace))
    script.change(lambda _: vllm(running=5, kv=0))
    controller = start()
    policy = Policy(cluster, namespace, to_zero())
    replicas = Timeline(policy.replicas)
    eventually(lambda: policy.condition("ScalingActive")[0] == "True")
    more_decisions(controller)
    assert replicas.look() == 1, "an empty queue, but requests run"

    script.change(lambda _: vllm(running=0, kv=0))
    replicas.reaches(0)
    eventually(lambda: pods_of(cluster, namespace) == [])
    more_decisions(controller)
    assert replicas.values == [1, 0]

    gateway.holds(15)
    replicas.reaches(2)
    eventually(lambda: sum(map(is_ready, pods_of(cluster, namespace))) == 2)
    gateway.holds(0)
    replicas.reaches(0)
    assert replicas.values == [1, 0, 2, 1, 0]


def test_at_zero_a_restart_changes_nothing_and_a_queue_that_nobody_knows_wakes_nobody(
    cluster, namespace, script, gateway, start
):
    gateway.names = GATEWAY_QUEUE[:1]
    gateway.holds(0)
    cluster.api.apply(deployment(namespace))
    script.change(lambda _: vllm(running=0, kv=0))
    controller = start()
    policy = Policy(cluster, namespace, to_zero() | {"behavior": HASTY})
    replicas = Timeline(policy.replicas)
    replicas.reaches(0)
    gateway.text = ""
    eventually(lambda: policy.condition("ScalingActive")[0] == "False", within=60)
    controller.restart()
    more_decisions(controller)
    assert replicas.look() == 0
    gateway.holds(15)
    replicas.reaches(2, within=60)
    assert replicas.values == [1, 0, 2]
