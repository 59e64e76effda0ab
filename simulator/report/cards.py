"""The headline figures of a report, as cards, and the table that compares runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from simulator.number_formats import (
    cost_remark,
    count,
    decimal,
    dollars,
    goal,
    latency,
    limit,
    rejection_remark,
    share,
)
from simulator.report.comparison_rows import ComparisonRow, best, rows_of
from simulator.report.markup import Markup, element, table
from simulator.vllm.request_table import Slo


def cards(summary: dict[str, Any], slo: Slo) -> Markup:
    """One run's headline figures, as a list of terms."""
    return element("dl", *_cards(summary, slo), class_="cards")


def rejections(summary: dict[str, Any]) -> tuple[Markup, ...]:
    """A note for each limit that rejected requests."""
    notes = (f"Rejected: {rejection_remark(one)}." for one in summary["rejected_by"])
    return tuple(element("p", note, class_="note") for note in notes)


def comparison_table(summaries: Sequence[dict[str, Any]]) -> Markup:
    """Every figure of every run: green meets the goal, red misses it; the best of any other row is bold."""
    rows = []
    for row in rows_of(summaries):
        winners = best(row, summaries)
        cells = (
            element("td", row.text(one), class_=f"number {_mark(row, one, index in winners)}".rstrip())
            for index, one in enumerate(summaries)
        )
        rows.append(element("tr", element("th", row.title, scope="row"), *cells))
    headings = ("Figure", *(summary["label"] for summary in summaries))
    return table(headings, rows, caption="Runs compared", class_="comparison")


def _mark(row: ComparisonRow, summary: dict[str, Any], best_of_row: bool) -> str:
    if row.judged and summary["verdict"] is not None:
        return _standing(summary)
    return "best" if best_of_row else ""


def _standing(summary: dict[str, Any]) -> str:
    return "reached" if summary["verdict"]["holds"] else "failed"


def _cards(summary: dict[str, Any], slo: Slo) -> Iterator[Markup]:
    yield _attainment(summary)
    yield _late("TTFT p95", summary["ttft_s"]["p95"], slo.ttft_s)
    yield _late("TPOT p95", summary["tpot_s"]["p95"], slo.tpot_s)
    yield _card(
        "GPU-hours", decimal(summary["gpu_hours"]), f"{decimal(summary['replica_hours'])} replica-hours"
    )
    yield _card("Cost", dollars(summary["cost_usd"]), cost_remark(summary))
    replicas = summary["replicas"]
    turns = summary["direction_changes"]
    remark = f"mean; {replicas['max']} at most, {turns} change{'' if turns == 1 else 's'} of direction"
    yield _card("Replicas", decimal(replicas["mean"]), remark)
    lost = summary["rejected"] + summary["unfinished"]
    remark = f"{count(summary['rejected'])} rejected, {count(summary['unfinished'])} unfinished"
    yield _card("Not served", count(lost), remark)


def _attainment(summary: dict[str, Any]) -> Markup:
    limits = f"of {count(summary['requests'])} requests met both limits"
    verdict = summary["verdict"]
    if verdict is None or verdict["attainment"] is None:
        return _card("SLO attainment", share(summary["slo_attainment"]), limits)
    word = "holds" if verdict["holds"] else "misses"
    remark = f"{word} the goal of {goal(verdict['goal'])}; {share(summary['slo_attainment'])} {limits}"
    return _card("SLO attainment", share(verdict["attainment"]), remark, _standing(summary))


def _late(title: str, value: float | None, most: float) -> Markup:
    over = value is not None and value > most
    relation = "over" if over else "within"
    return _card(title, latency(value), f"{relation} the {limit(most)} limit", "over" if over else "")


def _card(title: str, value: str, remark: str, mark: str = "") -> Markup:
    shown = element("dd", value, class_=f"value {mark}".rstrip())
    return element("div", element("dt", title), shown, element("dd", remark, class_="remark"))
