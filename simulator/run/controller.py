"""The simulated control loop: observe, evaluate, act, count."""

from __future__ import annotations

from dataclasses import replace

from autoscaler.api.models import Mode, ScalingPolicy
from autoscaler.api.vocabulary import Action
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import Decision
from autoscaler.history.records import DecisionRecord
from simulator.run.decision_counts import DecisionCounts
from simulator.run.scenario import Scenario
from simulator.run.scrape import Scraper
from simulator.world.cluster import Cluster


class SimulatedController:
    """Runs one policy on one cluster. The rules are the decision engine's. Times in seconds."""

    def __init__(self, policy: ScalingPolicy, scenario: Scenario, initial_replicas: int) -> None:
        self.policy = policy
        self.scraper = Scraper(
            policy.spec, scenario.scrape_interval_s, scenario.metrics_lag_s, scenario.series
        )
        self.counts = DecisionCounts(written=policy.spec.mode is Mode.ACTIVE)
        self.records: list[DecisionRecord] = []
        self._keep_records = scenario.keep_decisions
        self._clock_start = scenario.clock_start
        self._on_answers = scenario.on_answers
        self._state = initial_state(initial_replicas, 0.0)

    def sync(self, cluster: Cluster, now: float) -> None:
        """Runs one sync. Advance the cluster to ``now`` first."""
        answers = self.scraper.answers(now)
        observation = self.scraper.observe(cluster, answers, now, self._open_schedules(now))
        if self._on_answers is not None:
            self._on_answers(now, answers)
        before = self._state
        decision, self._state = evaluate(self.policy, observation, before, now)
        self.counts.add(decision, now)
        action = self._action(decision)
        if action is Action.SCALED:
            cluster.scale(decision.desired_replicas, now)
            self._state = record_scale(self.policy, self._state, decision, now)
        if self._keep_records:
            record = DecisionRecord(now, observation, decision, action)
            self.records.append(record if self.records else replace(record, policy=self.policy, state=before))

    def _action(self, decision: Decision) -> Action:
        if decision.desired_replicas == decision.current_replicas:
            return Action.HELD
        return Action.SCALED if self.counts.written else Action.DRY_RUN

    def _open_schedules(self, now: float) -> tuple[str, ...]:
        if not self.policy.spec.schedules:
            return ()
        from autoscaler.api.schedule import active_schedules  # calendars are slow to import

        return active_schedules(self.policy.spec, self._clock_start + now)
