from __future__ import annotations

import pytest

from autoscaler.documents.library import library_names, library_path
from autoscaler.documents.policies import LoadedPolicy, load_policies, load_policy_text
from autoscaler.lint.policy_rules import lint
from tests.api.build import METRICS, VALID, load_spec

MORE_PODS = "behavior: {scaleUp: {policies: [{type: Percent, value: 100, periodSeconds: 15}]}}"


def metrics(*entries: str) -> str:
    return "  metrics:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)


def of_target(ref: str) -> LoadedPolicy:
    (loaded,) = load_policy_text(VALID.replace("kind: Deployment", ref), "p.yaml")
    return loaded


def query(text: str, kind: str = "AverageValue") -> str:
    return metrics(f"query: '{text}', target: {{type: {kind}, averageValue: 1}}")


def found(*lines: str, of: str = METRICS, replicas: str = "  maxReplicas: 10\n") -> list[str]:
    problems = lint(load_spec(*lines, metrics=of, replicas=replicas))
    return [f"{item.line} {item.field} {item.rule}" for item in problems]


TO_ZERO = "  minReplicas: 0\n  maxReplicas: 10\n"
GATEWAY = metrics("signal: gatewayQueue, target: {type: AverageValue, averageValue: 10}")


def test_a_sound_policy_has_no_warnings() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("kind: deployment", "Kubernetes has no kind deployment: did you mean Deployment? [misspelt-kind]"),
        (
            "kind: StatefulSets",
            "Kubernetes has no kind StatefulSets: did you mean StatefulSet? [misspelt-kind]",
        ),
        ("kind: DaemonSet", "a DaemonSet has no scale subresource"),
        ("kind: cronjob, apiVersion: batch/v1", "a CronJob has no scale subresource"),
        ("kind: Pod, apiVersion: v1", "a Pod has no scale subresource"),
    ],
)
def test_a_target_that_cannot_be_scaled_is_told(ref: str, words: str) -> None:
    (problem,) = lint(of_target(ref))
    assert (problem.line, problem.field) == (6, "spec.scaleTargetRef.kind")
    assert f": warning: {words}" in str(problem)


@pytest.mark.parametrize(
    "ref",
    [
        "kind: StatefulSet",
        "kind: ReplicationController, apiVersion: v1",
        "kind: LeaderWorkerSet, apiVersion: leaderworkerset.x-k8s.io/v1",
        "kind: DaemonSet, apiVersion: apps.kruise.io/v1alpha1",
        "kind: deployment, apiVersion: example.com/v1",
    ],
)
def test_kinds_of_other_people_are_their_own(ref: str) -> None:
    assert lint(of_target(ref)) == ()


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (
            metrics("signal: gpuUtilization, target: {type: PodsAverage, averageValue: 0.8}"),
            ["8 spec.metrics utilization-only"],
        ),
        (
            metrics("signal: gpuMemoryUsed, target: {type: PodsAverage, averageValue: 70k}"),
            ["8 spec.metrics utilization-only", "9 spec.metrics[0].signal constant-signal"],
        ),
        (query("avg(DCGM_FI_DEV_GPU_UTIL)"), ["8 spec.metrics utilization-only"]),
        (
            metrics("cloudMonitoring: {filter: f}, target: {type: AverageValue, averageValue: 1}"),
            ["9 spec.metrics[0].cloudMonitoring cloud-max-age"],
        ),
        (
            metrics(
                "cloudMonitoring: {filter: f}, maxAgeSeconds: 240, target: {type: Value, value: 1}",
            ),
            [],
        ),
        (query("sum(rate(container_cpu_usage_seconds_total[1m]))"), ["8 spec.metrics utilization-only"]),
        (
            metrics("signal: waiting, target: {type: PodsAverage, averageValue: 10}"),
            ["8 spec.metrics waiting-only"],
        ),
        (query("sum(vllm:num_requests_waiting)"), ["8 spec.metrics waiting-only"]),
        (query("sum(vllm:num_requests_waiting + vllm:num_requests_running)"), []),
        (metrics("signal: ttft, target: {type: Value, value: 2}"), ["8 spec.metrics latency-only"]),
        (
            metrics("signal: rejectedPerSecond, target: {type: PodsAverage, averageValue: 1}"),
            ["8 spec.metrics rejections-only"],
        ),
        (query("histogram_quantile(0.9, sum by (le) (x_bucket))"), ["9 spec.metrics[0].query nan-when-idle"]),
        (query('histogram_quantile(0.9, sum by (le) (x_bucket{a!="b"})) >= 0 or 0 * sum(x_count)'), []),
        (
            metrics("signal: running, target: {type: PodsAverage, averageValue: 256}"),
            ["9 spec.metrics[0].target bounded-running"],
        ),
        (metrics("signal: running, target: {type: PodsAverage, averageValue: 10}"), []),
        (
            metrics("signal: kvCacheUsage, target: {type: PodsAverage, averageValue: 80}"),
            ["9 spec.metrics[0].target share-above-one"],
        ),
        (
            metrics("signal: kvCacheUsage, target: {type: PodsAverage, averageValue: 0.95}"),
            ["9 spec.metrics[0].target no-headroom"],
        ),
        (metrics("signal: kvCacheUsage, target: {type: PodsAverage, averageValue: 0.9}"), []),
        (
            metrics(
                "signal: waiting, target: {type: PodsAverage, averageValue: 1}",
                "signal: gpuUtilization, role: Guard, target: {type: PodsAverage, averageValue: 0.9}",
            ),
            ["8 spec.metrics waiting-only"],
        ),
        (
            metrics(
                "signal: waiting, target: {type: PodsAverage, averageValue: 1}",
                "signal: ttft, target: {type: Value, value: 1}",
            ),
            [],
        ),
        (
            metrics(
                "signal: running+waiting, missingData: Zero, maxAgeSeconds: 29, "
                "target: {type: PodsAverage, averageValue: 1}"
            ),
            [
                "9 spec.metrics[0].missingData missing-as-zero",
                "9 spec.metrics[0].maxAgeSeconds short-max-age",
            ],
        ),
        (
            metrics(
                "signal: requestsPerSecond, windowSeconds: 29, target: {type: PodsAverage, averageValue: 1}"
            ),
            ["9 spec.metrics[0].windowSeconds short-window"],
        ),
    ],
)
def test_metrics_that_mislead(of: str, expected: list[str]) -> None:
    assert found(of=of) == expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (query("sum(vllm:gpu_cache_usage_perc)"), "renamed-metric"),
        (query('sum({__name__="vllm:gpu_cache_usage_perc"})'), "renamed-metric"),
        (query("sum(vllm:kv_cache_usage_perc or vllm:gpu_cache_usage_perc)"), None),
        (query("sum(rate(vllm:time_per_output_token_seconds_sum[1m]))"), "renamed-metric"),
        (query("sum(rate(vllm:gpu_prefix_cache_hits_total[1m]))"), "renamed-metric"),
        (query("sum(my:vllm:gpu_cache_usage_perc)"), None),
        (query("sum(vllm:num_requests_swapped)"), "removed-metric"),
        (query("vllm:num_requests_running"), "unaggregated-query"),
        (query("count_over_time(vllm:num_requests_running[1m])"), "unaggregated-query"),
        (query('vllm:num_requests_running{job="sum(x)"} # sum(x)'), "unaggregated-query"),
        (query("sum by (model_name) (vllm:num_requests_running)"), None),
        (query("sum(vllm:num_requests_running) by (model_name)"), None),
        (query("vllm:num_requests_running", "PodsAverage"), None),
        (query("sum(vllm:num_requests_running)", "PodsAverage"), "pod-label-dropped"),
        (query("sum by (model_name) (vllm:num_requests_running)", "PodsAverage"), "pod-label-dropped"),
        (query("sum by (pod, namespace) (vllm:num_requests_running)", "PodsAverage"), None),
        (query("sum without (engine) (vllm:num_requests_running)", "PodsAverage"), None),
        (query("sum without (pod) (vllm:num_requests_running)", "PodsAverage"), "pod-label-dropped"),
        (
            query(
                'label_replace(sum by (exported_pod) (x), "pod", "$1", "exported_pod", "(.*)")', "PodsAverage"
            ),
            None,
        ),
        (query("sum(vllm:prompt_tokens_total)"), "raw-counter"),
        (query("sum(rate(vllm:prompt_tokens_total[1m]))"), None),
    ],
)
def test_queries_that_mislead(of: str, expected: str | None) -> None:
    warnings = found(of=of)
    assert warnings == ([] if expected is None else [f"9 spec.metrics[0].query {expected}"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "behavior: {scaleDown: {stabilizationWindowSeconds: 0}}",
            "11 spec.behavior.scaleDown.stabilizationWindowSeconds no-down-stabilization",
        ),
        ("behavior: {scaleDown: {stabilizationWindowSeconds: 0, selectPolicy: Disabled}}", None),
        (
            "behavior: {scaleUp: {stabilizationWindowSeconds: 121}}",
            "11 spec.behavior.scaleUp.stabilizationWindowSeconds slow-scale-up",
        ),
        (
            "behavior: {scaleUp: {selectPolicy: Disabled}, scaleDown: {selectPolicy: Disabled}}",
            "11 spec.behavior scaling-disabled",
        ),
        ("fallback: {replicas: 11}", "11 spec.fallback.replicas fallback-above-max"),
        ("fallback: {replicas: 0, behavior: Static}", "11 spec.fallback.replicas fallback-zero"),
        ("fallback: {replicas: 0}", None),
    ],
)
def test_behavior_that_harms(line: str, expected: str | None) -> None:
    assert found(line) == ([] if expected is None else [expected])


def test_a_schedule_may_raise_what_a_fallback_can_reach() -> None:
    window = "schedules: [{name: a, cron: 0 8 * * *, durationSeconds: 60, maxReplicas: 20}]"
    assert found("fallback: {replicas: 20}", window) == []


def test_equal_bounds_do_nothing_without_a_schedule() -> None:
    same = "  minReplicas: 3\n  maxReplicas: 3\n"
    window = "schedules: [{name: a, cron: 0 8 * * *, durationSeconds: 60, maxReplicas: 20}]"
    assert found(replicas=same) == ["7 spec.minReplicas fixed-replicas"]
    assert found(window, replicas=same) == []


def test_zero_replicas_need_a_signal_that_exists_there() -> None:
    blind = ["7 spec.minReplicas blind-at-zero"]
    assert found(replicas=TO_ZERO) == blind
    assert found(replicas=TO_ZERO, of=GATEWAY) == []
    assert found(replicas=TO_ZERO, of=query("sum(vllm:num_requests_running)")) == blind
    assert found(replicas=TO_ZERO, of=query("sum(vllm:num_requests_running) or vector(0)")) == []
    assert found(replicas=TO_ZERO, of=query("sum(pubsub_undelivered)")) == []


@pytest.mark.parametrize("signal", ["ttft", "itl", "gatewayQueue"])
def test_with_hpas_rules_what_is_absent_when_idle_holds_for_ever(signal: str) -> None:
    second = metrics(f"signal: {signal}, target: {{type: Value, value: 2}}").removeprefix("  metrics:\n")
    assert found(of=METRICS + second) == []
    warned = found("semantics: HPA", of=METRICS + second)
    assert [item.split()[-1] for item in warned] == ["absent-when-idle"]


def test_a_percentage_of_nothing_never_leaves_zero() -> None:
    assert found(MORE_PODS, replicas=TO_ZERO, of=GATEWAY) == ["7 spec.minReplicas stuck-at-zero"]
    assert found(MORE_PODS) == []


@pytest.mark.parametrize("choice", ["Min", "Disabled"])
def test_a_choice_that_allows_nothing_from_zero_is_as_bad(choice: str) -> None:
    behavior = f"behavior: {{ scaleUp: {{ selectPolicy: {choice} }} }}"
    assert "7 spec.minReplicas stuck-at-zero" in found(behavior, replicas=TO_ZERO, of=GATEWAY)


def test_a_schedule_that_allows_zero_counts_too() -> None:
    window = "schedules: [{name: a, cron: 0 8 * * *, durationSeconds: 60, minReplicas: 0}]"
    assert found(window) == ["11 spec.schedules[0].minReplicas blind-at-zero"]


def test_the_library_is_clean_except_for_what_it_explains() -> None:
    warnings = {
        name: [item.rule for loaded in load_policies(library_path(name)) for item in lint(loaded)]
        for name in library_names()
    }
    assert {name: ids for name, ids in warnings.items() if ids} == {
        "gpu-utilization": ["utilization-only"],
        "queue-size": ["waiting-only"],
    }
    assert "utilization-only" in library_path("gpu-utilization").read_text()
    assert "waiting-only" in library_path("queue-size").read_text()
