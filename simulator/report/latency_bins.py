"""Latencies over time: quantiles and SLO misses of the requests that arrived in each bin."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.report.quantiles import quantile
from simulator.vllm.request_table import RequestOutcome, RequestTable, Slo

MAX_BINS = 240
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(slots=True)
class _Bin:
    arrived: int = 0
    missed: int = 0
    missed_ttft: int = 0
    missed_tpot: int = 0
    ttft_s: list[float] = field(default_factory=list)
    tpot_s: list[float] = field(default_factory=list)


def bin_width_s(span_s: float) -> float:
    """The roundest width in seconds that divides a span into at most ``MAX_BINS`` bins."""
    least = span_s / MAX_BINS
    round_widths = (float(width) for width in _WIDTHS_S if width >= least)
    return next(round_widths, 86400.0 * -(-least // 86400.0))


def latency_bins(requests: RequestTable, slo: Slo, width_s: float) -> dict[str, list[float | None]]:
    """Columns with one entry per bin: its middle, its quantiles (None without any) and its counts.

    ``missed`` counts each request that missed a limit once; ``missed_ttft`` and ``missed_tpot`` count
    it for each limit. A request that never completed is in ``missed`` and ``missed_ttft``.
    """
    bins = _fill(requests, slo, width_s)
    return {
        "time": [(index + 0.5) * width_s for index in range(len(bins))],
        "ttft_p50": [_quantile(one.ttft_s, 0.5) for one in bins],
        "ttft_p95": [_quantile(one.ttft_s, 0.95) for one in bins],
        "tpot_p50": [_quantile(one.tpot_s, 0.5) for one in bins],
        "tpot_p95": [_quantile(one.tpot_s, 0.95) for one in bins],
        "arrived": [one.arrived for one in bins],
        "missed": [one.missed for one in bins],
        "missed_ttft": [one.missed_ttft for one in bins],
        "missed_tpot": [one.missed_tpot for one in bins],
    }


def _fill(requests: RequestTable, slo: Slo, width_s: float) -> list[_Bin]:
    last = max(requests.arrival_s, default=None)
    bins = [] if last is None else [_Bin() for _ in range(int(last / width_s) + 1)]
    rows = zip(
        requests.arrival_s,
        requests.outcome,
        requests.output_tokens,
        requests.ttft_s,
        requests.e2e_s,
        strict=True,
    )
    for arrival_s, outcome, tokens, ttft_s, e2e_s in rows:
        one = bins[int(arrival_s / width_s)]
        one.arrived += 1
        if outcome == RequestOutcome.COMPLETED:
            _add_completed(one, slo, ttft_s, (e2e_s - ttft_s) / (tokens - 1) if tokens > 1 else None)
        else:
            one.missed += 1
            one.missed_ttft += 1
    return bins


def _add_completed(one: _Bin, slo: Slo, ttft_s: float, tpot_s: float | None) -> None:
    one.ttft_s.append(ttft_s)
    late, slow = ttft_s > slo.ttft_s, False
    if tpot_s is not None:
        one.tpot_s.append(tpot_s)
        slow = tpot_s > slo.tpot_s
    one.missed_ttft += late
    one.missed_tpot += slow
    one.missed += late or slow


def _quantile(values: list[float], q: float) -> float | None:
    return quantile(sorted(values), q) if values else None
