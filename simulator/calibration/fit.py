"""Fits a profile's step-time coefficients to recordings, by simulating them again and again.

All coefficients are fitted together, because no measurement isolates one: a batch of long prompts, say,
depends on the prefill cost, on the decoding that continues meanwhile and on the queue that both make.
The loss is robust (absolute log ratios, capped) and has kinks wherever a step boundary moves, so the
search uses no derivatives: single coefficients and Nelder and Mead's simplex in turns, on logarithms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from math import exp, log, sqrt
from typing import Any

from autoscaler.errors import MissingExtraError
from simulator.calibration.fidelity import columns, replay
from simulator.calibration.recording import MeasuredRequest, Recording
from simulator.report.quantiles import quantile
from simulator.vllm.profile import Profile, StepTime

COEFFICIENTS = {
    "base_ms": 1.0,
    "per_sequence_us": 10.0,
    "per_kv_token_ns": 10.0,
    "per_prefill_token_us": 5.0,
    "per_prefill_token_squared_ns": 0.1,
    "prefill_floor_ms": 15.0,
    "eager_floor_ms": 30.0,
    "output_delay_ms": 4.0,
    "request_overhead_ms": 1.3,
    "request_overhead_per_prompt_token_us": 1.0,
    "per_output_token_us": 60.0,
}
"""The coefficients to fit, and where the search begins if the base profile has 0.

The host's costs (the last six) hardly depend on the model: these are the sizes measured on two models.
A search that begins far from them ends in another valley, where it takes the API server's time for
the GPU's.
"""

EVALUATIONS = (40, 300, 250)
"""Simulations that the simplex may make: for two scales (decoding, prefill), then twice for everything."""

MOVES = ((0.4, 0.15), (0.15, 0.05))
"""Log steps that are tried coefficient by coefficient before each search for everything: the simplex
hardly moves a coefficient on which only few requests depend."""

PULL = 0.004
"""Weight of a coefficient's squared log distance from its start: decides where the data do not."""

_TOGETHER = (
    ("base_ms", "per_sequence_us", "per_kv_token_ns", "experts_ms"),
    ("per_prefill_token_us", "per_prefill_token_squared_ns", "prefill_floor_ms", "eager_floor_ms"),
)
_WIDEST = 3.0  # a coefficient stays within exp(±3) of its start
_LOST = 1e3  # the loss outside
_MANY = 200  # a recording with so many requests in one episode also counts with its quantiles


def fit(
    base: Profile,
    recordings: Sequence[Recording],
    progress: Callable[[float], None] | None = None,
    evaluations: Sequence[int] = EVALUATIONS,
) -> StepTime:
    """The step-time coefficients that agree best with the recordings; the rest of ``base`` stays as it is.

    ``progress`` is called with the fraction done. Deterministic.

    Raises:
        MissingExtraError: scipy (the extra ``calibrate``) is not installed.
    """
    minimize = _optimizer()
    moves = 2 * len(COEFFICIENTS) * sum(map(len, MOVES))
    search = _Search(base, recordings, sum(evaluations) + moves, progress)
    point = search.spread(minimize(search.scaled_loss, [0.0, 0.0], evaluations[0], 0.3))
    for steps, count in zip(MOVES, evaluations[1:], strict=True):
        for step in steps:
            point = _one_by_one(search.loss, point, step)
        point = minimize(search.loss, point, count, steps[-1])
    return search.step_time(point)


def _one_by_one(loss: Callable[[Sequence[float]], float], point: list[float], step: float) -> list[float]:
    """Moves each coordinate a step up or down, if that lowers the loss."""
    lowest = loss(point)
    for place in range(len(point)):
        for change in (step, -step):
            moved = [*point[:place], point[place] + change, *point[place + 1 :]]
            found = loss(moved)
            if found < lowest:
                point, lowest = moved, found
                break
    return point


def _optimizer() -> Callable[..., list[float]]:
    try:
        from scipy.optimize import minimize
    except ImportError:
        message = "calibrate needs scipy; install it with: pip install 'vllm-autoscaler[calibrate]'"
        raise MissingExtraError(message) from None

    def simplex(
        loss: Callable[[Any], float], start: list[float], evaluations: int, size: float
    ) -> list[float]:
        corners = [start] + [
            [value + size * (i == k) for i, value in enumerate(start)] for k in range(len(start))
        ]
        options = {"maxfev": evaluations, "initial_simplex": corners, "adaptive": True, "xatol": 1e-4}
        return [float(value) for value in minimize(loss, start, method="Nelder-Mead", options=options).x]

    return simplex


class _Search:
    """The loss as a function of the logarithms of the coefficients' ratios to their start."""

    def __init__(
        self,
        base: Profile,
        recordings: Sequence[Recording],
        evaluations: int,
        progress: Callable[[float], None] | None,
    ) -> None:
        self._base = base
        self._names = (*COEFFICIENTS, "experts_ms") if base.step_time.experts_ms else tuple(COEFFICIENTS)
        given = asdict(base.step_time)
        self._start = [given[name] or COEFFICIENTS[name] for name in self._names]
        self._recordings = [list(recording.episodes()) for recording in recordings]
        self._given = recordings
        requests = [sum(map(recording.seen, recording.requests)) for recording in recordings]
        self._shares = [count / sum(requests) for count in requests]
        self._weights = [_weights(episodes) for episodes in self._recordings]
        self._evaluations, self._done = evaluations, 0
        self._progress = progress

    def spread(self, scales: Sequence[float]) -> list[float]:
        """Two scales, for decoding and prefill, as a point of the whole space."""
        return [
            next((scale for scale, names in zip(scales, _TOGETHER, strict=True) if name in names), 0.0)
            for name in self._names
        ]

    def scaled_loss(self, scales: Sequence[float]) -> float:
        """The loss when only the two scales differ from the start."""
        return self.loss(self.spread(scales))

    def step_time(self, point: Sequence[float]) -> StepTime:
        """The coefficients at a point, to five digits."""
        values = {
            name: float(f"{start * exp(offset):.5g}")
            for name, start, offset in zip(self._names, self._start, point, strict=True)
        }
        return StepTime(**asdict(self._base.step_time) | values)

    def loss(self, point: Sequence[float]) -> float:
        """Mean error of the recordings (by their requests), plus the pull to the start."""
        self._done += 1
        if self._progress is not None:
            self._progress(min(1.0, self._done / self._evaluations))
        if max(abs(offset) for offset in point) > _WIDEST:
            return _LOST
        profile = replace(self._base, step_time=self.step_time(point))
        total = sum(
            share * _recording_loss(profile, recording, episodes, weights)
            for share, recording, episodes, weights in zip(
                self._shares, self._given, self._recordings, self._weights, strict=True
            )
        )
        return total + PULL * sum(offset * offset for offset in point)


def _weights(episodes: Sequence[tuple[MeasuredRequest, ...]]) -> list[float]:
    """Episodes weigh the root of their requests; equal ones share the weight of one of all their requests."""
    alike = Counter((len(episode), episode[0][1:3]) for episode in episodes)
    weights = [
        sqrt(len(episode) * alike[len(episode), episode[0][1:3]]) / alike[len(episode), episode[0][1:3]]
        for episode in episodes
    ]
    total = sum(weights)
    return [weight / total for weight in weights]


def _recording_loss(
    profile: Profile,
    recording: Recording,
    episodes: Sequence[tuple[MeasuredRequest, ...]],
    weights: Sequence[float],
) -> float:
    loss = 0.0
    for episode, weight in zip(episodes, weights, strict=True):
        pairs = [
            (ours, real)
            for ours, real in zip(replay(profile, episode), episode, strict=True)
            if recording.seen(real)
        ]
        if not pairs:
            continue
        error = sum(_request_loss(ours, real) for ours, real in pairs) / len(pairs)
        if len(pairs) >= _MANY:
            error += _quantile_loss([ours for ours, _ in pairs], [real for _, real in pairs])
        loss += weight * error
    return loss


def _request_loss(ours: MeasuredRequest, real: MeasuredRequest) -> float:
    """The error of a request. TPOT counts most: its error is one of throughput, which makes the queues."""
    loss = 0.5 * _log_ratio(ours.ttft_s, real.ttft_s) + 0.7 * _log_ratio(ours.e2e_s, real.e2e_s)
    if real.output_tokens > 1:
        loss += _log_ratio(ours.tpot_s, real.tpot_s)
    return loss


def _quantile_loss(ours: Sequence[MeasuredRequest], real: Sequence[MeasuredRequest]) -> float:
    simulated, measured = columns(ours), columns(real)
    return sum(
        0.1 * _log_ratio(quantile(simulated[name], share), quantile(values, share))
        for name, values in measured.items()
        if values
        for share in (0.5, 0.9, 0.95)
    )


def _log_ratio(ours: float, real: float) -> float:
    """The absolute log ratio, capped at 0.5 (a factor of 1.65) against warm-up and other outliers."""
    return min(abs(log(max(ours, 1e-9) / max(real, 1e-9))), 0.5)
