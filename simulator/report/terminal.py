"""The summary that a run prints: plain text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simulator import number_formats as formats
from simulator.report.comparison_rows import ComparisonRow, best, rows_of
from simulator.report.inputs import Pairs, shared_and_own
from simulator.report.sparkline import sparkline
from simulator.report.verdict_text import findings, opening, remarks
from simulator.run.billing import pending_remark
from simulator.run.result import RunResult

if TYPE_CHECKING:
    from simulator.run.decision_counts import DecisionCounts

WIDTH = 80
_TITLES = 19
_COLUMN = 20
_RUNS_ABREAST = (WIDTH - _TITLES) // _COLUMN
_SPARK = 48
_TOP_REASONS = 3
_BOLD, _RED, _GREEN, _YELLOW, _DIM, _RESET = (f"\x1b[{code}m" for code in (1, 31, 32, 33, 2, 0))


def render_terminal(
    results: Sequence[RunResult], summaries: Sequence[dict[str, Any]], *, color: bool = False
) -> str:
    """Figures side by side, then each run's course, decisions and inputs.

    ``summaries``: from ``summarize``, one for each result. ``color`` adds terminal escapes and changes
    nothing else; leave it off if the output is not a terminal.
    """
    paint = _Paint(color)
    lines: list[str] = []
    if sentences := opening(summaries):
        lines += [*(line for sentence in sentences for line in _wrapped("", sentence)), ""]
    for start in range(0, len(results), _RUNS_ABREAST):
        lines += _table(summaries, range(start, min(start + _RUNS_ABREAST, len(results))), paint)
        lines.append("")
    for result, summary in zip(results, summaries, strict=True):
        lines += _course(result, summary, paint)
        lines.append("")
    lines += _inputs(results, paint)
    return "\n".join(lines) + "\n"


class _Paint:
    """Puts escapes around text that already has its final width."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self._color and text else text


def _table(summaries: Sequence[dict[str, Any]], columns: range, paint: _Paint) -> Iterator[str]:
    labels = (f"{_fit(summaries[index]['label'], _COLUMN - 2):>{_COLUMN}}" for index in columns)
    yield paint(_BOLD, " " * _TITLES + "".join(labels))
    for row in rows_of(summaries):
        winners = best(row, summaries)
        cells = (
            paint(_code(row, summaries[index], index in winners), f"{row.text(summaries[index]):>{_COLUMN}}")
            for index in columns
        )
        yield f"{row.title:<{_TITLES}}" + "".join(cells)


def _code(row: ComparisonRow, summary: dict[str, Any], wins: bool) -> str:
    """Green meets the goal and red misses it; the best of any other row is bold."""
    if row.judged and summary["verdict"] is not None:
        return _GREEN if summary["verdict"]["holds"] else _RED
    return _BOLD if wins else ""


def _course(result: RunResult, summary: dict[str, Any], paint: _Paint) -> Iterator[str]:
    yield paint(_BOLD, _fit(result.label, WIDTH))
    yield from _wrapped("  ", _verdict(result, summary))
    for remark in remarks(summary):
        yield from _wrapped("  ", remark)
    if result.timeline:
        demand = [point.demand_rps for point in result.timeline]
        ready = [float(point.ready) for point in result.timeline]
        yield _spark("Demand", demand, f"up to {max(demand):.3g} req/s", paint)
        yield _spark("Ready", ready, _replicas(ready), paint)
    yield from _wrapped("  Price: ", formats.cost_remark(summary))
    yield from _starts(summary["starts"])
    if pending := pending_remark(result.replicas):
        yield f"  Pending: {pending}"
    yield from _rejected(summary["rejected_by"])
    if asked := summary["prefix_queried_tokens"]:
        found = summary["prefix_hit_tokens"]
        yield f"  Prefix cache: {formats.share(found / asked)} of {asked:,} prompt tokens were found in it"
    yield from _decisions(result.counts)
    for number, finding in enumerate(findings(summary), start=1):
        yield from _wrapped(f"  Finding {number}: ", f"{finding['message']} ({finding['field']})")


def _starts(starts: dict[str, Any]) -> Iterator[str]:
    """The mean seconds of the starts by phase; phases that took no time are left out."""
    if starts["count"]:
        spent = [(name, value) for name, value in starts.items() if name != "count" and value]
        phases = ", ".join(f"{name.removesuffix('_s')} {value:.0f} s" for name, value in spent)
        yield from _wrapped("  Starts: ", f"{starts['count']:,}, on average {phases or 'no time at all'}")


def _spark(title: str, values: list[float], remark: str, paint: _Paint) -> str:
    return f"  {title:<8}{paint(_YELLOW, sparkline(values, _SPARK))}  {remark}"


def _replicas(ready: list[float]) -> str:
    least, most = min(ready), max(ready)
    reach = f"{most:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
    return f"{reach} replica{'' if most == 1 else 's'}"


def _verdict(result: RunResult, summary: dict[str, Any]) -> str:
    attainment = summary["slo_attainment"]
    limits = f"TTFT {formats.limit(result.slo.ttft_s)}, TPOT {formats.limit(result.slo.tpot_s)}"
    if attainment is None:
        return f"SLO ({limits}): no requests"
    requests = formats.counted(summary["requests"], "request")
    return f"SLO ({limits}): met by {formats.share(attainment)} of {requests}"


def _rejected(limits: Sequence[dict[str, Any]]) -> Iterator[str]:
    for limit in limits:
        yield from _wrapped("  Rejected: ", formats.rejection_remark(limit))


def _decisions(counts: DecisionCounts | None) -> Iterator[str]:
    if counts is None:
        yield "  Fixed replicas: no decisions"
        return
    scaled = "scaled" if counts.written else "none written; would have scaled"
    yield f"  Decisions: {counts.decisions:,}, {scaled} up {counts.ups:,}, down {counts.downs:,}"
    top = ", ".join(f"{reason} {count:,}" for reason, count in counts.reasons.most_common(_TOP_REASONS))
    yield from _wrapped("  Reasons: ", top)


def _inputs(results: Sequence[RunResult], paint: _Paint) -> Iterator[str]:
    shared, own = shared_and_own([result.inputs for result in results])
    yield from _pairs("Inputs", shared, paint)
    for result, pairs in zip(results, own, strict=True):
        yield from _pairs(f"Inputs of {result.label}", pairs, paint)


def _pairs(title: str, pairs: Pairs, paint: _Paint) -> Iterator[str]:
    if pairs:
        yield paint(_BOLD, _fit(title, WIDTH))
        text = ", ".join(f"{name}={value}" for name, value in pairs)
        yield from (paint(_DIM, line) for line in _wrapped("  ", text))


def _wrapped(indent: str, text: str) -> list[str]:
    hanging = " " * len(indent)
    return textwrap.wrap(
        _printable(text), WIDTH, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False
    )


def _fit(text: str, width: int) -> str:
    printable = _printable(text)
    return printable if len(printable) <= width else printable[: width - 1] + "…"


def _printable(text: str) -> str:
    """Text without control characters: a label or a policy's message must not control the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
