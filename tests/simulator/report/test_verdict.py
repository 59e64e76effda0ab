"""A verdict as terminal and page show it: the sentence that opens, colours, findings, regret."""

from __future__ import annotations

import re
from array import array
from typing import Any

import pytest

from simulator import number_formats as formats
from simulator.report.comparison_rows import ROWS, best
from simulator.report.html import render_html
from simulator.report.review import Review
from simulator.report.summary import summarize
from simulator.report.terminal import WIDTH, render_terminal
from simulator.report.verdict_text import opening, remarks
from simulator.run.result import RunResult
from simulator.verdict.findings import Finding
from simulator.verdict.fixed import FixedReplicas
from simulator.verdict.goal import Goal, Verdict

from .factory import make_result

RED, GREEN = "\x1b[31m", "\x1b[32m"
RESULTS = [make_result("chat"), make_result("queue-size", seed=3)]
TWO = FixedReplicas(2, replica_hours=2.0, idle_node_s=0.0, attainment=1.0)
FINDING = Finding("spec.maxReplicas", "the metrics asked for <more> than 8 replicas for 12 minutes")


def verdict(missed: int, unavoidable: int = 0, requests: int = 1000) -> Verdict:
    return Verdict(Goal(0.99), requests, missed, unavoidable, array("d", range(missed - unavoidable)))


def reviewed(*reviews: Review) -> tuple[list[RunResult], list[dict[str, Any]]]:
    results = RESULTS[: len(reviews)]
    return results, [summarize(result, one) for result, one in zip(results, reviews, strict=True)]


HOLDS = Review(verdict(5), baseline=TWO, baseline_sought=True)
MISSES = Review(verdict(100), [FINDING], baseline=TWO, baseline_sought=True)


def sentence(*reviews: Review) -> str:
    return " ".join(opening(reviewed(*reviews)[1]))


def test_the_opening_says_who_holds_by_how_much_and_what_is_cheapest() -> None:
    text = sentence(HOLDS, MISSES)
    assert text.startswith("chat holds 99%: 99.50%, 0.50 points above, for ")
    assert ". queue-size misses 99%: 90.00%, 9.00 points below, for " in text
    assert text.endswith(
        "The fewest fixed replicas that hold: 2, for 2.00 GPU-hours. Cheapest that holds: 2 replicas fixed."
    )


@pytest.mark.parametrize(
    ("goal", "missed", "requests", "text"),
    [
        (0.99999, 1, 50_000, "misses 99.999%: 99.998%, 0.001 points below"),
        (0.99999, 11, 1_000_000, "misses 99.999%: 99.9989%, 0.0001 points below"),
        (0.99999, 101, 10_000_000, "misses 99.999%: 99.9990%, <0.0001 points below"),
        (0.994527, 5470, 1_000_000, "holds 99.4527%: 99.4530%, 0.0003 points above"),
        (0.99, 1000, 100_000, "holds 99%: 99.00%, 0.00 points above"),
        (0.99999, 0, 1000, "holds 99.999%: 100%, 0.001 points above"),
        (0.9, 1, 100_000, "holds 90%: >99.99%, 10.00 points above"),
    ],
)
def test_the_digits_distinguish_the_attainment_from_the_goal(
    goal: float, missed: int, requests: int, text: str
) -> None:
    judged = Verdict(Goal(goal), requests, missed, 0, array("d", [0.0] * missed))
    assert sentence(Review(judged)).startswith(f"chat {text}, for ")


@pytest.mark.parametrize(
    ("reviews", "end"),
    [
        ((Review(verdict(5)),), "Cheapest that holds: chat."),
        ((Review(verdict(100)),), "None of the runs holds."),
        (
            (Review(verdict(100), baseline_sought=True),),
            "No fixed number of replicas holds. None of the runs holds.",
        ),
    ],
    ids=["no baseline", "no baseline, missed", "none holds at all"],
)
def test_the_opening_ends_with_what_is_known_to_hold(reviews: tuple[Review, ...], end: str) -> None:
    assert sentence(*reviews).endswith(end)


def test_the_cheapest_is_who_costs_least_idle_nodes_included() -> None:
    """The run has fewer GPU-hours, and nodes that stood idle."""
    _, summaries = reviewed(HOLDS)
    summaries[0] |= {"gpu_hours": 1.0, "cost_usd": 50.0}
    summaries[0]["verdict"]["cheapest_fixed"]["cost_usd"] = 20.0
    assert opening(summaries)[-1].endswith("Cheapest that holds: 2 replicas fixed.")


def test_where_every_request_misses_on_an_idle_replica_too_there_is_no_margin() -> None:
    hopeless = Review(verdict(1000, unavoidable=1000))
    assert sentence(hopeless).startswith("chat: every request misses even on an idle replica, for ")
    results, summaries = reviewed(hopeless)
    assert render_html(results, summaries)
    assert render_terminal(results, summaries)


def test_without_a_goal_there_is_no_opening() -> None:
    assert opening([summarize(RESULTS[0])]) == []


def test_the_terminal_opens_with_it_in_80_columns_and_numbers_the_findings() -> None:
    results, summaries = reviewed(HOLDS, MISSES)
    text = render_terminal(results, summaries)
    starts = ("chat holds", "queue-size misses", "The fewest")
    assert all(any(line.startswith(start) for line in text.splitlines()) for start in starts)
    assert " ".join(text.split("\n\n")[0].split()) == sentence(HOLDS, MISSES)
    assert max(map(len, text.splitlines())) <= WIDTH
    told = " ".join(text.split())
    assert f"Finding 1: {FINDING.message} ({FINDING.field})" in told


def test_green_holds_and_red_misses_and_nothing_else_is_coloured_so() -> None:
    lines = render_terminal(*reviewed(HOLDS, MISSES), color=True).splitlines()
    coloured = [line for line in lines if RED in line or GREEN in line]
    assert [line.split("  ")[0] for line in coloured] == ["SLO attainment", "Of avoidable"]
    assert all(line.index(GREEN) < line.index(RED) for line in coloured)


def test_the_page_opens_with_it_marks_the_rows_and_lists_the_findings() -> None:
    html = render_html(*reviewed(HOLDS, MISSES))
    shown = re.findall(r'<p class="opening">(.*?)</p>', html)
    assert " ".join(shown) == sentence(HOLDS, MISSES)
    assert len(shown) == 3
    assert html.count('class="number reached"') == html.count('class="number failed"') == 2
    assert 'class="value reached"' in html
    assert 'class="value failed"' in html
    [found] = re.findall(r'<ol class="findings">(.*?)</ol>', html)
    assert "&lt;more&gt; than 8 replicas" in found
    assert "<code>spec.maxReplicas</code>" in found


def test_the_bound_has_a_row_and_a_remark_only_where_a_run_was_compared_with_it() -> None:
    for render in (render_terminal, render_html):
        assert "Over the bound" not in render(*reviewed(HOLDS, MISSES))
        bounded = [Review(verdict(missed), bound_replica_hours=2.0) for missed in (5, 100)]
        assert "Over the bound" in render(*reviewed(*bounded))
    _, [summary] = reviewed(Review(verdict(100), bound_replica_hours=2.0))
    [remark] = remarks(summary)
    assert summary["verdict"]["regret"] is None
    assert remark == (
        "Regret: -, as the goal is missed; the 2.00 replica-hours of the clairvoyant bound reach it"
    )
    _, [summary] = reviewed(Review(verdict(5), bound_replica_hours=2.0))
    [remark] = remarks(summary)
    regret = summary["replica_hours"] / 2
    assert remark == f"Regret: {regret:.2f} times the 2.00 replica-hours of the clairvoyant bound"


def test_a_baseline_that_nodes_limit_says_so() -> None:
    _, summaries = reviewed(Review(verdict(100), baseline_sought=True))
    summaries[0]["inputs"] = {"nodes": {"most": 1, "warm": 0, "idle_s": 600.0}}
    assert opening(summaries)[-1].startswith("No fixed number of replicas within 1 node holds.")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.99, "99%"), (0.999, "99.9%"), (0.07, "7%"), (0.9999999999, "99.99999999%"), (1 - 1e-13, None)],
)
def test_a_goal_is_never_rounded_up_to_100(share: float, text: str | None) -> None:
    shown = formats.goal(share)
    assert shown != "100%"
    assert text is None or shown == text


def test_a_run_that_misses_is_not_the_cheapest() -> None:
    """It spends less because it serves less."""
    _, summaries = reviewed(HOLDS, MISSES)
    summaries[1]["gpu_hours"] = summaries[0]["gpu_hours"] / 2
    [row] = [row for row in ROWS if row.title == "GPU-hours"]
    assert best(row, summaries) == set()
    summaries[1]["verdict"]["holds"] = True
    assert best(row, summaries) == {1}
