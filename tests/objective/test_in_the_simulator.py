"""The driver of the benchmark: what the objective sees of simulated pods, and what it makes of them."""

from __future__ import annotations

import pytest

from autoscaler.objective.fleet_observation import Objective
from benchmarks.objective import EDGES, ObjectiveController, Scraper, run, turning_points
from simulator.run.scenario import Scenario
from simulator.startup.choices import load_startup
from simulator.vllm.profile import load_profile
from simulator.vllm.request_table import RequestTable, Slo
from simulator.world.cluster import Cluster
from tests.objective.builders import PRIOR

PROFILE = load_profile("llama3.1-8b-l4")
SCENARIO = Scenario(PROFILE, load_startup("60"), Slo(2.5, 0.2), keep_timeline=False)


def test_a_scrape_counts_each_request_once_and_is_seen_later():
    table = RequestTable(slo=SCENARIO.slo)
    cluster = Cluster(PROFILE, SCENARIO.startup, table, "least-loaded", 0)
    cluster.start_ready(2)
    scraper = Scraper(table)
    for now in (0.0, 1.0, 2.0, 3.0):
        cluster.arrive(table.add(now, 500, 10), now)
    for now in (15.0, 30.0):
        cluster.advance(now)
        scraper.scrape(cluster, now)
    assert scraper.visible(15.0) == {}
    parts = [EDGES.split(scrape.counters) for scrape in scraper.visible(31.0).values()]
    for position, expected in ((0, 2000 + 40 + 4), (1, 4), (2, 4), (3, 4)):
        assert sum(part[position].sum() for part in parts) == expected


def test_an_objective_orders_replicas_for_a_load_that_grows():
    requests = [(0.5 * step, 1000, 100) for step in range(600)]
    requests += [(300.0 + 0.1 * step, 1000, 100) for step in range(6000)]
    figures, controller = run(requests, SCENARIO, Objective(2.5, 0.2, 0.99, 12), PRIOR, 1)
    assert isinstance(controller, ObjectiveController)
    assert controller.changes[0][1] > 0
    assert 300.0 < controller.changes[0][0] < 420.0
    assert controller.state.startups.seconds == pytest.approx(60.0)
    assert figures.mean_replicas > 1.0
    assert 0.0 < figures.attainment < 1.0


@pytest.mark.parametrize(
    ("changes", "turns"),
    [([], []), ([1, 2, 1], []), ([1, -1], [1]), ([-1, 2, 3, -4, -1], [1, 3])],
)
def test_turning_points(changes, turns):
    assert turning_points([(float(now), change) for now, change in enumerate(changes)]) == turns
