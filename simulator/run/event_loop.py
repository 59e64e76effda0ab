"""The event loop: arrivals, pods that become ready, scrapes, syncs and timeline ticks, in time order.

Events of the same moment happen in this order: a pod becomes ready, requests arrive, the scraper
scrapes, the controller syncs or the plan orders, the timeline is read. The loop has no scaling rule of
its own: a sync observes, calls ``autoscaler.decision.evaluate`` and carries out its decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING

from simulator.run.result import RunResult
from simulator.run.scenario import FixedScaling, PlannedScaling, Scenario
from simulator.startup.nodes import NodePool
from simulator.vllm.request_table import RequestTable
from simulator.world.cluster import Cluster
from simulator.world.timeline import TimelinePoint

if TYPE_CHECKING:  # imported only for a policy: most of the time to start is this import
    from autoscaler.api.models import ScalingPolicy
    from simulator.run.controller import SimulatedController
    from simulator.traces.rows import HashedRequest, Request

GIVE_UP_S = 6 * 3600.0
"""Seconds after which a run gives up: no replica has a request, and none arrives, but some wait."""

GIVE_UP_WITH_SCHEDULES_S = 8 * 86400.0
"""The same for a policy with schedules: a weekly schedule may still bring replicas."""

PROGRESS_EVERY = 2048
"""Arrivals between two progress reports."""


def simulate(
    requests: Iterable[Request | HashedRequest],
    scaling: ScalingPolicy | FixedScaling | PlannedScaling,
    scenario: Scenario,
    *,
    label: str = "",
    inputs: dict[str, object] | None = None,
    progress: Callable[[float], None] | None = None,
) -> RunResult:
    """Replays requests, sorted by arrival, to their end.

    ``progress`` is called every ``PROGRESS_EVERY`` arrivals with the time of the latest one.
    Deterministic: equal arguments give equal results.
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
        counts=replay.controller.counts if replay.controller else None,
        decisions=tuple(replay.controller.records) if replay.controller else (),
        replicas=tuple(replay.cluster.lives),
        end_s=end_s,
        idle_node_s=replay.nodes.idle_node_s if replay.nodes else 0.0,
        price=scenario.price,
    )


class _Replay:
    """One run's moving parts."""

    def __init__(
        self,
        requests: Iterable[Request | HashedRequest],
        scaling: ScalingPolicy | FixedScaling | PlannedScaling,
        scenario: Scenario,
        progress: Callable[[float], None] | None,
    ) -> None:
        self.table = RequestTable(
            keep_rows=scenario.keep_requests,
            hash_block_tokens=scenario.hash_block_tokens,
            slo=scenario.slo,
        )
        self.timeline: list[TimelinePoint] = []
        self.controller: SimulatedController | None = None
        self._progress = progress
        self._requests = iter(requests)
        self._next = next(self._requests, None)
        self._last_arrival = 0.0
        self._arrived_at_tick = 0
        self._last_tick = 0.0
        self._next_scrape = self._next_sync = self._next_order = inf
        self._orders: Iterator[tuple[float, int]] = iter(())
        self._ordered = 0
        self._scrape_interval = scenario.scrape_interval_s
        self._sync_period = inf
        self._tick_interval = scenario.timeline_s(scaling) if scenario.keep_timeline else inf
        self._give_up_s = GIVE_UP_S + scenario.startup.total_s(scenario.profile)
        replicas = self._set_up(scaling, scenario)
        self.nodes = NodePool(scenario.nodes) if scenario.nodes else None
        self.cluster = Cluster(
            scenario.profile,
            scenario.startup,
            self.table,
            scenario.routing,
            scenario.seed,
            self.controller.scraper.new_observer if self.controller else _no_observer,
            self.nodes,
            scenario.server,
        )
        self.cluster.start_ready(replicas)
        self._next_tick = 0.0 if self._tick_interval < inf else inf

    def _set_up(self, scaling: ScalingPolicy | FixedScaling | PlannedScaling, scenario: Scenario) -> int:
        """Prepares the control loop, if any; the replicas to begin with."""
        if isinstance(scaling, FixedScaling):
            return scaling.replicas
        if isinstance(scaling, PlannedScaling):
            self._orders = iter(scaling.orders)
            _, replicas = next(self._orders)
            self._read_order()
            return replicas
        from simulator.run.controller import SimulatedController

        spec = scaling.spec
        initial = scenario.initial_replicas
        replicas = spec.min_replicas if initial is None else initial
        self.controller = SimulatedController(scaling, scenario, replicas)
        self._next_scrape, self._sync_period = self._scrape_interval, float(spec.sync_period_seconds)
        self._next_sync = self._sync_period
        if spec.schedules:
            self._give_up_s += GIVE_UP_WITH_SCHEDULES_S
        return replicas

    def _read_order(self) -> None:
        self._next_order, self._ordered = next(self._orders, (inf, 0))

    def run(self) -> float:
        """Runs to the end; returns the time of the end."""
        cluster = self.cluster
        while True:
            now = min(
                cluster.next_ready, self._next_scrape, self._next_sync, self._next_order, self._next_tick
            )
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
        self.table.close()
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
        """True when every request has ended, or when those at the gateway have waited too long."""
        if self.cluster.in_flight():
            return False
        return not self._may_be_served() or now - self._idle_since() > self._give_up_s

    def _may_be_served(self) -> bool:
        """True if requests wait at the gateway, and a policy or a plan may still order replicas."""
        return bool(self.cluster.gateway) and (self.controller is not None or self._next_order < inf)

    def _idle_since(self) -> float:
        return max(self._last_arrival, self.cluster.last_finish())

    def _end_s(self, now: float) -> float:
        """The time when the last request ended or, if some never end, when the run gave up."""
        return now if self._may_be_served() else self._idle_since()

    def _react(self, now: float) -> None:
        """Scrape, sync and tick, where they are due."""
        if self._next_scrape <= now and self.controller:
            self.controller.scraper.scrape(self.cluster, now)
            self._next_scrape += self._scrape_interval
        if self._next_sync <= now and self.controller:
            self.controller.sync(self.cluster, now)
            self._next_sync += self._sync_period
        if self._next_order <= now:
            self.cluster.scale(self._ordered, now)
            self._read_order()
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
    """No observer: without quantile signals latencies are not counted."""
