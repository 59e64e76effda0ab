"""`autoscale run` from its start to its end, and what `status`, `explain` and `replay` tell of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.e2e.controller import PATIENCE, RunningController, condition_of, load, policy, replicas, status_of
from tests.e2e.manifests import deployment
from tests.servers.eventually import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def controller(cluster, crd, prometheus, namespace, tmp_path):  # noqa: ARG001 (the kind must be known)
    options = ("--namespace", namespace, "--lease-namespace", namespace)
    with RunningController(tmp_path, cluster.kubeconfig, prometheus.url, *options) as started:
        yield started


def autoscale(*argv):
    done = subprocess.run(
        [sys.executable, "-m", "autoscaler", *map(str, argv)], capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_load_rises_and_falls_and_the_replicas_follow(cluster, namespace, script, controller):
    script.change(lambda _: load(waiting=10))
    cluster.api.apply(deployment(namespace, replicas=1))
    cluster.api.apply(policy(namespace))
    eventually(lambda: replicas(cluster, namespace) == 5, PATIENCE)
    eventually(lambda: status_of(cluster, namespace).get("readyReplicas") == 5, PATIENCE)
    script.change(lambda _: load(waiting=0))
    eventually(lambda: replicas(cluster, namespace) == 1, PATIENCE)
    assert condition_of(cluster, namespace, "AbleToScale")[0] == "True"
    told = cluster.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    assert {"SuccessfulRescale"} <= {event["reason"] for event in told}

    status, table = autoscale("status", "--kubeconfig", cluster.kubeconfig, "-n", namespace)
    assert status == 0
    assert f"{namespace}/vllm  Deployment/vllm    1    5" in table
    status, story = autoscale("explain", f"{namespace}/vllm", "--kubeconfig", cluster.kubeconfig)
    assert status == 0
    assert "before that:" in story
    assert "scaled: " in story

    process = controller.process
    controller.stop()
    assert process.returncode == 0
    assert controller.lines()[-1]["message"] == "stopped"
    status, replayed = autoscale("replay", controller.decisions)
    assert (status, " as logged\n" in replayed) == (0, True)
    lease = cluster.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/vllm-autoscaler")
    assert not lease["spec"].get("holderIdentity")


def test_it_starts_before_prometheus_and_says_so(cluster, crd, prometheus, namespace, script, tmp_path):  # noqa: ARG001
    script.change(lambda _: load(waiting=10))
    cluster.api.apply(deployment(namespace, replicas=1))
    cluster.api.apply(policy(namespace))
    prometheus.stop()
    try:
        options = ("--namespace", namespace, "--lease-namespace", namespace)
        with RunningController(tmp_path, cluster.kubeconfig, prometheus.url, *options) as controller:
            eventually(lambda: condition_of(cluster, namespace, "ScalingActive") is not None, PATIENCE)
            assert condition_of(cluster, namespace, "ScalingActive")[0] == "False"
            assert any("no metric can be read" in line["message"] for line in controller.lines())
            assert replicas(cluster, namespace) == 1
            prometheus.start()
            eventually(lambda: replicas(cluster, namespace) == 5, PATIENCE)
    finally:
        if prometheus.process is None:
            prometheus.start()


def test_once_is_one_pass_for_each_policy(cluster, crd, prometheus, namespace, script):  # noqa: ARG001
    script.change(lambda _: load(waiting=10))
    cluster.api.apply(deployment(namespace, replicas=1))
    cluster.api.apply(policy(namespace))
    eventually(lambda: prometheus.query(f'vllm:num_requests_waiting{{namespace="{namespace}"}}'), PATIENCE)
    options = (
        "--once",
        "--no-leader-election",
        "--log-format",
        "text",
        "--log-level",
        "error",
        "-n",
        namespace,
    )
    where = ("--kubeconfig", cluster.kubeconfig, "--prometheus-url", prometheus.url)
    status, told = autoscale("run", *where, *options, "--dry-run")
    assert (status, told) == (0, f"{namespace}/vllm  1 -> 2  DryRun  AboveTarget: would set 2 replicas\n")
    assert replicas(cluster, namespace) == 1
    status, told = autoscale("run", *where, *options)
    assert status == 0
    assert (
        told == f"{namespace}/vllm  1 -> 2  Scaled  AboveTarget: New size: 2; reason: waiting above target\n"
    )
    assert replicas(cluster, namespace) == 2


def test_once_tells_of_policies_that_are_not_in_force(cluster, namespace, tmp_path):
    where = ("--kubeconfig", cluster.kubeconfig, "--prometheus-url", "http://127.0.0.1:9", "-n", namespace)
    options = ("--once", "--no-leader-election", "--policies", tmp_path)
    assert autoscale("run", *where, *options) == (0, "no policies\n")
    document = policy(namespace, minReplicas=9)
    (tmp_path / "vllm.yaml").write_text(json.dumps(document))
    status, told = autoscale("run", *where, *options)
    assert status == 1
    assert "refused: " in told
    assert "spec.minReplicas: must be at most maxReplicas" in told


def test_a_cluster_that_nobody_knows_is_one_clear_line(tmp_path):
    missing = tmp_path / "missing.kubeconfig"
    status, told = autoscale("run", "--prometheus-url", "http://127.0.0.1:9", "--kubeconfig", missing)
    assert status == 1
    assert told.splitlines()[-1].startswith("no cluster to talk to: ")
