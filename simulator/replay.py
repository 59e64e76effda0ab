"""The event loop: arrivals, pods that become ready, scrapes, syncs and timeline ticks, in time order.

What falls on the same moment happens in this order: a pod becomes ready, requests arrive, the
scraper scrapes, the controller syncs, the timeline is read. The loop owns no scaling rule: a sync
observes, asks ``autoscaler.decision.evaluate`` and carries out what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.policy.models import Mode, ScalingPolicy
from autoscaler.records import DecisionRecord
from simulator.cluster import Cluster, Routing
from simulator.nodes import NodeLimits, NodePool
from simulator.prices import Price
from simulator.profile import Profile
from simulator.result import RequestTable, RunResult, Slo, TimelinePoint
from simulator.scrape import LatencyHistograms, Scraper
from simulator.series import Series
from simulator.startup import StartUp

GIVE_UP_S = 6 * 3600.0
"""With no request in any replica and none to come, a run that waits this long never finishes."""

GIVE_UP_WITH_SCHEDULES_S = 8 * 86400.0
"""As above where a weekly schedule may still bring replicas."""

PROGRESS_EVERY = 2048
"""Arrivals between two progress reports."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a run but its requests and its policy. Times in seconds.

    ``clock_start``: the epoch second of the trace's zero, for schedules. ``timeline_interval_s``:
    None takes a point at every sync; 0 takes none. ``keep_requests``: whether the result has a row
    for every request, or only what the summary needs. ``nodes`` None: there is always one more node.
    """

    profile: Profile
    startup: StartUp
    slo: Slo
    routing: Routing = "least-loaded"
    scrape_interval_s: float = 15.0
    metrics_lag_s: float = 5.0
    seed: int = 0
    clock_start: float = 0.0
    timeline_interval_s: float | None = None
    initial_replicas: int | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    keep_requests: bool = True
    nodes: NodeLimits | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed number of replicas instead of a policy."""

    replicas: int


def simulate(
    requests: Iterable[tuple[float, int, int]],
    scaling: ScalingPolicy | Fixed,
    scenario: Scenario,
    *,
    label: str = "",
    inputs: dict[str, object] | None = None,
    progress: Callable[[float], None] | None = None,
) -> RunResult:
    """Replays requests (arrival in s, prompt tokens, output tokens; sorted by arrival) to their end.

    ``progress`` is called now and then with the time of the latest arrival. Deterministic: equal
    arguments give equal results.
    """
    replay = _Replay(requests, scaling, scenario, progress)
    end_s = replay.run()
    return RunResult(
        label=label,
        inputs=inputs or {},
        slo=scenario.slo,
        gpus_per_replica=scenario.profile.gpus_per_replica,
        requests=replay.table,
        timeline=tuple(replay.timeline),
        decisions=tuple(replay.controller.records) if replay.controller else (),
        replicas=tuple(replay.cluster.lives),
        end_s=end_s,
        idle_node_s=replay.nodes.idle_node_s if replay.nodes else 0.0,
        price=scenario.price,
    )


class _Controller:
    """The simulated control loop: observe, evaluate, act, record."""

    def __init__(self, policy: ScalingPolicy, scenario: Scenario, initial_replicas: int) -> None:
        self.policy = policy
        self.scraper = Scraper(
            policy.spec.inputs, scenario.scrape_interval_s, scenario.metrics_lag_s, scenario.series
        )
        self.records: list[DecisionRecord] = []
        self._clock_start = scenario.clock_start
        self._state = initial_state(initial_replicas, 0.0)

    def sync(self, cluster: Cluster, now: float) -> None:
        observation = self.scraper.observe(cluster, now, self._open_schedules(now))
        before = self._state
        decision, self._state = evaluate(self.policy, observation, before, now)
        changes = decision.desired_replicas != decision.current_replicas
        writes = changes and self.policy.spec.mode is Mode.ACTIVE
        if writes:
            cluster.scale(decision.desired_replicas, now)
            self._state = record_scale(self.policy, self._state, decision, now)
        record = DecisionRecord(now, observation, decision, written=writes)
        if not self.records:
            record = replace(record, policy=self.policy, state=before)
        self.records.append(record)

    def _open_schedules(self, now: float) -> tuple[str, ...]:
        if not self.policy.spec.schedules:
            return ()
        from autoscaler.policy.schedule import active_schedules  # calendars are slow to import

        return active_schedules(self.policy.spec, self._clock_start + now)


class _Replay:
    """One run's moving parts."""

    def __init__(
        self,
        requests: Iterable[tuple[float, int, int]],
        scaling: ScalingPolicy | Fixed,
        scenario: Scenario,
        progress: Callable[[float], None] | None,
    ) -> None:
        self.table = RequestTable(keep_rows=scenario.keep_requests)
        self.timeline: list[TimelinePoint] = []
        self.controller: _Controller | None = None
        self._progress = progress
        self._requests = iter(requests)
        self._next = next(self._requests, None)
        self._last_arrival = 0.0
        self._arrived_at_tick = 0
        self._last_tick = 0.0
        self._next_scrape = self._next_sync = inf
        self._scrape_interval = scenario.scrape_interval_s
        self._sync_period = inf
        self._tick_interval = scenario.timeline_interval_s or inf
        self._give_up_s = GIVE_UP_S + scenario.startup.total_s(scenario.profile)
        replicas = self._set_up(scaling, scenario)
        observer = (
            LatencyHistograms if self.controller and self.controller.scraper.needs_latency else _no_observer
        )
        self.nodes = NodePool(scenario.nodes) if scenario.nodes else None
        self.cluster = Cluster(
            scenario.profile,
            scenario.startup,
            self.table,
            scenario.routing,
            scenario.seed,
            observer,
            self.nodes,
        )
        self.cluster.start_ready(replicas)
        self._next_tick = 0.0 if self._tick_interval < inf else inf

    def _set_up(self, scaling: ScalingPolicy | Fixed, scenario: Scenario) -> int:
        """Prepares the control loop, if any; the replicas to begin with."""
        if isinstance(scaling, Fixed):
            return scaling.replicas
        spec = scaling.spec
        initial = scenario.initial_replicas
        replicas = spec.min_replicas if initial is None else initial
        self.controller = _Controller(scaling, scenario, replicas)
        self._next_scrape, self._sync_period = self._scrape_interval, float(spec.sync_period_seconds)
        self._next_sync = self._sync_period
        if scenario.timeline_interval_s is None:
            self._tick_interval = self._sync_period
        if spec.schedules:
            self._give_up_s += GIVE_UP_WITH_SCHEDULES_S
        return replicas

    def run(self) -> float:
        """Runs to the end; returns when that was."""
        cluster = self.cluster
        while True:
            now = min(cluster.next_ready, self._next_scrape, self._next_sync, self._next_tick)
            self._arrive(now, inclusive=False)
            if cluster.next_ready <= now < inf:
                cluster.bring_up(now)
            self._arrive(now, inclusive=True)
            if now == inf:
                cluster.finish()
            else:
                cluster.advance(now)
            if self._next is None and self._is_over(now):
                break
            self._react(now)
        end_s = self._end_s(now)
        cluster.close(end_s)
        if self.nodes is not None:
            self.nodes.close(end_s)
        return end_s

    def _arrive(self, until: float, *, inclusive: bool) -> None:
        """Lets the requests before (or at) ``until`` arrive."""
        arrival = self._next
        table, cluster, requests = self.table, self.cluster, self._requests
        while arrival is not None and (arrival[0] < until or (inclusive and arrival[0] == until)):
            now = arrival[0]
            cluster.arrive(table.add(*arrival), now)
            self._last_arrival = now
            if self._progress is not None and cluster.arrived % PROGRESS_EVERY == 0:
                self._progress(now)
            arrival = next(requests, None)
        self._next = arrival

    def _is_over(self, now: float) -> bool:
        """Whether every request has ended, or those at the gateway never will."""
        if self.cluster.in_flight():
            return False
        return not self.cluster.gateway or now - self._idle_since() > self._give_up_s

    def _idle_since(self) -> float:
        return max(self._last_arrival, self.cluster.last_finish())

    def _end_s(self, now: float) -> float:
        """When the last request ended; where some never do, when the run gave up on them."""
        return now if self.cluster.gateway and now < inf else self._idle_since()

    def _react(self, now: float) -> None:
        """Scrape, sync and tick, where they are due."""
        if self._next_scrape <= now and self.controller:
            self.controller.scraper.scrape(self.cluster, now)
            self._next_scrape += self._scrape_interval
        if self._next_sync <= now and self.controller:
            self.controller.sync(self.cluster, now)
            self._next_sync += self._sync_period
        if self._next_tick <= now:
            self.timeline.append(self._tick(now))
            self._next_tick += self._tick_interval

    def _tick(self, now: float) -> TimelinePoint:
        cluster = self.cluster
        interval = now - self._last_tick
        arrived = cluster.arrived - self._arrived_at_tick
        self._last_tick, self._arrived_at_tick = now, cluster.arrived
        ready = cluster.ready
        return TimelinePoint(
            time_s=now,
            demand_rps=arrived / interval if interval else 0.0,
            desired=cluster.desired,
            ordered=len(cluster.pods),
            ready=len(ready),
            running=sum(pod.replica.running for pod in cluster.pods),
            waiting=sum(pod.replica.waiting(now) for pod in cluster.pods),
            kv_usage=sum(replica.kv_usage(now) for replica in ready) / len(ready) if ready else 0.0,
            gateway_queue=len(cluster.gateway),
        )


def _no_observer() -> None:
    """Without quantile signals nobody counts latencies."""
