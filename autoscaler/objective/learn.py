"""A good sample -> what is known after it: averages each sync, history and curves each slot."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np

from autoscaler.objective.constants import Times
from autoscaler.objective.curve import EDGES, Curves, family
from autoscaler.objective.demand import Demand, demand
from autoscaler.objective.fleet_observation import Edges, Objective, Prior, Vector
from autoscaler.objective.forecast import analogues, forecast
from autoscaler.objective.history import Slot
from autoscaler.objective.increases import Increase
from autoscaler.objective.misses import Missed, missed
from autoscaler.objective.objective_state import Averages, ObjectiveState, OpenSlot
from autoscaler.objective.weights import Blend

LEAST_LEVEL = 0.3
"""The level is at least so much of the day's mean: after an idle stretch ratios to it would explode."""
FEWEST_SLOTS = 20
"""A shorter history is not replayed."""


def horizon_s(state: ObjectiveState, times: Times) -> float:
    """From now until a replica that is ordered now serves."""
    return state.startups.seconds + times.visible_s


def slots_ahead(state: ObjectiveState, times: Times) -> int:
    """So many slots after the one at whose end a replica is ordered comes the first that it serves."""
    return times.slots(horizon_s(state, times)) + 1


def unavoidable(state: ObjectiveState, edges: Edges, prior: Prior) -> float:
    """The share of requests that no replica would have saved."""
    return state.prompts.too_long(edges, prior.longest_prompt)


def level(state: ObjectiveState, averages: Averages) -> Vector:
    """The level that forecasts are relative to."""
    if state.mean_demand is None:
        return averages.level
    return np.maximum(averages.level, LEAST_LEVEL * state.mean_demand)


def look_ahead(state: ObjectiveState, averages: Averages) -> Vector:
    """The forecast of this moment."""
    return forecast(averages.recent, level(state, averages), state.past)


def learned(
    state: ObjectiveState, sample: Increase, objective: Objective, prior: Prior, edges: Edges, now: float,
    times: Times,
) -> tuple[ObjectiveState, Demand]:  # fmt: skip
    """The state after a sample of every pod, and the demand that it shows."""
    state = _after_gap(state, now, times)
    state = replace(
        state,
        lengths=state.lengths.after(sample, times),
        prompts=state.prompts.after(sample, times),
        last_sample=now,
    )
    wanted = demand(sample, state.lengths, prior, times)
    found = missed(sample, edges, objective)
    averages = averaged(state, wanted, sample, now, times)
    state = replace(
        state,
        averages=averages,
        slot=state.slot.after(sample.seconds, wanted.arriving, found.requests, found.share * found.requests),
    )
    if found.requests:
        state = _counted(state, averages, found, sample.seconds, prior, times)
    if state.slot.seconds >= times.slot_s * 0.999:
        state = _closed(state, averages, sample.pods, objective, prior, times)
        if now - state.price.found_at >= times.replay_s and len(state.history) >= FEWEST_SLOTS:
            state = _priced(state, objective, unavoidable(state, edges, prior), now, times)
    return state, wanted


def averaged(state: ObjectiveState, wanted: Demand, sample: Increase, now: float, times: Times) -> Averages:
    """The averages with one more sample; at first they are plain means."""
    load, before = wanted.load(sample.serving, times), state.averages
    if before is None:
        return Averages(wanted.arriving, wanted.arriving, load, ((now, load),))
    seconds = sample.seconds
    known_s = max(seconds, now - state.since)
    level_share = max(_share(seconds, times.level_s), seconds / known_s)
    load = before.load + _share(seconds, wanted.stay_s) * (load - before.load)
    late = tuple(pair for pair in before.late if pair[0] > now - times.late_s)
    return Averages(
        before.recent + _share(seconds, times.fast_s) * (wanted.arriving - before.recent),
        before.level + level_share * (wanted.arriving - before.level),
        load,
        (*late, (now, load)),
    )


def _share(seconds: float, memory_s: float) -> float:
    return 1.0 - exp(-seconds / memory_s)


def _after_gap(state: ObjectiveState, now: float, times: Times) -> ObjectiveState:
    """A time that was not seen leaves slots without values, and a slot that it cuts is dropped."""
    if state.last_sample is None or now - state.last_sample <= times.max_age_s:
        return state
    slots = times.slots(now - state.last_sample)
    return replace(state, slot=OpenSlot(), history=state.history.after_gap(slots))


def _counted(
    state: ObjectiveState, averages: Averages, found: Missed, seconds: float, prior: Prior, times: Times
) -> ObjectiveState:
    loads = np.array([load for _, load in averages.late])
    indices = np.arange(len(averages.load))
    newest = np.searchsorted(EDGES, loads[-2:].max(axis=0))
    predicted = float(state.blend.weights @ state.curves.share[indices, newest])
    curves = state.curves.counted(
        averages.load, loads.max(axis=0), found.share, found.requests, seconds, family(prior), times
    )
    ledger = state.ledger.after(seconds, predicted, found.share, found.requests, times)
    return replace(state, curves=curves, ledger=ledger)


def _closed(
    state: ObjectiveState, averages: Averages, serving: int, objective: Objective, prior: Prior, times: Times
) -> ObjectiveState:
    """The open slot goes into the history; curves, blend and the ladder of prices follow."""
    slot, ahead = state.slot, slots_ahead(state, times)
    curves = state.curves.fitted(family(prior))
    blend = _blended(state, curves, serving, ahead, times)
    demand_now, expected = slot.demand / slot.seconds, look_ahead(state, averages)
    history = state.history.after(
        Slot(demand_now, level(state, averages), averages.recent, slot.requests, expected)
    )
    return replace(
        state,
        slot=OpenSlot(),
        history=history,
        curves=curves,
        blend=blend,
        past=analogues(history, ahead, times),
        mean_demand=history.mean_demand(),
        price=state.price.with_slot(history, curves, blend.weights, objective),
    )


def _blended(state: ObjectiveState, curves: Curves, serving: int, ahead: int, times: Times) -> Blend:
    """The blend after the open slot, whose demand was forecast so many slots ago, if it was."""
    slot, history = state.slot, state.history
    if len(history) < ahead or not slot.requests or not np.isfinite(history.forecast[-ahead, 0, 0]):
        return state.blend
    share = slot.misses / slot.requests
    return state.blend.after(history.forecast[-ahead], serving, share, slot.requests, curves, times)


def _priced(
    state: ObjectiveState, objective: Objective, hopeless: float, now: float, times: Times
) -> ObjectiveState:
    ahead = slots_ahead(state, times)
    price = state.price.found(
        state.history, state.curves, state.blend.weights, objective, state.ledger, hopeless, ahead, now, times
    )
    return replace(state, price=price)
