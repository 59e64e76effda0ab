"""Errors of the engine against a recording of a real server: the same requests, the same moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from simulator.calibration.recording import Gauges, MeasuredRequest, Recording
from simulator.report.quantiles import quantile
from simulator.vllm.engine import FastReplica
from simulator.vllm.profile import Profile
from simulator.vllm.request_table import RequestTable

STATISTICS = ("mean", "p50", "p90", "p95", "p99")

Errors = dict[str, dict[str, float]]
"""Relative errors by quantity and statistic."""


def replay(profile: Profile, requests: Sequence[MeasuredRequest]) -> list[MeasuredRequest]:
    """Sends the same requests through one simulated replica; returns them with its latencies."""
    return _replay(profile, requests, ())[0]


def replay_with_gauges(
    profile: Profile, requests: Sequence[MeasuredRequest], times_s: Sequence[float]
) -> tuple[list[MeasuredRequest], list[Gauges]]:
    """As ``replay``, and the replica's gauges at each of ``times_s`` (ascending)."""
    return _replay(profile, requests, times_s)


def _replay(
    profile: Profile, requests: Sequence[MeasuredRequest], times_s: Sequence[float]
) -> tuple[list[MeasuredRequest], list[Gauges]]:
    table, gauges = RequestTable(), []
    ticks = iter(times_s)
    tick = next(ticks, None)
    replica = FastReplica(profile, table, "vllm-0", 0, requests[0].sent_s)
    for request in requests:
        now = request.sent_s
        while tick is not None and tick <= now:
            gauges.append(_gauges(replica, tick))
            tick = next(ticks, None)
        replica.advance(now)
        replica.submit(table.add(now, request.prompt_tokens, request.output_tokens), now)
    while tick is not None:
        gauges.append(_gauges(replica, tick))
        tick = next(ticks, None)
    while replica.in_flight:
        replica.advance(replica.run_end)
    simulated = [
        request._replace(ttft_s=ttft_s, e2e_s=e2e_s)
        for request, ttft_s, e2e_s in zip(requests, table.ttft_s, table.e2e_s, strict=True)
    ]
    return simulated, gauges


def _gauges(replica: FastReplica, now: float) -> Gauges:
    replica.advance(now)
    return Gauges(now, replica.running, replica.waiting(now), replica.kv_usage(now))


def replay_recording(profile: Profile, recording: Recording) -> list[MeasuredRequest]:
    """A whole recording, episode by episode, in its order."""
    return [request for episode in recording.episodes() for request in replay(profile, episode)]


def columns(requests: Sequence[MeasuredRequest]) -> dict[str, list[float]]:
    """TTFT, TPOT (requests of two tokens up) and E2E in seconds, ascending."""
    return {
        "TTFT": sorted(request.ttft_s for request in requests),
        "TPOT": sorted(request.tpot_s for request in requests if request.output_tokens > 1),
        "E2E": sorted(request.e2e_s for request in requests),
    }


def errors(simulated: Sequence[MeasuredRequest], real: Sequence[MeasuredRequest]) -> Errors:
    """Simulated over real, less one, by quantity and statistic. A quantity without values is absent."""
    ours, theirs = columns(simulated), columns(real)
    return {
        quantity: {
            name: _statistic(ours[quantity], name) / _statistic(values, name) - 1.0 for name in STATISTICS
        }
        for quantity, values in theirs.items()
        if values
    }


def _statistic(ordered: Sequence[float], name: str) -> float:
    return sum(ordered) / len(ordered) if name == "mean" else quantile(ordered, float(name[1:]) / 100)


@dataclass(frozen=True)
class SignalError:
    """One gauge, tick by tick: the real mean, mean and mean absolute difference, correlation.

    ``correlation`` is None if either gauge is constant.
    """

    real_mean: float
    bias: float
    mean_absolute: float
    correlation: float | None


def signal_errors(profile: Profile, recording: Recording) -> dict[str, SignalError]:
    """Running, waiting and KV usage against the recording's own gauges."""
    _, simulated = replay_with_gauges(
        profile, recording.requests, [gauge.time_s for gauge in recording.gauges]
    )
    return {
        name: _signal_error(
            [getattr(gauge, name) for gauge in simulated],
            [getattr(gauge, name) for gauge in recording.gauges],
        )
        for name in ("running", "waiting", "kv_usage")
    }


def _signal_error(ours: Sequence[float], real: Sequence[float]) -> SignalError:
    ticks = len(real)
    differences = [a - b for a, b in zip(ours, real, strict=True)]
    return SignalError(
        real_mean=sum(real) / ticks,
        bias=sum(differences) / ticks,
        mean_absolute=sum(abs(difference) for difference in differences) / ticks,
        correlation=_correlation(ours, real),
    )


def _correlation(ours: Sequence[float], real: Sequence[float]) -> float | None:
    mean_a, mean_b = sum(ours) / len(ours), sum(real) / len(real)
    spread_a = sum((a - mean_a) ** 2 for a in ours)
    spread_b = sum((b - mean_b) ** 2 for b in real)
    if not spread_a or not spread_b:
        return None
    return sum((a - mean_a) * (b - mean_b) for a, b in zip(ours, real, strict=True)) / sqrt(
        spread_a * spread_b
    )
