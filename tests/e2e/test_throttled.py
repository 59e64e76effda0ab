"""A server that asks for a longer pause than anybody may take is asked again all the same."""

from __future__ import annotations

import pytest
import requests

from tests.e2e.manifests import deployment
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.servers.api_proxy import Fault, Refusal, watches
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

MAINTENANCE = Refusal(503, "ServiceUnavailable", {"Retry-After": "3600"})
OVERFLOWING = Refusal(429, "TooManyRequests", {"Retry-After": "9" * 20})


def test_watches_that_were_put_off_for_an_hour_or_for_ever_begin_again(
    cluster, namespace, proxy, through, start, script
):
    cluster.api.apply(deployment(namespace, replicas=1))
    script.change(lambda _: vllm(running=10))
    controller = start(kubeconfig=through)
    policy = Policy(cluster, namespace, spec())
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=60)
    with (
        proxy.fault(watches(), Fault(refusal=MAINTENANCE)),
        proxy.fault(watches("scalingpolicies"), Fault(refusal=OVERFLOWING)),
    ):
        proxy.cut()
        for plural, refusal in (
            ("pods", MAINTENANCE),
            ("deployments", MAINTENANCE),
            ("scalingpolicies", OVERFLOWING),
        ):
            eventually(
                lambda plural=plural, refusal=refusal: (
                    refusal.code in {call.status for call in proxy.seen(watches(plural))}
                )
            )
        policy.edit(minReplicas=3)
        is_alive(controller)
    eventually(lambda: policy.replicas() == 3, within=60)
    is_alive(controller)
    policy.edit(minReplicas=1)
    script.change(lambda _: vllm(running=0))
    eventually(lambda: policy.replicas() == 1, within=60)


def is_alive(controller):
    """No thread has ended."""
    requests.get(f"{controller.url}/healthz", timeout=5).raise_for_status()
