"""``autoscale validate --cluster`` against a real API server."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from autoscaler.cli.commands.validate import validate
from tests.e2e.kube_world import install_definition, policy, scalable, workload

pytestmark = pytest.mark.e2e

MONITORING = scalable("monitoring.googleapis.com", "PodMonitoring")
MONITORS = "/apis/monitoring.googleapis.com/v1/namespaces/{}/podmonitorings"


@pytest.fixture(scope="module")
def api(cluster):
    api = cluster.api
    install_definition(api, MONITORING)
    return api


@pytest.fixture
def namespace(api):
    return api.post("/api/v1/namespaces", {"metadata": {"generateName": "validate-"}})["metadata"]["name"]


@pytest.fixture
def check(cluster, namespace, tmp_path):
    def run(**changed):
        path = tmp_path / "p.yaml"
        path.write_text(yaml.safe_dump(policy(**changed)))
        options = ["--cluster", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
        return CliRunner().invoke(validate, [str(path), *options])

    return run


def test_a_target_that_is_not_there_is_named(check):
    result = check()
    assert result.exit_code == 0
    assert "[target-missing]" in result.stdout


def test_a_live_workload_is_compared_with_its_policy(api, check, namespace):
    api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", workload())
    monitor = {
        "apiVersion": "monitoring.googleapis.com/v1",
        "kind": "PodMonitoring",
        "metadata": {"name": "vllm"},
        "spec": {"selector": {"matchLabels": {"app": "vllm"}}, "endpoints": [{"port": "web"}]},
    }
    api.post(MONITORS.format(namespace), monitor)
    result = check()
    assert result.exit_code == 0, result.exception
    found = result.stdout
    assert f"Deployment {namespace}/vllm: spec.template.spec.terminationGracePeriodSeconds: warning:" in found
    assert (
        f"PodMonitoring {namespace}/vllm: spec.endpoints[0].port: warning: no container has a port" in found
    )


def test_a_cluster_that_cannot_be_reached_is_an_error_in_words(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(policy()))
    result = CliRunner().invoke(validate, [str(path), "--cluster", "--kubeconfig", str(tmp_path / "none")])
    assert "no cluster to talk to" in str(result.exception)
