"""`autoscale query`: the queries of a policy, and what a server answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autoscaler.cli.main import cli
from autoscaler.documents.library import library_path
from tests.servers.managed_prometheus import Fault, ManagedPrometheus
from tests.servers.metadata import MetadataServer
from tests.servers.process import free_port

CHAT = str(library_path("chat"))
SERVER = ("--prometheus-url", "http://prometheus")
PASSWORD = ("--prometheus-username", "me", "--prometheus-password-file", CHAT)
CLOUD = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: ScalingPolicy
metadata: {name: jobs, namespace: batch}
spec:
  scaleTargetRef: {kind: Deployment, name: vllm}
  maxReplicas: 10
  guards: {remainingCapacity: {enabled: false}}
  metrics:
    - cloudMonitoring: {filter: 'metric.type="x"'}
      maxAgeSeconds: 300
      target: {type: AverageValue, averageValue: 10}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["query", *arguments], env={"PROMETHEUS_URL": ""})


def found(pod: str, value: float, timestamp: float) -> Fault:
    labels = {"namespace": "default", "pod": pod}
    parts: list[tuple[dict[str, str], float]] = [({}, value), ({"autoscaler_part": "time"}, timestamp)]
    series: list[dict[str, Any]] = [
        {"metric": {**labels, **part}, "value": [0, str(number)]} for part, number in parts
    ]
    data = {"resultType": "vector", "result": series}
    return Fault(body=json.dumps({"status": "success", "data": data}).encode())


def test_without_a_server_the_queries_are_shown():
    result = run(CHAT)
    assert result.exit_code == 0
    assert 'vllm:num_requests_running{namespace="default"}' in result.output
    assert "kvCacheUsage, remainingCapacity/kvCacheUsage\n" in result.output


def test_a_policy_may_come_from_standard_input():
    text = Path(CHAT).read_text()
    shown = CliRunner().invoke(cli, ["query", "-"], input=text, env={"PROMETHEUS_URL": ""})
    assert (shown.exit_code, shown.output) == (0, run(CHAT).output)


def test_a_policy_may_be_one_of_the_library():
    shown = run("chat")
    assert (shown.exit_code, shown.output) == (0, run(CHAT).output)
    missing = run("caht")
    assert missing.exit_code == 1
    assert "no such file, and no policy of this name in the library (there are: batch," in str(
        missing.exception
    )


def test_where_nothing_has_a_value_the_namespace_that_was_taken_is_named():
    with ManagedPrometheus() as server:
        result = run(CHAT, "--prometheus-url", server.url)
    assert (result.exit_code, result.stderr) == (1, "Asked in the namespace default; -n names another\n")


def test_the_cluster_and_the_namespace_are_in_them():
    result = run(CHAT, "-n", "models", "--cluster", "prod")
    assert 'vllm:num_requests_running{cluster="prod", namespace="models"}' in result.output


def test_values_are_shown_with_their_ages():
    with ManagedPrometheus() as server:
        server.faults.extend([found("vllm-0", 0.5, time.time() - 20)] * 4)
        result = run(CHAT, "--prometheus-url", server.url)
    assert result.exit_code == 0
    assert " 0.5 " in result.output
    assert "vllm-0" in result.output
    assert " s old" in result.output
    assert "refused" not in result.output


@pytest.mark.parametrize(
    ("value", "age", "reason"),
    [
        (9e16, 20, "refused: 9e+16, which is not within 0 to 1.05"),
        (0.5, 200, r"refused: 200[.\d]* s old, at most 90 s is usable"),
    ],
)
def test_a_value_that_a_decision_would_refuse_is_shown_with_the_reason(
    tmp_path: Path, value: float, age: float, reason: str
):
    file = tmp_path / "gpu.yaml"
    metric = "{signal: gpuUtilization, target: {type: PodsAverage, averageValue: 0.7}}"
    file.write_text(CLOUD.partition("    - cloud")[0].replace("batch", "default") + f"    - {metric}\n")
    with ManagedPrometheus() as server:
        server.faults.extend([found("vllm-0", value, time.time() - age)] * 2)
        result = run(str(file), "--prometheus-url", server.url)
    assert result.exit_code == 1
    assert re.search(reason.replace("+", "[+]"), result.output)


def test_a_metric_without_a_value_is_a_finding():
    with ManagedPrometheus() as server:
        result = run(CHAT, "--prometheus-url", server.url)
    assert result.exit_code == 1
    assert "no value" in result.output


def test_a_failure_is_shown_with_its_reason():
    result = run(CHAT, "--prometheus-url", f"http://127.0.0.1:{free_port()}", "--metrics-deadline", "0.2")
    assert result.exit_code == 1
    assert "Connection refused" in result.output


def test_cloud_monitoring_needs_a_project(tmp_path: Path):
    file = tmp_path / "jobs.yaml"
    file.write_text(CLOUD)
    assert 'metric.type="x"' in run(str(file)).output
    result = run(str(file), "--prometheus-url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "--cloud-monitoring-project names its project" in result.output


def test_a_broken_policy_is_told_as_everywhere(tmp_path: Path):
    file = tmp_path / "broken.yaml"
    file.write_text("kind: ScalingPolicy\n")
    assert run(str(file)).exit_code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prometheus-url", "prometheus:9090"], "must begin with http:// or https://"),
        (["--prometheus-url", "http://bob:hunter2@prometheus:9090"], "--prometheus-password-file"),
        (["--prometheus-url", "http://bob:hunter2@[x"], "--prometheus-password-file"),
        (["--google-project", "p"], "name yours with --cluster"),
        ([*SERVER, *PASSWORD[:2]], "go together"),
        ([*SERVER, "--prometheus-key-file", CHAT], "needs --prometheus-cert-file"),
        (
            [*SERVER, "--prometheus-token-file", CHAT, *PASSWORD],
            "keep one",
        ),
        (
            ["--google-project", "p", "--cluster", "c", "--prometheus-token-file", CHAT],
            "brings its own token",
        ),
        (
            ["--google-project", "p", "--cluster", "c", "--prometheus-url", "http://prometheus.example"],
            "must be https://",
        ),
    ],
)
def test_options_that_do_not_fit_together_are_a_wrong_command_line(options: list[str], message: str):
    result = run(CHAT, *options)
    assert result.exit_code == 2
    assert message in result.output


def process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process without the credentials that whoever runs the tests may have."""
    hidden = {"GOOGLE_APPLICATION_CREDENTIALS", "HOME", "PROMETHEUS_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"CLOUDSDK_CONFIG": "/nonexistent", "NO_PROXY": "*", **variables}
    command = [sys.executable, "-m", "autoscaler", "query", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2]
    )


def test_without_credentials_cloud_monitoring_says_how_to_get_some(tmp_path: Path):
    file = tmp_path / "jobs.yaml"
    file.write_text(CLOUD)
    options = ("--prometheus-url", "http://127.0.0.1:1", "--cloud-monitoring-project", "models-prod")
    done = process(str(file), *options, NO_GCE_CHECK="true")
    assert done.returncode == 1
    assert "failed: no credentials for Google: Your default credentials were not found" in done.stdout


def test_workload_identity_is_all_that_managed_prometheus_needs():
    """A process of its own, as google-auth looks for the metadata server when it is imported."""
    with ManagedPrometheus() as server, MetadataServer(lambda: "issued") as metadata:
        server.tokens = {"issued"}
        options = ("--google-project", "models-prod", "--cluster", "prod", "--prometheus-url", server.url)
        done = process(CHAT, *options, **metadata.environment)
        tokens = [path for path in metadata.asked if "/token" in path]
    assert done.stderr == "Asked in the namespace default; -n names another\n"  # and nothing of Google's
    assert done.returncode == 1  # nothing is scraped there
    assert "failed" not in done.stdout
    assert len(server.queries) == 4
    assert all('cluster="prod"' in query for query in server.queries)
    assert len(tokens) == 1
    assert "monitoring.read" in tokens[0]


def test_what_the_server_remarks_of_the_query_is_shown_and_counts_for_nothing(tmp_path: Path):
    file = tmp_path / "q.yaml"
    query_ = "{query: load, target: {type: AverageValue, averageValue: 1}}"
    no_guards = "{remainingCapacity: {enabled: false}, rejectedRequests: {enabled: false}}"
    head = CLOUD.partition("    - cloud")[0].replace("{remainingCapacity: {enabled: false}}", no_guards)
    file.write_text(f"{head}    - {query_}\n")
    series = [{"metric": {}, "value": [time.time(), "3"]}]
    notes = {"warnings": ["PromQL info: x might be no counter"], "isPartial": True}
    answer = {"status": "success", "data": {"resultType": "vector", "result": series}, **notes}
    with ManagedPrometheus() as server:
        server.faults.append(Fault(body=json.dumps(answer).encode()))
        result = run(str(file), "--prometheus-url", server.url)
    assert result.exit_code == 0
    assert "the server remarks: PromQL info: x might be no counter" in result.output
    assert "partial: isPartial" in result.output
