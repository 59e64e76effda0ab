"""The figures of a run, against runs small enough to check by hand."""

from __future__ import annotations

import json
import random
import statistics
from array import array
from dataclasses import replace

import pytest

from simulator.report.quantiles import distribution, quantile
from simulator.report.summary import summarize
from simulator.run.billing import most_billed, replica_seconds
from simulator.run.result import RunResult
from simulator.startup.replica_life import ReplicaLife
from simulator.vllm.request_table import RequestOutcome, RequestTable, TokenLimit

from .factory import empty_result, make_result, report_json

KEYS = [
    "label",
    "requests",
    "completed",
    "rejected",
    "rejected_by",
    "unfinished",
    "slo_attainment",
    "verdict",
    "ttft_s",
    "tpot_s",
    "e2e_s",
    "replica_hours",
    "gpu_hours",
    "idle_node_hours",
    "cost_usd",
    "cost_usd_per_month",
    "cost_usd_per_million_output_tokens",
    "price",
    "replicas",
    "starts",
    "direction_changes",
    "preemptions",
    "prefix_queried_tokens",
    "prefix_hit_tokens",
    "end_s",
    "inputs",
]


def table_of(*rows: tuple[RequestOutcome, int, float, float]) -> RequestTable:
    table = RequestTable()
    for outcome, output_tokens, ttft_s, e2e_s in rows:
        row = table.add(0.0, 10, output_tokens)
        if outcome is RequestOutcome.COMPLETED:
            table.ttft_s[row] = ttft_s
            table.complete(row, e2e_s)
        elif outcome is RequestOutcome.REJECTED:
            table.reject(row, TokenLimit("kv_cache_tokens", 16_000))
    return table


def with_requests(*rows: tuple[RequestOutcome, int, float, float]) -> RunResult:
    return replace(empty_result(), requests=table_of(*rows))


def test_every_request_ends_as_exactly_one_outcome() -> None:
    figures = summarize(make_result())
    assert figures["requests"] == figures["completed"] + figures["rejected"] + figures["unfinished"]
    assert min(figures["completed"], figures["rejected"], figures["unfinished"]) > 0


@pytest.mark.parametrize(
    ("row", "attainment"),
    [
        pytest.param((RequestOutcome.COMPLETED, 11, 2.0, 3.0), 1.0, id="exactly on both limits"),
        pytest.param((RequestOutcome.COMPLETED, 11, 2.001, 2.5), 0.0, id="first token late"),
        pytest.param((RequestOutcome.COMPLETED, 11, 0.5, 1.6), 0.0, id="later tokens slow"),
        pytest.param((RequestOutcome.COMPLETED, 1, 2.0, 9.0), 1.0, id="one token has no tpot"),
        pytest.param((RequestOutcome.COMPLETED, 1, 2.1, 2.1), 0.0, id="one token, late"),
        pytest.param((RequestOutcome.REJECTED, 11, 0.0, 0.0), 0.0, id="rejected"),
        pytest.param((RequestOutcome.UNFINISHED, 11, 0.0, 0.0), 0.0, id="unfinished"),
    ],
)
def test_attainment_of_one_request(row: tuple[RequestOutcome, int, float, float], attainment: float) -> None:
    assert summarize(with_requests(row))["slo_attainment"] == attainment


def test_rejected_and_unfinished_requests_count_as_misses_but_not_in_latencies() -> None:
    figures = summarize(
        with_requests(
            (RequestOutcome.COMPLETED, 11, 0.5, 1.0),
            (RequestOutcome.REJECTED, 11, 0.0, 0.0),
            (RequestOutcome.UNFINISHED, 11, 0.0, 0.0),
        )
    )
    assert figures["slo_attainment"] == 0.333333
    assert figures["ttft_s"] == {"mean": 0.5, "p50": 0.5, "p90": 0.5, "p95": 0.5, "p99": 0.5}
    assert figures["tpot_s"]["mean"] == 0.05


def test_a_run_without_requests_has_no_attainment_and_no_latencies() -> None:
    figures = summarize(empty_result())
    assert figures["slo_attainment"] is None
    assert figures["ttft_s"] == dict.fromkeys(("mean", "p50", "p90", "p95", "p99"))
    assert figures["replicas"] == {"mean": None, "max": 0}


@pytest.mark.parametrize("count", [2, 3, 10, 1001])
def test_quantiles_are_the_inclusive_ones_of_the_standard_library(count: int) -> None:
    rng = random.Random(count)
    values = [rng.lognormvariate(0, 2) for _ in range(count)]
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    found = distribution(array("d", values))
    assert [found["p50"], found["p90"], found["p95"], found["p99"]] == pytest.approx(
        [hundredths[49], hundredths[89], hundredths[94], hundredths[98]]
    )
    assert found["mean"] == pytest.approx(statistics.fmean(values))


def test_a_single_value_is_its_every_quantile() -> None:
    assert [quantile([3.5], q) for q in (0.0, 0.5, 1.0)] == [3.5, 3.5, 3.5]


def test_replicas_are_billed_from_order_to_end_of_drain() -> None:
    lives = (
        ReplicaLife("a", 0.0, 0.0, None, 3600.0),
        ReplicaLife("b", 600.0, 700.0, 1500.0, 1800.0),
        ReplicaLife("c", 1800.0, None, None, 2400.0),
    )
    figures = summarize(replace(empty_result(), replicas=lives, end_s=3600.0, gpus_per_replica=2))
    assert replica_seconds(lives) == 3600 + 1200 + 600
    assert figures["replica_hours"] == 1.5
    assert figures["gpu_hours"] == 3.0
    assert figures["replicas"] == {"mean": 1.5, "max": 2}, "c starts when b ends"
    assert most_billed(lives) == 2


def test_one_run_is_one_object_with_the_declared_keys() -> None:
    document = json.loads(report_json([make_result()]))
    assert list(document) == KEYS
    assert document["inputs"]["seed"] == 0


def test_several_runs_are_listed_in_order() -> None:
    document = json.loads(report_json([make_result("chat"), make_result("4 replicas", fixed=4)]))
    assert list(document) == ["runs"]
    assert [run["label"] for run in document["runs"]] == ["chat", "4 replicas"]


def test_the_same_run_gives_the_same_bytes() -> None:
    assert report_json([make_result(seed=7)]) == report_json([make_result(seed=7)])
    assert report_json([make_result(seed=7)]) != report_json([make_result(seed=8)])


def test_figures_have_at_most_six_decimals() -> None:
    figures = json.loads(report_json([make_result()]))
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        assert all(value == round(value, 6) for value in figures[name].values())
