"""An objective and what one sync saw -> the replicas to ask for, with reasons, and what is remembered.

Data that are missing or bad never ask for fewer replicas: without any the replicas stay, with those of some
pods there may be more, and the holding time begins again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoscaler.objective.choose import candidates, cheapest, expected_misses
from autoscaler.objective.constants import TIMES, Times
from autoscaler.objective.curve import LOADS
from autoscaler.objective.demand import NAMES, Demand, capacity, demand
from autoscaler.objective.fleet_observation import FleetObservation, Objective, Prior, Vector
from autoscaler.objective.increases import Increase, increases
from autoscaler.objective.learn import averaged, horizon_s, learned, look_ahead, unavoidable
from autoscaler.objective.objective_state import Averages, ObjectiveState
from autoscaler.objective.proposal import Figures, ObjectiveProposal, ObjectiveReason

IDLE_LOAD = 0.05
HOPELESS = 0.5
"""An objective that this share of requests misses at the load of an idle replica cannot be met."""
TROUBLE = 0.05
"""A share of misses that shows that there are too few replicas, whatever the profile says."""
SHOWN = 3
"""So many reasons are named, the others counted."""


def propose(
    objective: Objective,
    prior: Prior,
    observation: FleetObservation,
    state: ObjectiveState,
    now: float,
    times: Times = TIMES,
) -> tuple[ObjectiveProposal, ObjectiveState]:
    """One sync at ``now``, in seconds on the clock of the scrapes."""
    found, baseline = increases(state.baseline, observation, now, times)
    state = replace(state.with_start(observation.startups_s), baseline=baseline)
    if not isinstance(found, Increase):
        return _without_data(found, observation, state, now, times)
    if found.reasons:
        return _with_some(found, objective, prior, observation, state, now, times)
    state, wanted = learned(state, found, objective, prior, observation.edges, now, times)
    assert state.averages is not None, "a sample was averaged"
    hopeless = unavoidable(state, observation.edges, prior)
    if max(hopeless, _idle_misses(state)) >= HOPELESS:
        return _unreachable(hopeless, observation, state, now, times)
    replicas, misses = _wanted(state, state.averages, wanted, objective, observation, times)
    if replicas > observation.ordered and _untried(state, wanted, now, times):
        replicas = observation.ordered
    return _held(replicas, misses, hopeless, objective, observation, state, now, times)


def _without_data(
    reasons: tuple[str, ...], observation: FleetObservation, state: ObjectiveState, now: float, times: Times
) -> tuple[ObjectiveProposal, ObjectiveState]:
    """Holds; the holding time begins again unless the next scrape is not due yet."""
    fresh = state.last_sample is not None and now - state.last_sample <= times.max_age_s
    if fresh and not reasons and observation.pods:
        message = "no newer scrape yet"
    else:
        message = _listed(reasons or (_nothing_seen(observation),))
        state = _begin_holding(state, observation.ordered, now, times)
    return ObjectiveProposal(observation.ordered, ObjectiveReason.NO_DATA, message), state


def _with_some(
    sample: Increase,
    objective: Objective,
    prior: Prior,
    observation: FleetObservation,
    state: ObjectiveState,
    now: float,
    times: Times,
) -> tuple[ObjectiveProposal, ObjectiveState]:
    """Takes pods that are not seen for such as the others: never fewer replicas, and nothing is learned."""
    wanted = demand(sample, state.lengths.after(sample, times), prior, times)
    wanted = wanted.scaled(sample.serving / sample.pods)
    averages = averaged(state, wanted, sample, now, times)
    if state.averages is not None:
        state = replace(state, averages=replace(state.averages, recent=averages.recent))
        averages = replace(averages, level=state.averages.level) if state.averages else averages
    replicas, _ = _wanted(state, averages, wanted, objective, observation, times)
    replicas = max(replicas, observation.ordered)
    message = f"{sample.pods} of {sample.serving} pods can be used, so no fewer: {_listed(sample.reasons)}"
    state = _begin_holding(state, replicas, now, times)
    return ObjectiveProposal(replicas, ObjectiveReason.PARTIAL_DATA, message), state


def _unreachable(
    hopeless: float, observation: FleetObservation, state: ObjectiveState, now: float, times: Times
) -> tuple[ObjectiveProposal, ObjectiveState]:
    share = max(hopeless, _idle_misses(state))
    message = f"{100.0 * share:.0f} % of the requests miss on an idle replica: more replicas do not help"
    state = _begin_holding(state, observation.ordered, now, times)
    return ObjectiveProposal(observation.ordered, ObjectiveReason.UNREACHABLE, message), state


def _held(
    replicas: int, misses: Vector, hopeless: float, objective: Objective, observation: FleetObservation,
    state: ObjectiveState, now: float, times: Times,
) -> tuple[ObjectiveProposal, ObjectiveState]:  # fmt: skip
    """More at once; fewer down to what was wanted within the holding time."""
    if state.holding.wanted == ():
        state = _begin_holding(state, observation.ordered, now, times)
    state = replace(state, holding=state.holding.after(now, replicas, times.hold_s))
    ordered, highest = observation.ordered, state.holding.highest
    chosen = replicas if replicas >= ordered else min(ordered, highest)
    reason, message = _words(replicas, chosen, ordered, times)
    figures = _figures(chosen, misses, hopeless, objective, state, now, times)
    return ObjectiveProposal(chosen, reason, message, figures), state


def _words(replicas: int, chosen: int, ordered: int, times: Times) -> tuple[ObjectiveReason, str]:
    if chosen > ordered:
        return ObjectiveReason.MORE, f"the misses to expect cost more than {chosen} replicas"
    if chosen < ordered:
        return ObjectiveReason.FEWER, f"{chosen} replicas have been enough for {times.hold_s:.0f} s"
    if replicas < ordered:
        return (
            ObjectiveReason.HOLDING,
            f"{replicas} would do now, but not for the last {times.hold_s:.0f} s",
        )
    return ObjectiveReason.ENOUGH, f"{ordered} replicas cost least, with the misses to expect"


def _wanted(
    state: ObjectiveState,
    averages: Averages,
    wanted: Demand,
    objective: Objective,
    observation: FleetObservation,
    times: Times,
) -> tuple[int, Vector]:
    """The cheapest replicas for the demand of a start-up ahead, and the misses of each number."""
    ahead = (
        look_ahead(state, averages) + _queue_left(state, averages, wanted, observation.ready, times)[:, None]
    )
    most = candidates(ahead, state.curves, objective.max_replicas)
    misses = expected_misses(ahead, state.curves, state.blend.weights, most)
    return cheapest(misses, state.price.value, observation.ordered), misses


def _untried(state: ObjectiveState, wanted: Demand, now: float, times: Times) -> bool:
    """True while only an untried profile asks for more: the pods have neither a queue nor misses."""
    young = now - state.since < times.try_s
    return young and not wanted.backlog.any() and state.ledger.missed <= TROUBLE * state.ledger.requests


def _queue_left(
    state: ObjectiveState, averages: Averages, wanted: Demand, ready: int, times: Times
) -> Vector:
    """The demand of a queue that the ready replicas will not have worked off after a start-up."""
    if not wanted.backlog.any():
        return np.zeros(len(wanted.backlog))
    held = state.curves.full * capacity(max(1, ready))
    left = wanted.backlog + (averages.recent - held) * state.startups.seconds
    return np.asarray(np.maximum(0.0, left) / times.drain_s)


def _nothing_seen(observation: FleetObservation) -> str:
    return "no pod has a newer scrape" if observation.pods else "no pod serves"


def _listed(reasons: tuple[str, ...]) -> str:
    more = len(reasons) - SHOWN
    return "; ".join(reasons[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _begin_holding(state: ObjectiveState, replicas: int, now: float, times: Times) -> ObjectiveState:
    return replace(state, holding=state.holding.after(now, replicas, times.hold_s))


def _idle_misses(state: ObjectiveState) -> float:
    return float(state.blend.weights @ state.curves.share[:, int(np.searchsorted(LOADS, IDLE_LOAD))])


def _figures(
    replicas: int, misses: Vector, hopeless: float, objective: Objective, state: ObjectiveState, now: float,
    times: Times,
) -> Figures:  # fmt: skip
    assert state.averages is not None, "a sample was averaged"
    index = int(state.blend.weights.argmax())
    ahead = look_ahead(state, state.averages)[index] / state.curves.full[index]
    whole = max(float(ahead.mean()), 1e-9)

    def share(number: int) -> float:
        return min(1.0, float(misses[min(len(misses), max(1, number)) - 1]) / whole)

    ledger = state.ledger
    return Figures(
        budget=objective.budget,
        attained=1.0 - max(0.0, ledger.spent(hopeless)) / max(1.0, ledger.requests),
        unavoidable=hopeless,
        index=NAMES[index],
        load=float(state.averages.load[index]),
        full=float(state.curves.full[index]),
        median=float(np.quantile(ahead, 0.5)),
        high=float(np.quantile(ahead, 0.95)),
        horizon_s=horizon_s(state, times),
        misses=share(replicas),
        with_one_more=share(replicas + 1),
        with_one_less=share(replicas - 1) if replicas > 1 else 1.0,
        learned_s=now - state.since,
        learned_requests=float(state.curves.requests[0].sum()),
    )
