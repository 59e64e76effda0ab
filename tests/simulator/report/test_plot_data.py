"""The columns behind the plots: binned, thinned and laid over each other without lying."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.report.latency_bins import MAX_BINS, bin_width_s, latency_bins
from simulator.report.overlay import held_at, straight_at
from simulator.report.phases import MAX_POINTS as MAX_PHASE_POINTS
from simulator.report.phases import lanes, phase_columns, phase_spans
from simulator.report.plot_data import plot_data, script_json
from simulator.report.summary import summarize
from simulator.report.timeline_rows import MAX_POINTS, timeline_columns
from simulator.run.billing import most_billed, replica_seconds
from simulator.startup.replica_life import ReplicaLife
from simulator.vllm.request_table import RequestOutcome, RequestTable, Slo
from simulator.world.timeline import TimelinePoint

from .factory import empty_result, make_result

SLO = Slo(2.0, 0.1)


@st.composite
def lives(draw: st.DrawFn) -> list[ReplicaLife]:
    times = st.lists(st.integers(0, 500), min_size=2, max_size=4).map(sorted)
    made = []
    for index, moments in enumerate(draw(st.lists(times, max_size=12))):
        ordered, ended = float(moments[0]), float(moments[-1] + 1)
        ready = float(moments[1]) if len(moments) > 2 else None
        drain = float(moments[2]) if len(moments) > 3 else None
        made.append(ReplicaLife(f"pod-{index}", ordered, ready, drain, ended))
    return made


def point(time_s: float, demand_rps: float) -> TimelinePoint:
    return TimelinePoint(
        time_s=time_s,
        demand_rps=demand_rps,
        desired=1,
        ordered=1,
        ready=1,
        running=0,
        waiting=0,
        kv_usage=0.0,
        gateway_queue=0,
    )


def test_a_short_timeline_is_drawn_as_it_is() -> None:
    result = make_result()
    columns = timeline_columns(result.timeline)
    assert columns["time"] == [one.time_s for one in result.timeline]
    assert columns["ready"] == [one.ready for one in result.timeline]


def test_a_thinned_timeline_keeps_peaks_and_mean_demand() -> None:
    points = [point(float(second), 2.0 * (second % 2)) for second in range(86_400)]
    points[40_001] = replace(points[40_001], waiting=77, kv_usage=0.99)
    columns = timeline_columns(points)
    assert len(columns["time"]) <= MAX_POINTS
    assert max(columns["waiting"]) == 77
    assert max(columns["kv"]) == 0.99
    assert set(columns["demand"][:-1]) == {1.0}


@pytest.mark.parametrize(("span_s", "width_s"), [(0.0, 1.0), (240.0, 1.0), (3600.0, 15.0), (86_400.0, 600.0)])
def test_bins_have_a_round_width(span_s: float, width_s: float) -> None:
    assert bin_width_s(span_s) == width_s


@given(st.floats(0, 1e9))
def test_no_span_needs_too_many_bins(span_s: float) -> None:
    assert span_s / bin_width_s(span_s) <= MAX_BINS * (1 + 1e-9)


def test_bins_count_each_miss_once_and_by_the_limit_it_broke() -> None:
    table = RequestTable()
    for arrival, outcome, ttft, e2e in (
        (1.0, RequestOutcome.COMPLETED, 0.5, 1.0),
        (2.0, RequestOutcome.COMPLETED, 3.0, 9.0),
        (3.0, RequestOutcome.REJECTED, 0.0, 0.0),
        (25.0, RequestOutcome.UNFINISHED, 0.0, 0.0),
    ):
        row = table.add(arrival, 10, 11)
        table.outcome[row], table.ttft_s[row], table.e2e_s[row] = outcome, ttft, e2e
    bins = latency_bins(table, SLO, 10.0)
    assert bins["time"] == [5.0, 15.0, 25.0]
    assert bins["arrived"] == [3, 0, 1]
    assert bins["missed"] == [2, 0, 1]
    assert bins["missed_ttft"] == [2, 0, 1]
    assert bins["missed_tpot"] == [1, 0, 0]
    assert bins["ttft_p50"] == [1.75, None, None]


def test_the_bins_miss_exactly_what_the_summary_misses() -> None:
    result = make_result()
    missed = sum(count or 0 for count in latency_bins(result.requests, result.slo, 15.0)["missed"])
    figures = summarize(result)
    assert 1 - missed / figures["requests"] == pytest.approx(figures["slo_attainment"], abs=1e-6)


def test_a_replica_that_never_was_ready_starts_until_it_drains() -> None:
    life = ReplicaLife("pod", 10.0, None, 40.0, 45.0)
    assert list(phase_spans(life)) == [("starting", 10.0, 40.0), ("draining", 40.0, 45.0)]


@given(lives())
def test_phases_bill_exactly_what_the_lives_bill(made: list[ReplicaLife]) -> None:
    columns = phase_columns(made, 501.0, 2)
    billed = [
        sum(row) for row in zip(columns["starting"], columns["ready"], columns["draining"], strict=True)
    ]
    assert columns["time"][0] == 0.0
    assert columns["gpu_hours"][-1] * 3600 == pytest.approx(2 * replica_seconds(made))
    assert max(billed) == most_billed(made)
    assert billed[-1] == 0


def test_a_long_history_of_phases_is_thinned_but_ends_exactly() -> None:
    made = [ReplicaLife(str(index), float(index), None, None, index + 0.5) for index in range(5000)]
    columns = phase_columns(made, 5000.0, 1)
    assert len(columns["time"]) <= MAX_PHASE_POINTS + 1
    assert columns["gpu_hours"][-1] * 3600 == pytest.approx(2500)


@given(lives())
def test_lanes_never_overlap_and_are_as_few_as_possible(made: list[ReplicaLife]) -> None:
    chosen = lanes(made)
    for lane in set(chosen):
        mine = sorted(
            (life.ordered_s, life.ended_s) for life, one in zip(made, chosen, strict=True) if one == lane
        )
        assert all(before[1] <= after[0] for before, after in pairwise(mine))
    assert len(set(chosen)) == most_billed(made)


def test_a_step_series_holds_and_a_line_interpolates() -> None:
    times, values = [10.0, 20.0, 30.0], [1.0, 3.0, 5.0]
    moments = [5.0, 10.0, 15.0, 20.0, 30.0, 35.0]
    assert held_at(times, values, moments) == [None, 1.0, 1.0, 3.0, 5.0, None]
    assert straight_at(times, values, moments) == [None, 1.0, 2.0, 3.0, 5.0, None]
    assert held_at([], [], [1.0]) == straight_at([], [], [1.0]) == [None]


def test_only_several_runs_are_compared_and_on_one_axis() -> None:
    short, long = make_result("short", span_s=600.0), make_result("long", fixed=2)
    assert "comparison" not in plot_data([short])
    both = plot_data([short, long])["comparison"]
    assert {len(column) for column in both["ready"]} == {len(both["time"])}
    assert {len(column) for column in both["attainment"]} == {len(both["bins"])}
    assert both["ready"][0][-1] is None
    assert both["gpu_hours"][1][-1] == 2.0


def test_the_page_data_has_no_angle_bracket_and_is_ascii() -> None:
    label = "</script><script>\u2028 \udc80"
    text = script_json(plot_data([make_result(label, span_s=120.0)]))
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text)["runs"][0]["label"] == label


def test_an_empty_run_has_empty_columns() -> None:
    run = plot_data([empty_result()])["runs"][0]
    assert run["timeline"]["time"] == []
    assert run["latency"]["time"] == []
    assert run["phases"]["gpu_hours"] == [0]
