"""Scrapes -> what happened between the two newest ones, or the reasons why that is not known.

A pod that ends takes its last seconds with it, which counts as seen: its requests have left the count. A pod
that became ready since the last sync begins at zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from autoscaler.objective.constants import Times
from autoscaler.objective.fleet_observation import FleetObservation, ObservedPod, PodCounters, Vector


@dataclass(frozen=True, slots=True, eq=False)
class Increase:
    """One interval of all pods. ``per_s`` and ``arrivals_per_s`` are rates; the histograms are counts.

    ``pods``: how many of the ``serving`` pods it is of. ``reasons``: why it does not cover every pod, or
    should teach nothing; empty in a good sample.
    """

    seconds: float
    per_s: Vector
    arrivals_per_s: float
    running: float
    waiting: float
    waiting_change_per_s: float
    finished: float
    ttft: Vector
    tpot: Vector
    prompts: Vector
    pods: int
    serving: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """The last usable scrape of each pod that serves; of a ``new`` pod zeros. ``time_s``: of its sync."""

    time_s: float | None = None
    pods: Mapping[str, PodCounters] = field(default_factory=dict)
    new: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class _Pod:
    """A pod: its scrape to compare with, its newest usable one, and why there is no increase, if so."""

    name: str
    new: bool
    old: PodCounters | None
    scrape: PodCounters | None
    problem: str

    @property
    def kept(self) -> PodCounters | None:
        """The scrape that the next increase begins with."""
        return self.old if self.scrape is None else self.scrape

    @property
    def has_grown(self) -> bool:
        """True if there is a newer scrape than before."""
        return self.old is not None and self.scrape is not None and self.scrape.time_s > self.old.time_s


def increases(
    baseline: Baseline, observation: FleetObservation, now: float, times: Times
) -> tuple[Increase | tuple[str, ...], Baseline]:
    """The sample of this sync, or the reasons why there is none (empty: no newer scrape yet)."""
    zeros = np.zeros(observation.edges.counters)
    pods = [_compared(pod, baseline, zeros, now, times) for pod in observation.pods]
    after = Baseline(
        now,
        {pod.name: pod.kept for pod in pods if pod.kept is not None},
        frozenset(pod.name for pod in pods if pod.new and pod.scrape is None),
    )
    reasons = tuple(f"{pod.name}: {pod.problem}" for pod in pods if pod.problem)
    usable = [pod for pod in pods if not pod.problem]
    pairs = [(pod.old, pod.scrape) for pod in usable if pod.has_grown and pod.old and pod.scrape]
    unchanged = [pod.scrape for pod in usable if pod.scrape and not pod.has_grown]
    return (_sum(pairs, unchanged, observation, reasons) if pairs else reasons), after


def _compared(pod: ObservedPod, baseline: Baseline, zeros: Vector, now: float, times: Times) -> _Pod:
    old, scrape = baseline.pods.get(pod.name), pod.scrape
    new = pod.name in baseline.new
    if old is None and baseline.time_s is not None:
        old, new = PodCounters(baseline.time_s, 0.0, 0.0, zeros), True
    problem = _problem(pod, old, new, now, times)
    if scrape is not None and _unreadable(scrape):
        scrape = None
    elif scrape is not None and old is not None and scrape.time_s < old.time_s:
        scrape = old  # a source that lags behind the one before
    return _Pod(pod.name, new, old, scrape, problem)


def _problem(pod: ObservedPod, old: PodCounters | None, new: bool, now: float, times: Times) -> str:
    """Why a pod's increase is not known; empty where it is, or is not needed."""
    scrape = pod.scrape
    if scrape is None:
        young = new and old is not None and now - old.time_s <= times.grace_s
        return "" if pod.draining or young else "no scrape"
    bad = _unreadable(scrape)
    if bad:
        return bad
    if now - scrape.time_s > times.max_age_s:
        return "" if pod.draining else f"its last scrape is {now - scrape.time_s:.0f} s old"
    if old is None:
        return "no earlier scrape yet"
    return _broken(old, scrape, times)


def _broken(old: PodCounters, scrape: PodCounters, times: Times) -> str:
    """Why two scrapes cannot be compared."""
    if len(old.counters) != len(scrape.counters):
        return "its histograms have other buckets than before"
    if scrape.time_s > old.time_s and (scrape.counters < old.counters).any():
        return "a counter fell: the engine has restarted"
    if scrape.time_s - old.time_s > times.max_age_s:
        return f"no scrape for {scrape.time_s - old.time_s:.0f} s before this one"
    return ""


def _unreadable(scrape: PodCounters) -> str:
    gauges = scrape.running + scrape.waiting
    if not np.isfinite(gauges) or not np.isfinite(scrape.counters).all():
        return "a value is not a number"
    if min(scrape.running, scrape.waiting) < 0.0 or (scrape.counters < 0.0).any():
        return "a value is negative"
    return ""


def _sum(
    pairs: list[tuple[PodCounters, PodCounters]],
    unchanged: list[PodCounters],
    observation: FleetObservation,
    reasons: tuple[str, ...],
) -> Increase:
    """Pods are scraped at different moments: one without a newer scrape goes at the rates of the others."""
    grown = np.array([new.counters - old.counters for old, new in pairs])
    seconds = np.array([new.time_s - old.time_s for old, new in pairs])
    waiting_change = np.array([new.waiting - old.waiting for old, new in pairs])
    running_change = np.array([new.running - old.running for old, new in pairs])
    newest = [*(new for _, new in pairs), *unchanged]
    all_pods = len(newest) / len(pairs)
    arrivals = ((grown[:, 2] + running_change + waiting_change) / seconds).sum()
    counts, ttft, tpot, prompts = observation.edges.split(grown.sum(axis=0))
    return Increase(
        seconds=float(seconds.mean()),
        per_s=all_pods * (grown[:, :3] / seconds[:, None]).sum(axis=0),
        arrivals_per_s=all_pods * max(0.0, float(arrivals)),
        running=sum(scrape.running for scrape in newest),
        waiting=sum(scrape.waiting for scrape in newest),
        waiting_change_per_s=all_pods * float((waiting_change / seconds).sum()),
        finished=float(counts[2]),
        ttft=ttft,
        tpot=tpot,
        prompts=prompts,
        pods=len(newest),
        serving=max(len(newest), observation.ready),
        reasons=reasons,
    )
