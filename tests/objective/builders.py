"""A small workload whose misses follow from its load, as pods whose counters grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, inf

import numpy as np

from autoscaler.objective.curve import LOADS
from autoscaler.objective.fleet_observation import (
    Edges,
    FleetObservation,
    Objective,
    ObservedPod,
    PodCounters,
    Prior,
)
from autoscaler.objective.objective_state import first_state
from autoscaler.objective.propose import propose

EDGES = Edges((0.5, 1.0, 2.5, 5.0, inf), (0.1, 0.2, 0.3, inf), (100.0, 1000.0, 10_000.0, inf))
OBJECTIVE = Objective(2.5, 0.2, 0.99, 50)
CURVE = tuple(float(1.0 / (1.0 + exp(-12.0 * (load - 1.2)))) for load in LOADS)
PRIOR = Prior(1e-3, 5e-3, 50.0, 10_000.0, (CURVE,) * 4)
PROMPT, OUTPUT, STAY_S = 500.0, 50.0, 10.0
SYNC_S = 15.0


def counters(prompt=0.0, generated=0.0, finished=0.0, ttft=(), tpot=(), prompts=()):
    parts = [(prompt, generated, finished)]
    for counts, edges in ((ttft, EDGES.ttft), (tpot, EDGES.tpot), (prompts, EDGES.prompts)):
        parts.append((*counts, *(0.0,) * (len(edges) - len(counts))))
    return np.concatenate(parts)


def scrape(time_s, values=None, running=0.0, waiting=0.0):
    return PodCounters(time_s, running, waiting, counters() if values is None else values)


def observed(*pods, ordered=None, startups_s=()):
    return FleetObservation(len(pods) if ordered is None else ordered, pods, EDGES, startups_s)


def served(requests, share):
    """The counters of so many requests, of which a share missed the TTFT."""
    missed = requests * share
    return counters(
        requests * PROMPT,
        requests * OUTPUT,
        requests,
        ttft=(requests - missed, 0.0, 0.0, missed),
        tpot=(requests,),
        prompts=(0.0, requests),
    )


@dataclass
class Fleet:
    """Pods that share ``rate`` requests a second; their number is set at once."""

    replicas: int
    objective: Objective = OBJECTIVE
    prior: Prior = PRIOR
    now: float = 0.0
    totals: dict = field(default_factory=dict)
    names: int = 0
    broken: dict = field(default_factory=dict)

    def __post_init__(self):
        self.state = first_state(self.objective, self.prior, 60.0, 0.0)
        self.pods = []
        self.proposal = None
        self.proposals = []
        self.resize()

    def resize(self):
        while len(self.pods) < self.replicas:
            self.pods.append(f"pod-{self.names}")
            self.totals[self.pods[-1]] = counters()
            self.names += 1
        del self.pods[self.replicas :]

    def sync(self, rate, follow=True):
        """One sync later, under ``rate`` requests a second."""
        self.now += SYNC_S
        work = rate * (PRIOR.prompt_s * PROMPT)
        share = float(np.interp(work / max(self.replicas - 0.8, 0.3), LOADS, CURVE))
        for name in self.pods:
            self.totals[name] = self.totals[name] + served(rate * SYNC_S / len(self.pods), share)
        seen = tuple(ObservedPod(name, scrape=self._scrape(name, rate)) for name in self.pods)
        observation = observed(*seen, ordered=self.replicas)
        self.proposal, self.state = propose(self.objective, self.prior, observation, self.state, self.now)
        self.proposals.append(self.proposal)
        if follow:
            self.replicas = self.proposal.replicas
            self.resize()
        return self.proposal

    def _scrape(self, name, rate):
        if name in self.broken:
            return self.broken[name](self)
        return scrape(self.now, self.totals[name], running=rate * STAY_S / len(self.pods))

    def run(self, rate, seconds, follow=True):
        for _ in range(int(seconds / SYNC_S)):
            self.sync(rate, follow)
        return self.proposal
