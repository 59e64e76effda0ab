"""The alert rules, by Prometheus' own tool: they parse, and they speak up when they should."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from autoscaler.decision.types import Reason
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from tests.deploy.kustomize import DEPLOY
from tests.servers.cache import find_prometheus

RULES = DEPLOY / "components" / "alerts" / "prometheusrule.yaml"
RUNBOOK = DEPLOY.parent / "docs" / "runbook.md"
VLLM = 'policy_namespace="llm",policy="vllm"'

# What a while of metrics looks like, the minute to look, and which alerts there are by then.
STORIES: dict[str, tuple[dict[str, str], int, set[str]]] = {
    "all is well": (
        {
            "vllm_autoscaler_leading": "1x60",
            f"vllm_autoscaler_last_decision_info{{{VLLM},reason='WithinTolerance'}}": "1x60",
            f"vllm_autoscaler_current_replicas{{{VLLM}}}": "3x60",
            f"vllm_autoscaler_ready_replicas{{{VLLM}}}": "3x60",
            "vllm:num_requests_waiting{namespace='llm'}": "0x60",
        },
        50,
        set(),
    ),
    "nobody is there": ({"up": "1x60"}, 6, {"VllmAutoscalerMissing"}),
    "nobody leads": ({"vllm_autoscaler_leading": "0x60"}, 5, {"VllmAutoscalerWithoutLeader"}),
    "a leader change is no alert": ({"vllm_autoscaler_leading": "1x4 0x1 1x60"}, 10, set()),
    "metrics are stale": (
        {
            "vllm_autoscaler_leading": "1x60",
            f"vllm_autoscaler_last_decision_info{{{VLLM},reason='StaleMetric'}}": "1x60",
        },
        6,
        {"VllmAutoscalerMetricsUnusable"},
    ),
    "another owner": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_errors_total{reason='AnotherOwner'}": "0+4x60"},
        25,
        {"VllmAutoscalerCannotScale"},
    ),
    "now and then a conflict": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_errors_total{reason='Conflict'}": "0+2x60"},
        50,
        set(),
    ),
    "somebody writes a target all the time": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_errors_total{reason='Conflict'}": "0+12x60"},
        25,
        {"VllmAutoscalerConflicts"},
    ),
    "a sync does not end": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_oldest_sync_seconds": "0x5 0+60x55"},
        10,
        {"VllmAutoscalerSyncStuck"},
    ),
    "a sync that waits for a slow target is no alert": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_oldest_sync_seconds": "10x60"},
        30,
        set(),
    ),
    "syncs are skipped": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_skipped_syncs_total": "0+4x60"},
        25,
        {"VllmAutoscalerSkipsSyncs"},
    ),
    "a few syncs were skipped at the start": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_skipped_syncs_total": "0 8x60"},
        12,
        set(),
    ),
    "targets time out": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_targets_in_backoff": "24x60"},
        6,
        {"VllmAutoscalerTargetsTimeOut"},
    ),
    "statuses are refused": (
        {"vllm_autoscaler_leading": "1x60", "vllm_autoscaler_statuses_in_backoff": "60x60"},
        11,
        {"VllmAutoscalerStatusesNotWritten"},
    ),
    "a log is full": (
        {
            "vllm_autoscaler_leading": "1x60",
            "vllm_autoscaler_lost_log_lines_total{log='decisions'}": "0+4x60",
        },
        20,
        {"VllmAutoscalerLosesLogLines"},
    ),
    "a start that takes its time": (
        {
            "vllm_autoscaler_leading": "1x60",
            f"vllm_autoscaler_current_replicas{{{VLLM}}}": "3x60",
            f"vllm_autoscaler_ready_replicas{{{VLLM}}}": "2x20 3x40",
        },
        50,
        set(),
    ),
    "a start that fails": (
        {
            "vllm_autoscaler_leading": "1x60",
            f"vllm_autoscaler_current_replicas{{{VLLM}}}": "3x60",
            f"vllm_autoscaler_ready_replicas{{{VLLM}}}": "2x60",
        },
        40,
        {"VllmReplicasDoNotStart"},
    ),
    "maxReplicas is too low": (
        {
            "vllm_autoscaler_leading": "1x60",
            f"vllm_autoscaler_last_decision_info{{{VLLM},reason='TooManyReplicas'}}": "1x60",
            "vllm:num_requests_waiting{namespace='llm'}": "40x60",
        },
        20,
        {"VllmReplicasAtMaximum", "VllmRequestsWait"},
    ),
    "memory is full": (
        {"vllm_autoscaler_leading": "1x60", "vllm:num_preemptions_total{namespace='llm'}": "0+30x60"},
        30,
        {"VllmPreempts"},
    ),
    "first tokens come late": (
        {
            "vllm_autoscaler_leading": "1x60",
            "vllm:time_to_first_token_seconds_bucket{namespace='llm',le='2.5'}": "0+50x60",
            "vllm:time_to_first_token_seconds_count{namespace='llm'}": "0+100x60",
        },
        40,
        {"VllmFirstTokenLate"},
    ),
}


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return found


def alerts() -> list[str]:
    return [rule["alert"] for group in groups() for rule in group["rules"]]


def promtool(*arguments: str | Path) -> str:
    tool = find_prometheus().with_name("promtool")
    command = [str(tool), *(str(argument) for argument in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def series(metrics: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": name.replace("'", '"'), "values": values} for name, values in metrics.items()]


@pytest.mark.e2e
@pytest.mark.parametrize("story", STORIES)
def test_who_speaks_up_when(story, tmp_path):
    """Promtool knows expected alerts by all their labels; which of them fire is what matters here."""
    metrics, minute, expected = STORIES[story]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    firing = [
        {
            "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": "{}", "value": 1 if alert in expected else 0}],
        }
        for alert in alerts()
    ]
    test = {"interval": "1m", "input_series": series(metrics), "promql_expr_test": firing}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "test.yaml")


@pytest.mark.e2e
def test_the_rules_are_prometheus_rules(tmp_path):
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    assert f"{len(alerts())} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


def test_the_reasons_are_ones_that_exist():
    known = {str(reason) for reason in Reason} | {
        "FailedGetScale",
        "FailedUpdateScale",
        "AnotherOwner",
        "OwnersUnknown",
        "InternalError",
        "Conflict",
    }
    asked = re.findall(r'reason=~?"([^"]+)"', RULES.read_text())
    assert asked
    reasons = {reason for group in asked for reason in group.split("|")}
    assert reasons <= known
    assert {str(reason) for reason in Reason if reason.startswith("FailedGet")} <= reasons


def test_our_own_metrics_in_the_rules_are_ones_that_are_served():
    page = generate_latest(ControllerMetrics().registry).decode()
    served = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    asked = set(re.findall(r"vllm_autoscaler_\w+", RULES.read_text()))
    assert asked
    assert asked <= served


def test_each_alert_has_a_story_and_a_section_in_the_runbook():
    headings = {line[3:].strip() for line in RUNBOOK.read_text().splitlines() if line.startswith("## ")}
    assert set(alerts()) == set().union(*(expected for _, _, expected in STORIES.values()))
    assert set(alerts()) <= headings
    for group in groups():
        for rule in group["rules"]:
            assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
