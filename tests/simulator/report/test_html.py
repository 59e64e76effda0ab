"""The HTML report as text: complete, escaped, offline, small, the same for the same runs."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from autoscaler.decision.types import Decision, Observation, Reason, Step
from autoscaler.history.records import DecisionRecord
from simulator.report.decision_groups import holds, scalings
from simulator.report.markup import Markup, element, markup
from simulator.run.result import RunResult
from simulator.startup.prices import Price

from .factory import empty_result, make_result, report_html, report_text

HOSTILE = "</script><script>alert('x')</script>\u2028&\""
FETCHING = frozenset({"link", "img", "iframe", "object", "embed", "audio", "video", "source", "base"})


class Page(HTMLParser):
    """Which elements a page has, which attributes, and which text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def count(self, tag: str, **attributes: str) -> int:
        wanted = attributes.items()
        return sum(one == tag and wanted <= found.items() for one, found in self.elements)


def record(current: int, desired: int, now: float = 0.0, message: str = "m") -> DecisionRecord:
    steps = (Step("stage", desired, Reason.ABOVE_TARGET, message),)
    decision = Decision(current, desired, Reason.READY_FOR_NEW_SCALE, message, steps)
    return DecisionRecord(now, Observation(current, current, (), ()), decision)


def plots_of(html: str) -> list[str]:
    return re.findall(r'<figure data-plot="([a-z-]+)"', html)


def test_one_run_has_every_plot_and_no_comparison() -> None:
    html = report_html([make_result()])
    assert plots_of(html) == ["demand", "load", "ttft", "tpot", "cost", "lives"]
    assert 'id="comparison"' not in html


def test_the_page_and_the_terminal_say_what_was_turned_away_and_what_stood_idle() -> None:
    price = Price(10.0, "a3-highgpu-1g", "spot", "2026-09-26", "a page")
    result = replace(make_result(), price=price, idle_node_s=1800.0)
    page = " ".join(Page(report_html([result])).texts)
    terminal = " ".join(report_text([result]).split())
    for told in (
        "$10.00 a GPU-hour, spot a3-highgpu-1g, list price of 2026-09-26; 0.50 hours of idle nodes included",
        "with more tokens than max_model_len_tokens (8,192), prompt and output together",
    ):
        assert told in page
        assert told in terminal


def test_several_runs_have_a_comparison_and_a_section_each() -> None:
    html = report_html([make_result("chat"), make_result("4 replicas", fixed=4)])
    assert plots_of(html)[:3] == ["compare-ready", "compare-attainment", "compare-cost"]
    assert len(plots_of(html)) == 3 + 2 * 6
    assert Page(html).count("section", id="run-1") == 1
    assert "The number of replicas was fixed: there are no decisions." in html


def test_every_scaling_has_a_row_with_its_steps_and_holds_are_counted() -> None:
    result = make_result()
    page = Page(report_html([result]))
    changes = scalings(result.decisions)
    rows = [found for tag, found in page.elements if tag == "tr" and "data-direction" in found]
    assert [row["data-reason"] for row in rows] == [str(one.decision.reason) for one in changes]
    assert page.texts.count("Steps of this decision") == len(changes)
    assert page.texts.count("stabilization") == len(changes)
    assert sum(hold.count for hold in holds(result.decisions)) + len(changes) == len(result.decisions)


def test_every_input_stands_in_the_report() -> None:
    texts = Page(report_html([make_result()])).texts
    for name in ("trace.span_s", "policy.maxReplicas", "slo.ttft_s", "seed", "routing"):
        assert name in texts


def test_a_hostile_label_and_message_stay_text() -> None:
    result = replace(make_result(HOSTILE), decisions=(record(1, 2, message=HOSTILE),))
    html = report_html([result, make_result()])
    page = Page(html)
    assert page.count("script") == 5, "the data, uPlot and our three files"
    assert any("alert('x')" in text for text in page.texts)
    assert "<script>alert" not in html


def test_the_page_asks_for_nothing_from_outside() -> None:
    page = Page(report_html([make_result()]))
    assert not [tag for tag, _ in page.elements if tag in FETCHING]
    assert not [found for _, found in page.elements if found.keys() & {"src", "srcset", "action", "data"}]
    links = [found["href"] for tag, found in page.elements if tag == "a"]
    assert all(str(link).startswith("#") for link in links)
    assert page.count("meta", **{"http-equiv": "Content-Security-Policy"}) == 1


def test_the_scripts_and_styles_are_safe_to_write_into_a_page() -> None:
    for asset in files("simulator.report").joinpath("assets").iterdir():
        if asset.name.endswith((".js", ".css")):
            text = asset.read_text(encoding="utf-8")
            assert text.isascii(), asset.name
            assert "</s" not in text.lower(), asset.name
            assert "<!--" not in text, asset.name
            assert "url(" not in text, asset.name


@pytest.mark.parametrize("results", [[empty_result()], [empty_result(), make_result(span_s=60.0)]])
def test_a_run_in_which_nothing_happened_still_has_a_report(results: list[RunResult]) -> None:
    assert "SLO attainment" in report_html(results)


def test_the_same_runs_give_the_same_text() -> None:
    assert report_html([make_result(seed=5)]) == report_html([make_result(seed=5)])


@pytest.mark.slow
def test_a_day_that_scales_at_every_sync_is_a_file_below_3_mb() -> None:
    day = make_result(span_s=86_400.0, base_rps=0.2, interval_s=5.0)
    message = "recommended 12 replicas: the sum of 14.40 over a target of 1.2 per replica is 12"
    flapping = tuple(record(index % 2, 1 - index % 2, index * 15.0, message) for index in range(5760))
    html = report_html([replace(day, decisions=flapping)])
    assert len(html) < 3_000_000
    assert "The first 600 of 5,760; --decisions writes all." in html


def test_holds_are_grouped_by_reason_with_the_last_message() -> None:
    held = [record(3, 3, 15.0, "first"), record(3, 4, 30.0), record(4, 4, 45.0, "last")]
    (only,) = holds(held)
    assert (only.reason, only.count, only.first_s, only.last_s) == ("ReadyForNewScale", 2, 15.0, 45.0)
    assert only.message == "last"


def test_text_is_escaped_unless_it_is_markup_already() -> None:
    assert markup("<&\"'") == "&lt;&amp;&quot;&#x27;"
    assert element("p", "<b>", Markup("<i>")) == "<p>&lt;b&gt;<i></p>"
    assert element("td", class_='a"b', hidden=True, lang=False) == '<td class="a&quot;b" hidden></td>'
    assert markup("\udc80") == "?", "a byte of a file name that is no text"
