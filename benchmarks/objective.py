"""An objective as the scaling rule of the simulator, held against the clairvoyant bound.

    python -m benchmarks.objective FOLDER [CASE ...]

The rule sees what it would see live: scrapes every 15 s that can be asked for 5 s later, histograms by pod,
prompt lengths when a request ends, and nothing of a pod's last seconds. It begins with ceil(bound) warm
replicas. Printed: the share of the avoidable requests within the objective, the mean of the billed
replicas, its ratio to the bound, and direction changes (in all, and in the worst hour).
"""

from __future__ import annotations

import argparse
import gc
import time
from itertools import pairwise
from math import ceil, inf
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autoscaler.objective.fleet_observation import (
    Edges,
    FleetObservation,
    Objective,
    ObservedPod,
    PodCounters,
    Prior,
    Vector,
)
from autoscaler.objective.objective_state import first_state
from autoscaler.objective.proposal import ObjectiveProposal
from autoscaler.objective.propose import propose
from benchmarks.objective_prior import prior
from simulator.run.billing import replica_seconds
from simulator.run.event_loop import _Replay
from simulator.run.latency_histograms import ITL_EDGES, TTFT_EDGES
from simulator.run.scenario import FixedScaling, Scenario
from simulator.startup.choices import load_startup
from simulator.traces.rows import Request
from simulator.traces.trace import Trace
from simulator.verdict.unavoidable import IdleReplica, missed
from simulator.vllm.profile import load_profile
from simulator.vllm.request_table import RequestOutcome, RequestTable, Slo
from simulator.world.cluster import Cluster, PodState

PROMPT_EDGES = (*(float(digit * 10**power) for power in range(6) for digit in (1, 2, 5)), inf)
EDGES = Edges(TTFT_EDGES, ITL_EDGES, PROMPT_EDGES)
SYNC_S = 15.0
LAG_S = 5.0


class Scraper:
    """Each pod's counters, from the table of requests: what has happened since the last scrape is added."""

    def __init__(self, table: RequestTable) -> None:
        self._table = table
        self._rows = 0
        self._unserved: Vector = np.zeros(0, int)
        self._unfinished: Vector = np.zeros(0, int)
        self._buckets: dict[int, Vector] = {}
        self._scrapes: list[tuple[float, dict[str, PodCounters]]] = []

    def scrape(self, cluster: Cluster, now: float) -> None:
        """Records every pod that serves."""
        self._count()
        pods = {}
        for pod in cluster.pods:
            if pod.state is not PodState.STARTING:
                one = pod.replica
                own = (one.prompt_tokens, one.tokens_generated_until(now), one.finished)
                counters = np.concatenate((own, self._bucket(one.index)))
                pods[one.name] = PodCounters(now, one.running, one.waiting(now), counters)
        self._scrapes = [*self._scrapes[-1:], (now, pods)]

    def visible(self, now: float) -> dict[str, PodCounters]:
        """The newest scrape that can be asked for."""
        seen = [pods for time_s, pods in self._scrapes if time_s + LAG_S <= now]
        return seen[-1] if seen else {}

    def _bucket(self, pod: int) -> Vector:
        if pod not in self._buckets:
            self._buckets[pod] = np.zeros(EDGES.counters - 3)
        return self._buckets[pod]

    def _count(self) -> None:
        """Requests that have had their first token, and those that have ended, since the last scrape."""
        table = self._table
        new = np.arange(self._rows, table.requests)
        self._rows = table.requests
        ttft, e2e = np.frombuffer(table.ttft_s), np.frombuffer(table.e2e_s)
        outcome, pods = np.frombuffer(table.outcome, np.int8), np.frombuffer(table.replica, np.int32)
        self._unserved = np.concatenate((self._unserved, new))
        served = np.isfinite(ttft[self._unserved])
        rows = self._unserved[served]
        self._add(pods[rows], np.searchsorted(TTFT_EDGES, ttft[rows]))
        self._unserved = self._unserved[~served & (outcome[self._unserved] == RequestOutcome.UNFINISHED)]
        self._unfinished = np.concatenate((self._unfinished, new))
        rows = self._unfinished[outcome[self._unfinished] == RequestOutcome.COMPLETED]
        self._unfinished = self._unfinished[outcome[self._unfinished] == RequestOutcome.UNFINISHED]
        prompts = np.frombuffer(table.prompt_tokens, np.int32)[rows]
        start = len(TTFT_EDGES) + len(ITL_EDGES)
        self._add(pods[rows], start + np.searchsorted(PROMPT_EDGES, prompts))
        tokens = np.frombuffer(table.output_tokens, np.int32)[rows]
        rows, tokens = rows[tokens > 1], tokens[tokens > 1]
        tpot = (e2e[rows] - ttft[rows]) / (tokens - 1)
        self._add(pods[rows], len(TTFT_EDGES) + np.searchsorted(ITL_EDGES, tpot))

    def _add(self, pods: Vector, buckets: Vector) -> None:
        for pod in np.unique(pods).tolist():
            self._bucket(pod)[:] += np.bincount(buckets[pods == pod], minlength=EDGES.counters - 3)


class ObjectiveController:
    """The objective on one cluster: observe, propose, order."""

    def __init__(
        self, objective: Objective, numbers: Prior, startup_s: float, table: RequestTable, replicas: int
    ) -> None:
        self.scraper = Scraper(table)
        self.state = first_state(objective, numbers, startup_s, 0.0)
        self.changes: list[tuple[float, int]] = []
        self.seconds: list[float] = []
        self.proposals: list[tuple[float, ObjectiveProposal]] = []
        self._objective, self._numbers = objective, numbers
        self._started = {f"vllm-{number}" for number in range(replicas)}

    def sync(self, cluster: Cluster, now: float) -> None:
        """One sync at ``now``."""
        observation = self._observe(cluster, now)
        start = time.process_time()
        proposal, self.state = propose(self._objective, self._numbers, observation, self.state, now)
        self.seconds.append(time.process_time() - start)
        self.proposals.append((now, proposal))
        if proposal.replicas != cluster.desired:
            self.changes.append((now, proposal.replicas - cluster.desired))
            cluster.scale(proposal.replicas, now)

    def _observe(self, cluster: Cluster, now: float) -> FleetObservation:
        visible = self.scraper.visible(now)
        pods, startups = [], []
        for pod in cluster.pods:
            if pod.state is PodState.STARTING:
                continue
            name = pod.replica.name
            pods.append(ObservedPod(name, pod.state is PodState.DRAINING, visible.get(name)))
            if name not in self._started:
                self._started.add(name)
                startups.append(pod.ready_at - pod.ordered_s)
        return FleetObservation(cluster.desired, tuple(pods), EDGES, tuple(startups))


class _ObjectiveReplay(_Replay):
    """A replay whose syncs ask an objective."""

    def control(self, objective: Objective, numbers: Prior, startup_s: float, replicas: int) -> None:
        self.controller = ObjectiveController(objective, numbers, startup_s, self.table, replicas)  # type: ignore[assignment]
        self._next_scrape = self._next_sync = self._sync_period = SYNC_S


class Figures(NamedTuple):
    """The result of a run. ``attainment``: of the avoidable requests."""

    attainment: float
    mean_replicas: float
    turns: int
    turns_in_an_hour: int
    mean_sync_s: float
    longest_sync_s: float


def run(
    requests: list[Request], scenario: Scenario, objective: Objective, numbers: Prior, replicas: int
) -> tuple[Figures, ObjectiveController]:
    """One replay under an objective, warm with so many replicas."""
    startup_s = scenario.startup.total_s(scenario.profile)
    replay = _ObjectiveReplay(requests, FixedScaling(replicas), scenario, None)
    replay.control(objective, numbers, startup_s, replicas)
    controller: ObjectiveController = replay.controller  # type: ignore[assignment]
    end_s = replay.run()
    idle = IdleReplica(scenario)
    misses = sum(not idle.misses(*shape) for _, shape in missed(replay.table))
    avoidable = sum(not idle.misses(row[1], row[2]) for row in requests)
    turns = turning_points(controller.changes)
    return (
        Figures(
            1.0 - misses / avoidable,
            replica_seconds(replay.cluster.lives) / end_s,
            len(turns),
            max((sum(turn - 3600.0 < other <= turn for other in turns) for turn in turns), default=0),
            float(np.mean(controller.seconds)),
            max(controller.seconds),
        ),
        controller,
    )


def turning_points(changes: list[tuple[float, int]]) -> list[float]:
    """When an up followed a down, or the reverse."""
    return [now for (_, before), (now, change) in pairwise(changes) if (before > 0) != (change > 0)]


class Case(NamedTuple):
    """A scenario: ``span_s`` of a trace; ``bound``: the mean replicas of the clairvoyant bound at 99 %."""

    trace: str
    bound: float
    startup: str = "180"
    rate: float = 1.0
    profile: str = "llama3.1-8b-l4"
    tpot_s: float = 0.2
    attainment: float = 0.99
    span_s: float | None = None


D00 = "servegen_mlarge_d00_24h_s25_derived.csv.gz"
D03 = "servegen_mlarge_d03_72h_s50_derived.csv.gz"
CONVERSATION, CODE = "azure_llm_2023_conv.csv.gz", "azure_llm_2023_code.csv.gz"
BURSTGPT = "burstgpt_week1_derived.csv.gz"
TTFT_S = 2.5
MOST_REPLICAS = 60
CASES = {
    "conv": Case(CONVERSATION, 6.01),
    "conv x2 / 60": Case(CONVERSATION, 11.88, "60", 2.0),
    "code": Case(CODE, 31.9),
    "d00 / 180": Case(D00, 5.15),
    "d00 / 60": Case(D00, 5.10, "60"),
    "d00 on 2xL4": Case(D00, 5.85, profile="gemma2-9b-2xl4", tpot_s=0.1),
    "d03 x0.4": Case(D03, 2.62, rate=0.4, span_s=172800.0),
    "burst x40": Case(BURSTGPT, 1.96, rate=40.0, span_s=302400.0),
    "burst x100": Case(BURSTGPT, 4.42, rate=100.0, span_s=302400.0),
    "d03 x2": Case(D03, 9.20, rate=2.0, span_s=172800.0),
}


def report(case: Case, folder: Path) -> str:
    """One line of figures."""
    trace = Trace(folder / case.trace)
    requests = list(trace.window(span_s=case.span_s, rate_scale=case.rate))
    gc.freeze()  # a collection that walks through all requests is not the objective's time
    profile, startup = load_profile(case.profile), load_startup(case.startup)
    scenario = Scenario(profile, startup, Slo(TTFT_S, case.tpot_s), keep_timeline=False)
    objective = Objective(TTFT_S, case.tpot_s, case.attainment, MOST_REPLICAS)
    numbers = prior(case.profile, TTFT_S, case.tpot_s)
    figures, _ = run(requests, scenario, objective, numbers, ceil(case.bound))
    return (
        f"{figures.attainment:.2%} of the avoidable, {figures.mean_replicas:.2f} replicas, "
        f"{figures.mean_replicas / case.bound:.2f} of the bound, {figures.turns} turns, "
        f"{figures.turns_in_an_hour} in the worst hour, "
        f"a sync {1e3 * figures.mean_sync_s:.2f} ms, at most {1e3 * figures.longest_sync_s:.1f} ms"
    )


def main() -> None:
    """The cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("traces", type=Path, help="the folder of the traces")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    options = parser.parse_args()
    for name in options.cases or CASES:
        print(f"{name}: {report(CASES[name], options.traces)}", flush=True)


if __name__ == "__main__":
    main()
