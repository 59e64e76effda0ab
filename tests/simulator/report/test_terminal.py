"""The terminal summary: readable, at most 80 columns, plain unless colour is asked for."""

from __future__ import annotations

import re

import pytest

from simulator.report.inputs import brief_pairs, input_pairs
from simulator.report.sparkline import sparkline
from simulator.report.terminal import WIDTH
from simulator.run.result import RunResult

from .factory import empty_result, make_result, report_text

ESCAPE = re.compile(r"\x1b\[\d+m")


def three_runs() -> list[RunResult]:
    return [make_result("chat"), make_result("queue-size", seed=3), make_result("4 replicas", fixed=4)]


@pytest.mark.parametrize(
    "results",
    [
        pytest.param([make_result()], id="one run"),
        pytest.param(three_runs(), id="three runs"),
        pytest.param([make_result("a-long-policy-name-" * 9), *three_runs()], id="long name, four runs"),
        pytest.param([empty_result()], id="nothing happened"),
    ],
)
def test_no_line_is_wider_than_the_terminal(results: list[RunResult]) -> None:
    assert max(len(line) for line in report_text(results).splitlines()) <= WIDTH


def test_runs_stand_side_by_side_in_order() -> None:
    heading, attainment, *_ = report_text(three_runs()).splitlines()
    assert heading.split("  ")[-1].strip() == "4 replicas"
    assert heading.index("chat") < heading.index("queue-size") < heading.index("4 replicas")
    assert attainment.startswith("SLO attainment")
    assert attainment.count("%") == 3


def test_the_verdict_the_decisions_and_their_reasons_are_told() -> None:
    text = report_text([make_result()])
    assert re.search(r"SLO \(TTFT 2 s, TPOT 100 ms\): met by \d+\.\d+% of [\d,]+ requests", text)
    assert re.search(r"Decisions: 240, scaled up [1-9]\d*, down [1-9]\d*", text)
    assert "Reasons: ScaleDownStabilized" in text


def test_a_fixed_run_says_that_nothing_was_decided() -> None:
    assert "Fixed replicas: no decisions" in report_text([make_result(fixed=4)])


def test_inputs_are_told_in_short_and_shared_ones_only_once() -> None:
    text = report_text(three_runs())
    assert text.count("routing=least-loaded") == 1
    own = text.partition("Inputs of queue-size\n")[2]
    assert own.startswith("  policy=queue-size, seed=3\n")
    assert "maxReplicas" not in text


def test_a_document_is_told_by_its_name_and_what_is_empty_not_at_all() -> None:
    inputs = {
        "policy": {"kind": "ScalingPolicy", "metadata": {"name": "chat"}, "spec": {"maxReplicas": 9}},
        "profile": {"name": "gemma2-9b-h100", "gpu": "H100"},
        "slo": {"ttft_s": 2.0},
        "span_s": None,
        "series": [],
    }
    assert brief_pairs(inputs) == [("policy", "chat"), ("profile", "gemma2-9b-h100"), ("slo.ttft_s", "2.0")]
    assert ("policy.spec.maxReplicas", "9") in input_pairs(inputs)
    assert ("span_s", "-") in input_pairs(inputs)


def test_colour_adds_escapes_and_changes_nothing_else() -> None:
    plain, coloured = (report_text(three_runs(), color=color) for color in (False, True))
    assert ESCAPE.search(plain) is None
    assert ESCAPE.search(coloured) is not None
    assert ESCAPE.sub("", coloured) == plain


def test_a_label_cannot_send_escapes_to_the_terminal() -> None:
    assert "\x1b" not in report_text([make_result("red \x1b[31m alert")])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([0.0, 0.0], "▁▁"),
        ([0.0, 4.0, 8.0], "▁▅█"),
        ([1.0, 3.0, 8.0, 8.0, 0.0, 0.0], "▃█▁"),
    ],
)
def test_a_sparkline_shows_the_mean_of_each_stretch(values: list[float], line: str) -> None:
    assert sparkline(values, 3) == line
