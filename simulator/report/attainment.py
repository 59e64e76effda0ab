"""The requests that met the service level objective, and the latencies of completed requests."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from simulator.vllm.request_table import RequestTable, Slo


@dataclass(frozen=True, slots=True)
class Completed:
    """The completed requests' latencies in seconds, in order of completion.

    ``tpot_s`` has no value for requests with one output token. ``met`` counts the requests within
    both limits (one-token requests: within the TTFT limit).
    """

    ttft_s: array[float]
    tpot_s: array[float]
    e2e_s: array[float]
    met: int


def completed(requests: RequestTable, slo: Slo) -> Completed:
    """Reads whole columns: a run may have ten million rows."""
    tpot_s = array("d")
    met = 0
    columns = zip(requests.done_ttft_s, requests.done_e2e_s, requests.done_output_tokens, strict=True)
    for ttft_s, e2e_s, tokens in columns:
        if tokens > 1:
            pace_s = (e2e_s - ttft_s) / (tokens - 1)
            tpot_s.append(pace_s)
            met += ttft_s <= slo.ttft_s and pace_s <= slo.tpot_s
        else:
            met += ttft_s <= slo.ttft_s
    return Completed(requests.done_ttft_s, tpot_s, requests.done_e2e_s, met)
