"""Realistic runs without a replay: a fluid queue under a load with a burst, and a simple scaler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, inf, pi, sin
from random import Random

from autoscaler.decision.types import (
    Decision,
    Observation,
    Pod,
    Proposal,
    Reading,
    Reason,
    Sample,
    Step,
)
from autoscaler.history.records import DecisionRecord
from simulator.report.html import render_html
from simulator.report.summary import render_json, summarize
from simulator.report.terminal import render_terminal
from simulator.run.decision_counts import DecisionCounts
from simulator.run.result import RunResult
from simulator.startup.replica_life import ReplicaLife
from simulator.vllm.request_table import RequestTable, Slo, TokenLimit
from simulator.world.timeline import TimelinePoint

SYNC_S = 15.0
START_UP_S = 90.0
DRAIN_S = 20.0
REPLICA_RPS = 1.2
TARGET_RPS = 0.9
DOWN_WINDOW_S = 300.0


@dataclass
class _Pod:
    name: str
    ordered_s: float
    ready_s: float
    drain_s: float = inf

    def life(self, end_s: float) -> ReplicaLife:
        drained = min(self.drain_s, end_s)
        return ReplicaLife(
            name=self.name,
            ordered_s=self.ordered_s,
            ready_s=self.ready_s if self.ready_s < drained else None,
            drain_s=self.drain_s if self.drain_s < end_s else None,
            ended_s=min(self.drain_s + DRAIN_S, end_s),
        )

    def billed(self, now: float) -> bool:
        return now < self.drain_s + DRAIN_S

    def serves(self, now: float) -> bool:
        return self.ready_s <= now < self.drain_s


@dataclass
class _Run:
    rng: Random
    slo: Slo
    span_s: float
    base_rps: float
    fixed: int | None
    max_replicas: int
    requests: RequestTable = field(default_factory=RequestTable)
    pods: list[_Pod] = field(default_factory=list)
    timeline: list[TimelinePoint] = field(default_factory=list)
    decisions: list[DecisionRecord] = field(default_factory=list)
    wanted: list[tuple[float, int]] = field(default_factory=list)
    target: int = 2
    backlog: float = 0.0

    def demand(self, now: float) -> float:
        day = 1 + 0.35 * sin(2 * pi * now / max(self.span_s, 1.0))
        middle = self.span_s * 0.45
        burst = 2.4 * exp(-(((now - middle) / (self.span_s * 0.05)) ** 2))
        return self.base_rps * (day + burst)

    def order(self, count: int, now: float, delay: float) -> None:
        for _ in range(count):
            self.pods.append(_Pod(f"vllm-{len(self.pods)}", now, now + delay))

    def remove(self, count: int, now: float) -> None:
        active = [pod for pod in self.pods if pod.drain_s == inf]
        for pod in active[len(active) - count :]:
            pod.drain_s = now

    def arrive(self, now: float, interval: float) -> int:
        expected = self.demand(now) * interval
        count = max(0, round(self.rng.gauss(expected, expected**0.5)))
        for offset in sorted(self.rng.random() for _ in range(count)):
            self.one_request(now + offset * interval, now)
        return count

    def one_request(self, arrival: float, now: float) -> None:
        prompt = min(60_000, int(self.rng.lognormvariate(6.8, 0.9)) + 1)
        output = 1 if self.rng.random() < 0.01 else int(self.rng.lognormvariate(4.9, 0.7)) + 2
        row = self.requests.add(arrival, prompt, output)
        serving = [index for index, pod in enumerate(self.pods) if pod.serves(now)]
        if prompt > 8192:
            self.requests.reject(row, TokenLimit("max_model_len_tokens", 8192))
            return
        speed = REPLICA_RPS * max(1, len(serving))
        load = min(1.5, self.demand(now) / speed)
        queue = self.backlog / speed * self.rng.uniform(0.9, 1.1)
        ttft = queue + 0.08 + prompt / 12_000 * (1 + load)
        tpot = (0.018 + 0.05 * load**2) * self.rng.uniform(0.85, 1.2)
        if arrival + ttft > self.span_s - 2:
            return
        self.requests.queue_s[row] = queue
        self.requests.ttft_s[row] = ttft
        if load > 1.2 and self.rng.random() < 0.1:
            self.requests.preempt(row)
        self.requests.replica[row] = self.rng.choice(serving) if serving else 0
        self.requests.complete(row, ttft + tpot * (output - 1))

    def tick(self, now: float, interval: float) -> None:
        arrived = self.arrive(now, interval)
        ready = sum(pod.serves(now) for pod in self.pods)
        served = ready * REPLICA_RPS * interval
        self.backlog = max(0.0, self.backlog + arrived - served)
        load = min(1.0, arrived / served) if served else 0.0
        self.timeline.append(
            TimelinePoint(
                time_s=now,
                demand_rps=arrived / interval,
                desired=self.target,
                ordered=sum(pod.ordered_s <= now and pod.billed(now) for pod in self.pods),
                ready=ready,
                running=int(load * ready * 24),
                waiting=int(self.backlog * 0.7) if ready else 0,
                kv_usage=min(1.0, load * 0.8 + 0.002 * self.backlog),
                gateway_queue=int(self.backlog) if not ready else 0,
            )
        )

    def decide(self, now: float) -> None:
        rate = self.timeline[-1].demand_rps + self.backlog / 60
        raw = max(1, -(-int(rate * 100) // int(TARGET_RPS * 100)))
        bounded = min(self.max_replicas, raw)
        self.wanted.append((now, bounded))
        window = [replicas for at, replicas in self.wanted if at > now - DOWN_WINDOW_S]
        final = max(window) if bounded < self.target else bounded
        record = _decision_record(self, now, rate, raw, bounded, final)
        self.decisions.append(record)
        if final > self.target:
            self.order(final - self.target, now, START_UP_S + self.rng.uniform(-15, 40))
        elif final < self.target:
            self.remove(self.target - final, now)
        self.target = final


def _decision_record(
    run: _Run, now: float, rate: float, raw: int, bounded: int, final: int
) -> DecisionRecord:
    ready = [pod for pod in run.pods if pod.serves(now)]
    settled, message = _settled(run.target, raw, bounded, final)
    verdict = Reason.ABOVE_TARGET if raw > run.target else Reason.WITHIN_TOLERANCE
    usage = f"requestsPerSecond is {rate:.3f}, target {TARGET_RPS} per replica: {raw} replicas"
    steps = (
        Step("metrics", raw, verdict, usage),
        Step("guards", raw, Reason.DESIRED_WITHIN_RANGE, "every guard agrees"),
        Step("stabilization", max(bounded, final), settled, message),
        Step("rate limit", final, Reason.READY_FOR_NEW_SCALE, "at most 4 pods or 100% in 15 s"),
        Step("bounds", final, Reason.DESIRED_WITHIN_RANGE, f"within 1 and {run.max_replicas}"),
    )
    proposal = Proposal("requestsPerSecond", raw, int(rate * 1000), 900, verdict, usage, len(ready))
    samples = tuple(Sample(rate / max(1, len(ready)), now - 3.0, pod.name) for pod in ready)
    observation = Observation(
        spec_replicas=run.target,
        status_replicas=run.timeline[-1].ordered,
        pods=tuple(Pod(pod.name) for pod in ready),
        readings=(Reading("requestsPerSecond", samples),),
    )
    decision = Decision(run.target, final, settled, message, steps, (proposal,))
    return DecisionRecord(now, observation, decision)


def _settled(current: int, raw: int, bounded: int, final: int) -> tuple[Reason, str]:
    if bounded < raw:
        return Reason.TOO_MANY_REPLICAS, f"{raw} replicas are above maxReplicas {bounded}"
    if final > bounded:
        return Reason.SCALE_DOWN_STABILIZED, f"the last 300 s recommended up to {final} replicas"
    if final == current:
        return Reason.WITHIN_TOLERANCE, "the load is within 10% of its target"
    return Reason.READY_FOR_NEW_SCALE, f"recommended {final} replicas for the load"


def make_result(
    label: str = "chat",
    *,
    seed: int = 0,
    span_s: float = 3600.0,
    base_rps: float = 2.0,
    interval_s: float = SYNC_S,
    fixed: int | None = None,
) -> RunResult:
    """A run of ``span_s`` seconds; with ``fixed`` replicas it has no decisions."""
    run = _Run(Random(seed), Slo(2.0, 0.1), span_s, base_rps, fixed, max_replicas=8)
    run.target = fixed or 2
    run.order(run.target, 0.0, 0.0)
    every = max(1, round(SYNC_S / interval_s))
    for index in range(int(span_s / interval_s)):
        now = index * interval_s
        run.tick(now, interval_s)
        if fixed is None and index % every == 0:
            run.decide(now)
    return RunResult(
        label=label,
        inputs=_inputs(label, seed, run),
        slo=run.slo,
        gpus_per_replica=1,
        requests=run.requests,
        timeline=tuple(run.timeline),
        counts=None if run.fixed else counted(run.decisions),
        decisions=tuple(run.decisions),
        replicas=tuple(pod.life(span_s) for pod in run.pods),
        end_s=span_s,
    )


def _inputs(label: str, seed: int, run: _Run) -> dict[str, object]:
    return {
        "trace": {
            "name": "azure-2023-conv.csv",
            "requests": len(run.requests),
            "start_s": 0.0,
            "span_s": None,
        },
        "policy": None if run.fixed else {"name": label, "minReplicas": 1, "maxReplicas": run.max_replicas},
        "replicas": run.fixed,
        "profile": "gemma2-9b-h100",
        "startup": "h100-cached",
        "routing": "least-loaded",
        "rate_scale": 1.0,
        "slo": {"ttft_s": run.slo.ttft_s, "tpot_s": run.slo.tpot_s},
        "scrape_interval_s": 15.0,
        "metrics_lag_s": 0.0,
        "seed": seed,
    }


def counted(records: Iterable[DecisionRecord]) -> DecisionCounts:
    counts = DecisionCounts(written=True)
    for record in records:
        counts.add(record.decision, record.now)
    return counts


def report_html(results: Sequence[RunResult]) -> str:
    return render_html(results, [summarize(result) for result in results])


def report_text(results: Sequence[RunResult], *, color: bool = False) -> str:
    return render_terminal(results, [summarize(result) for result in results], color=color)


def report_json(results: Sequence[RunResult]) -> str:
    return render_json([summarize(result) for result in results])


def empty_result() -> RunResult:
    """A run without requests, replicas, decisions or time."""
    return RunResult(
        label="nothing",
        inputs={"seed": 0},
        slo=Slo(2.0, 0.1),
        gpus_per_replica=1,
        requests=RequestTable(),
        timeline=(),
        counts=None,
        decisions=(),
        replicas=(),
        end_s=0.0,
    )
