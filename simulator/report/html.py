"""The HTML report: one file that needs neither a network nor another file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from simulator.number_formats import clock, limit
from simulator.report.cards import cards, comparison_table, rejections
from simulator.report.decision_section import MAX_SHOWN, decision_section
from simulator.report.inputs import brief_pairs, input_pairs
from simulator.report.markup import Markup, element, join, table
from simulator.report.plot_data import plot_data, script_json
from simulator.report.plot_section import comparison_figures, plot, run_figures
from simulator.report.start_section import start_section
from simulator.report.verdict_text import findings, opening, remarks
from simulator.run.result import RunResult

_STYLES = ("uPlot.min.css", "report.css")
_SCRIPTS = ("uPlot.iife.min.js", "drawing.js", "plots.js", "page.js")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def render_html(results: Sequence[RunResult], summaries: Sequence[dict[str, Any]]) -> str:
    """The report of one run, or of several with a comparison first; ``summaries``: from ``summarize``.

    The same runs give the same text. The page's Content-Security-Policy forbids every request.
    """
    title = "Simulated: " + ", ".join(result.label for result in results)
    document = element(
        "html",
        element("head", *head(title)),
        element("body", _page(results, summaries), *_scripts(results)),
        lang="en",
    )
    return f"<!doctype html>\n{document}\n"


def head(title: str) -> Iterator[Markup]:
    """The head of a page: the Content-Security-Policy that forbids every request, and the styles."""
    yield element("meta", charset="utf-8")
    yield element("meta", http_equiv="Content-Security-Policy", content=_POLICY)
    yield element("meta", name="viewport", content="width=device-width, initial-scale=1")
    yield element("meta", name="color-scheme", content="light dark")
    yield element("title", title)
    yield from (element("style", Markup(_asset(name))) for name in _STYLES)


def _scripts(results: Sequence[RunResult]) -> Iterator[Markup]:
    data = Markup(script_json(plot_data(results)))
    yield element("script", data, id="data", type="application/json")
    yield from (element("script", Markup(_asset(name))) for name in _SCRIPTS)


def _asset(name: str) -> str:
    return files("simulator.report").joinpath("assets", name).read_text(encoding="utf-8")


def _page(results: Sequence[RunResult], summaries: Sequence[dict[str, Any]]) -> Markup:
    shown = MAX_SHOWN // max(1, len(results))
    several = len(results) > 1
    runs = [
        _run(index, result, summary, shown, heading=several)
        for index, (result, summary) in enumerate(zip(results, summaries, strict=True))
    ]
    return join(
        (
            _header(results),
            element("p", class_="failure", role="alert", hidden=True),
            element("main", *_opening(summaries), _comparison(summaries) if several else "", *runs),
            _toolbar(),
        )
    )


def _header(results: Sequence[RunResult]) -> Markup:
    names = [result.label for result in results]
    heading = element("h1", names[0] if len(names) == 1 else f"{len(names)} runs compared")
    links = (element("a", name, href=f"#run-{index}") for index, name in enumerate(names))
    several = len(names) > 1
    navigation = element("nav", *links, aria_label="Runs") if several else ""
    return element("header", element("p", "autoscale simulate", class_="kicker"), heading, navigation)


def _opening(summaries: Sequence[dict[str, Any]]) -> Iterator[Markup]:
    yield from (element("p", sentence, class_="opening") for sentence in opening(summaries))


def _remarks(summary: dict[str, Any]) -> Iterator[Markup]:
    """Further results of a run's goal: unavoidable misses, regret, and the numbered findings."""
    yield from (element("p", remark, class_="note") for remark in remarks(summary))
    found = findings(summary)
    if found:
        items = (
            element("li", f"{finding['message']} ", element("code", finding["field"])) for finding in found
        )
        yield element("h3", "Findings")
        yield element("ol", *items, class_="findings")


def _toolbar() -> Markup:
    buttons = (
        element("button", title, type="button", data_zoom=action, aria_label=spoken)
        for action, title, spoken in (
            ("in", "+", "Zoom in"),
            ("out", "−", "Zoom out"),
            ("earlier", "‹", "Earlier"),
            ("later", "›", "Later"),
            ("reset", "Whole run", "Show the whole run"),
        )
    )
    scale = element("button", "Log scale", type="button", data_scale="log", aria_pressed="true")
    hint = element("span", "Drag on a plot to zoom", class_="hint")
    return element(
        "div", *buttons, scale, hint, class_="toolbar scripted", role="toolbar", aria_label="All plots"
    )


def _comparison(summaries: Sequence[dict[str, Any]]) -> Markup:
    figures = (plot(figure) for figure in comparison_figures())
    return element(
        "section",
        element("h2", "Comparison"),
        comparison_table(summaries),
        element("div", *figures, class_="figures"),
        id="comparison",
    )


def _run(index: int, result: RunResult, summary: dict[str, Any], shown: int, *, heading: bool) -> Markup:
    limits = f"TTFT {limit(result.slo.ttft_s)}, TPOT {limit(result.slo.tpot_s)}"
    figures = (plot(figure, index) for figure in run_figures(result))
    return element(
        "section",
        element("h2", result.label) if heading else "",
        element("p", f"{clock(result.end_s)} simulated; the limits are {limits}.", class_="lead"),
        cards(summary, result.slo),
        *rejections(summary),
        *_remarks(summary),
        element("div", *figures, class_="figures"),
        start_section(result.replicas),
        decision_section(result.decisions, shown, written=result.counts is None or result.counts.written),
        _inputs(result.inputs),
        id=f"run-{index}",
        class_="run",
    )


def _inputs(inputs: Mapping[str, object]) -> Markup:
    rows = (
        element("tr", element("th", element("code", name), scope="row"), element("td", value))
        for name, value in input_pairs(inputs)
    )
    grid = table(("Input", "Value"), rows, caption="Inputs, every default included", class_="inputs")
    brief = ", ".join(f"{name} {value}" for name, value in brief_pairs(inputs))
    every = element("summary", "Every input, defaults included")
    return element(
        "section",
        element("h3", "Inputs"),
        element("p", brief, class_="lead"),
        element("details", every, grid),
    )
