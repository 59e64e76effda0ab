"""How fast everything goes: all times in one value, so that a test can run a day in minutes."""

from __future__ import annotations

from dataclasses import dataclass, fields

HISTORY_SLOTS = 1440
"""Slots that are remembered: 24 hours of minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds, each of them; ``faster`` divides them all."""

    slot_s: float = 60.0
    """One line of the history."""
    fast_s: float = 60.0
    """The demand of now is averaged over this."""
    level_s: float = 1800.0
    """The level of demand, which forecasts are relative to."""
    lengths_s: float = 600.0
    """Mean prompt and output lengths."""
    shortest_stay_s: float = 15.0
    longest_stay_s: float = 120.0
    """The load of a replica is averaged over the time that a request stays, within these two."""
    backlog_s: float = 60.0
    """A queue counts as load as if it had to be worked off in this time."""
    drain_s: float = 120.0
    """A queue that will still be there after a start-up has to be worked off in this time."""
    late_s: float = 120.0
    """Misses show up to this long after the load that made them."""
    warm_up_s: float = 600.0
    """The first minutes of a workload are a ramp, not a sample of how demand continues."""
    try_s: float = 300.0
    """For this long a profile's word alone orders nothing."""
    visible_s: float = 15.0
    """Until a change of demand is in a scrape that can be asked for."""
    future_s: float = 60.0
    """The demand at the end of a start-up is averaged over this."""
    recency_s: float = 12 * 3600.0
    """Half-life of a past slot as a sample for forecasts."""
    forget_s: float = 48 * 3600.0
    """Memory of the miss curves."""
    loss_s: float = 6 * 3600.0
    """Memory of how well each index explained misses."""
    ledger_s: float = 24 * 3600.0
    """Memory of what was spent of the error budget."""
    repay_s: float = 8 * 3600.0
    """A debt of the error budget is paid back, and a saving spent, within this time."""
    replay_s: float = 600.0
    """The price is found again after this time."""
    settle_s: float = 3600.0
    """The price stays near its first guess for about this long."""
    hold_s: float = 900.0
    """Fewer replicas only after they have been enough for this long."""
    max_age_s: float = 60.0
    """An older scrape says nothing about now."""
    grace_s: float = 45.0
    """A pod that has just become ready may go without a scrape for this long."""

    def faster(self, factor: float) -> Times:
        """The same times, each divided by ``factor``."""
        return Times(**{field.name: getattr(self, field.name) / factor for field in fields(self)})

    def slots(self, seconds: float) -> int:
        """The whole slots nearest to a time, at least one."""
        return max(1, round(seconds / self.slot_s))


TIMES = Times()
