"""A profile's word before anything was seen: the miss curve of each index of demand, by simulation.

Short runs of four replicas at rising rates: Poisson arrivals, log-normal lengths, nothing of any trace.
"""

from __future__ import annotations

from functools import cache
from math import log, sqrt

import numpy as np

from autoscaler.objective.curve import EDGES, LOADS, isotonic
from autoscaler.objective.demand import INDICES, capacity
from autoscaler.objective.fleet_observation import Prior, Vector
from simulator.run.event_loop import simulate
from simulator.run.scenario import FixedScaling, Scenario
from simulator.startup.choices import load_startup
from simulator.vllm.profile import Profile, load_profile
from simulator.vllm.request_table import Slo

REPLICAS = 4
REQUESTS = 1500
WARM_UP = REQUESTS // 5
CONTEXT_TOKENS = 1000.0
PROMPT_MEDIAN, PROMPT_SPREAD = 600.0, 1.0
OUTPUT_MEDIAN, OUTPUT_SPREAD, OUTPUT_MOST = 100.0, 1.2, 4000
RATES: Vector = np.exp(np.linspace(log(0.05), log(2.0), 14))
"""Work arriving, as a share of what the replicas can do."""
LEAST_SHARE = 1e-3
HIGH_SHARE = 0.9
"""Beyond the last rate that was simulated."""


@cache
def prior(profile_name: str, ttft_s: float, tpot_s: float) -> Prior:
    """The prior of a bundled profile, for one objective."""
    profile = load_profile(profile_name)
    batch, output_s = batch_size(profile, tpot_s), seconds_per_output(profile, tpot_s)
    prompt_s = profile.step_time.per_prefill_token_us * 1e-6
    longest = longest_prompt(profile, ttft_s)
    flat = ((0.0,) * len(LOADS),) * len(INDICES)
    numbers = Prior(prompt_s, output_s, batch, longest, flat)
    curves = miss_curves(profile, Slo(ttft_s, tpot_s), numbers)
    return Prior(prompt_s, output_s, batch, longest, tuple(map(tuple, curves.tolist())))


def batch_size(profile: Profile, tpot_s: float) -> float:
    """How many requests a replica holds within 0.8 of the TPOT, and within its memory."""
    base_s, per_sequence_s = _decode_step(profile)
    within = max(1.0, (0.8 * tpot_s - base_s) / per_sequence_s)
    return min(profile.scheduler.max_num_seqs, 0.9 * profile.memory.kv_cache_tokens / CONTEXT_TOKENS, within)


def seconds_per_output(profile: Profile, tpot_s: float) -> float:
    """Seconds of a replica for one output token in that batch."""
    base_s, per_sequence_s = _decode_step(profile)
    batch = batch_size(profile, tpot_s)
    return (base_s + per_sequence_s * batch) / batch


def _decode_step(profile: Profile) -> tuple[float, float]:
    step = profile.step_time
    per_sequence_s = step.per_sequence_us * 1e-6 + step.per_kv_token_ns * 1e-9 * CONTEXT_TOKENS
    return (step.base_ms + step.experts_ms) * 1e-3, per_sequence_s


def longest_prompt(profile: Profile, ttft_s: float) -> float:
    """The prompt whose prefill on an idle replica takes the whole TTFT."""
    step = profile.step_time
    square, linear = step.per_prefill_token_squared_ns * 1e-9, step.per_prefill_token_us * 1e-6
    left = ttft_s - step.base_ms * 1e-3
    if square <= 0.0:
        return left / linear
    return (sqrt(linear * linear + 4.0 * square * left) - linear) / (2.0 * square)


def miss_curves(profile: Profile, slo: Slo, numbers: Prior) -> Vector:
    """The share of misses (index, bin), isotonic, with the ends beyond what was simulated filled in."""
    random = np.random.default_rng(1)
    misses, requests = np.zeros((2, len(INDICES), len(LOADS)))
    for rate in RATES:
        loads, missed, counted = _run(profile, slo, numbers, float(rate), random)
        bins = np.searchsorted(EDGES, loads)
        misses[np.arange(len(INDICES)), bins] += missed
        requests[np.arange(len(INDICES)), bins] += counted
    return np.array([_filled(*pair) for pair in zip(misses, requests, strict=True)])


def _filled(misses: Vector, requests: Vector) -> Vector:
    seen = np.flatnonzero(requests)
    shares = isotonic(misses[seen] / requests[seen], requests[seen])
    curve = np.interp(np.arange(len(requests)), seen, np.maximum(shares, LEAST_SHARE))
    curve[: seen[0]] = max(LEAST_SHARE, shares[0] / 2.0)
    curve[seen[-1] :] = max(HIGH_SHARE, shares[-1])
    return np.asarray(np.maximum.accumulate(curve))


def _run(
    profile: Profile, slo: Slo, numbers: Prior, rate: float, random: np.random.Generator
) -> tuple[Vector, int, int]:
    """One rate: the load of each index, the misses and the requests after a warm-up."""
    most = profile.max_model_len_tokens // 2
    prompts = _lengths(random, PROMPT_MEDIAN, PROMPT_SPREAD, most)
    outputs = _lengths(random, OUTPUT_MEDIAN, OUTPUT_SPREAD, OUTPUT_MOST)
    prompt_work, output_work = numbers.prompt_s * prompts.mean(), numbers.output_s * outputs.mean()
    per_s = rate * REPLICAS / (prompt_work + 0.3 * output_work)
    arrivals = np.cumsum(random.exponential(1.0 / per_s, REQUESTS))
    rows = zip(arrivals.tolist(), prompts.tolist(), outputs.tolist(), strict=True)
    scenario = Scenario(profile, load_startup("0"), slo, keep_timeline=False)
    table = simulate(rows, FixedScaling(REPLICAS), scenario).requests
    stays = np.frombuffer(table.e2e_s)[WARM_UP:]
    in_flight = np.nansum(stays) / (arrivals[-1] - arrivals[WARM_UP])
    arriving = np.array([per_s * prompt_work, per_s * output_work, in_flight / numbers.batch])
    counted = np.frombuffer(table.missed_arrival_s)
    missed = int((counted >= arrivals[WARM_UP]).sum())
    return INDICES @ arriving / capacity(REPLICAS), missed, REQUESTS - WARM_UP


def _lengths(random: np.random.Generator, median: float, spread: float, most: int) -> np.ndarray:
    return np.clip(random.lognormal(log(median), spread, REQUESTS), 1, most).astype(int)
