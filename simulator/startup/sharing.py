"""Storage that several pods read at once: each gets its fair share, at most the rate it can take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf


def fair_rates(caps: Sequence[float], total: float) -> list[float]:
    """Max-min fair shares of ``total``: none exceeds its cap, and the others share what it leaves."""
    rates = [0.0] * len(caps)
    left, open_ = total, len(caps)
    for index in sorted(range(len(caps)), key=caps.__getitem__):
        rates[index] = min(caps[index], left / open_)
        left, open_ = left - rates[index], open_ - 1
    return rates


@dataclass(slots=True)
class _Load:
    start_s: float
    left: float
    cap: float


class SharedStorage:
    """Loads in progress. Bytes and bytes a second; times in seconds and never backwards."""

    def __init__(self, bytes_per_s: float = inf) -> None:
        """``bytes_per_s``: the rate of all readers together."""
        self._total = bytes_per_s
        self._loads: dict[int, _Load] = {}
        self._now = 0.0

    def add(self, key: int, start_s: float, size: float, cap: float) -> None:
        """Adds a pod that begins to read ``size`` bytes at ``start_s`` (not in the past)."""
        self._loads[key] = _Load(start_s, size, cap)

    def drop(self, key: int) -> None:
        """Removes a pod that stops reading; call ``advance`` first."""
        self._loads.pop(key, None)

    def left(self, key: int) -> float:
        """Bytes that a pod still has to read, as of the last ``advance``."""
        load = self._loads.get(key)
        return load.left if load else 0.0

    def advance(self, now: float) -> None:
        """Reads until ``now``; loads that end by then are forgotten. An earlier ``now`` does nothing."""
        if now < self._now:
            return
        for key in _run(self._loads, self._total, self._now, now):
            del self._loads[key]
        self._now = now

    def ends(self) -> dict[int, float]:
        """When every load ends if no further one comes."""
        copies = {key: _Load(load.start_s, load.left, load.cap) for key, load in self._loads.items()}
        return _run(copies, self._total, self._now, inf)


def _run(loads: dict[int, _Load], total: float, now: float, until: float) -> dict[int, float]:
    """Moves the loads to ``until``; returns those that ended, with their times."""
    ended: dict[int, float] = {}
    while True:
        reading = {key: load for key, load in loads.items() if load.start_s <= now and key not in ended}
        coming = min((load.start_s for load in loads.values() if load.start_s > now), default=inf)
        rates = dict(zip(reading, fair_rates([load.cap for load in reading.values()], total), strict=True))
        ends = {key: now + load.left / rates[key] for key, load in reading.items()}
        then = min(coming, until, min(ends.values(), default=inf))
        _read(reading.values(), rates.values(), then - now)
        ended |= {key: end for key, end in ends.items() if end <= then}
        now = then
        if now >= until or (not reading and coming == inf):
            return ended


def _read(loads: Iterable[_Load], rates: Iterable[float], seconds: float) -> None:
    for load, rate in zip(loads, rates, strict=True):
        load.left = max(0.0, load.left - rate * seconds) if seconds < inf else 0.0
