"""The price of a miss, in replicas: that at which the own last day would have kept to the budget.

The policy replays itself: for each slot of the day the replicas that the forecast of then would have asked
for, at each of a ladder of prices; then the misses that the demand of then would have made on them. Neither
hopeless requests nor a debt, however large, buy replicas that avoid too little: the first are outside of
the budget, and the ladder ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from autoscaler.objective.choose import LEAST_WEIGHT
from autoscaler.objective.constants import HISTORY_SLOTS, Times
from autoscaler.objective.curve import Curves
from autoscaler.objective.demand import capacity
from autoscaler.objective.fleet_observation import Numbers, Objective, Vector
from autoscaler.objective.history import DemandHistory, positive

FIRST_PRICE = 0.6
"""Times one over the budget: the price before there is a day to replay."""
LADDER: Vector = np.linspace(-1.0, 1.5, 15)
"""Prices, as logarithms of their ratio to the first one."""
TURNS = 10
"""Every slot's replicas are found again once in so many slots, with the curves of that time."""
LOG_STEP = 0.05
"""Demand is looked up in steps of its logarithm."""
SAFETY = 0.7
"""The share of the budget that is planned to be spent."""
LEAST_BUDGET, MOST_BUDGET = 0.4, 1.5
"""A debt or a saving changes the budget to at most these, times its own size."""
LEAST_RATIO, MOST_RATIO = 0.05, 3.0
"""Seen over predicted misses is taken within these."""
FEWEST_REQUESTS = 500.0
"""Below that many requests seen and predicted misses are not compared."""
PRIOR_MISSES = 20.0
"""Every comparison begins with these, in requests times the budget."""

Ladder = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Misses that were seen and predicted, and requests: the last 24 hours, older ones for less."""

    predicted: float = 0.0
    missed: float = 0.0
    requests: float = 0.0

    def after(self, seconds: float, predicted: float, share: float, requests: float, times: Times) -> Ledger:
        """With the requests of one sample."""
        keep = exp(-seconds / times.ledger_s)
        return Ledger(
            self.predicted * keep + predicted * requests,
            self.missed * keep + share * requests,
            self.requests * keep + requests,
        )

    def ratio(self, budget: float) -> float:
        """Misses seen over those predicted."""
        if self.requests <= FEWEST_REQUESTS:
            return 1.0
        start = PRIOR_MISSES * budget
        return min(MOST_RATIO, max(LEAST_RATIO, (self.missed + start) / (self.predicted + start)))

    def spent(self, unavoidable: float) -> float:
        """Misses so far, without those that are not in the budget."""
        return self.missed - unavoidable * self.requests

    def corrected(self, budget: float, unavoidable: float, to_come: float) -> float:
        """The budget of the requests to come: a saving is added, a debt is paid back."""
        over = self.spent(unavoidable) - budget * self.requests
        left = budget - over / max(1.0, to_come)
        return min(MOST_BUDGET * budget, max(LEAST_BUDGET * budget, left))


@dataclass(frozen=True, slots=True, eq=False)
class MissPrice:
    """``log_price``; and for each slot of the history the replicas at each price of the ladder."""

    log_price: float
    ladder: Ladder
    found_at: float

    @property
    def value(self) -> float:
        """Replicas that a full replica's worth of misses may cost."""
        return exp(self.log_price)

    def with_slot(
        self, history: DemandHistory, curves: Curves, weights: Vector, objective: Objective
    ) -> MissPrice:
        """With the newest slot's ladder, and a tenth of the older ones renewed."""
        room = np.zeros((len(history) - len(self.ladder[-(HISTORY_SLOTS - 1) :]), len(LADDER)), np.uint16)
        ladder = np.concatenate((self.ladder[-(HISTORY_SLOTS - 1) :], room))[-HISTORY_SLOTS:]
        turn = np.arange(len(history)) % TURNS == (len(history) - 1 - history.seen) % TURNS
        turn[-1] = True
        due = np.flatnonzero(turn & np.isfinite(history.forecast[:, 0, 0]))
        prices = np.exp(first_log_price(objective) + LADDER)
        ladder[due] = _replicas(history.forecast[due], curves, weights, objective.max_replicas, prices)
        return replace(self, ladder=ladder)

    def found(
        self, history: DemandHistory, curves: Curves, weights: Vector, objective: Objective, ledger: Ledger,
        unavoidable: float, startup_slots: int, now: float, times: Times,
    ) -> MissPrice:  # fmt: skip
        """The price at which the replayed day spends the planned share of the budget."""
        first = history.first_sample(times.slots(times.warm_up_s))
        rows = first + np.flatnonzero(np.isfinite(history.demand[first:, 0]))
        requests = history.requests[rows]
        if not requests.sum():
            return replace(self, found_at=now)
        to_come = float(requests.mean()) * times.repay_s / times.slot_s
        allowed = SAFETY * ledger.corrected(objective.budget, unavoidable, to_come)
        serving = _serving(self.ladder[rows], startup_slots, times.slots(times.hold_s))
        shares = _shares(history.demand[rows], serving, curves, weights)
        avoidable = requests @ np.maximum(0.0, shares - unavoidable) / requests.sum()
        above = _step(ledger.ratio(objective.budget) * avoidable, allowed)
        sure = len(history) / (len(history) + times.settle_s / times.slot_s)
        return replace(self, log_price=first_log_price(objective) + sure * above, found_at=now)


def first_log_price(objective: Objective) -> float:
    """The price before anything was replayed."""
    return log(FIRST_PRICE / objective.budget)


def first_price(objective: Objective, now: float) -> MissPrice:
    """Without a day to replay."""
    return MissPrice(first_log_price(objective), np.zeros((0, len(LADDER)), np.uint16), now)


def _replicas(forecasts: Numbers, curves: Curves, weights: Vector, most: int, prices: Vector) -> Ladder:
    """The cheapest replicas for each forecast (row, index, quantile) at each price."""
    highest = float((forecasts.max(axis=(0, 2)) / curves.full).max())
    numbers = np.arange(1, min(most, max(3, int(1.5 * highest) + 3)) + 1)
    log_capacity = np.log(capacity(numbers))
    misses = np.zeros((len(forecasts), len(numbers)))
    for index in np.flatnonzero(weights >= LEAST_WEIGHT):
        steps = np.round(np.log(positive(forecasts[:, index])) / LOG_STEP).astype(int)
        logs = np.arange(steps.min(), steps.max() + 1) * LOG_STEP
        table = np.exp(logs)[:, None] * curves.at(logs[:, None] - log_capacity, int(index))
        misses += weights[index] / curves.full[index] * table[steps - steps.min()].mean(axis=1)
    costs = (numbers + price * misses for price in prices)
    return np.stack([numbers[cost.argmin(axis=1)] for cost in costs], axis=1).astype(np.uint16)


def _serving(ladder: Ladder, startup: int, hold: int) -> Ladder:
    """The replicas that would have served: fewer only after the holding time, more only after a start-up."""
    held = ladder.copy()
    for back in range(1, min(hold, len(ladder))):
        held[back:] = np.maximum(held[back:], ladder[:-back])
    serving = held.copy()
    for back in range(1, min(startup, len(ladder) - 1) + 1):
        serving[back:] = np.minimum(serving[back:], held[:-back])
    return serving


def _shares(demand: Numbers, serving: Ladder, curves: Curves, weights: Vector) -> Vector:
    """The share of misses in each slot at each price."""
    log_demand, log_capacity = np.log(positive(demand)), np.log(capacity(serving))
    shares = np.zeros(serving.shape)
    for index in np.flatnonzero(weights >= LEAST_WEIGHT):
        shares += weights[index] * curves.at(log_demand[:, index, None] - log_capacity, int(index))
    return shares


def _step(spent: Vector, allowed: float) -> float:
    """The lowest step of the ladder that spends no more than is allowed; between two of them a part."""
    within = np.flatnonzero(spent <= allowed)
    if not len(within):
        return float(LADDER[-1])
    step = int(within[0])
    if not step:
        return float(LADDER[0])
    part = (spent[step - 1] - allowed) / (spent[step - 1] - spent[step])
    return float(LADDER[step - 1] + part * (LADDER[step] - LADDER[step - 1]))
