"""The bound on workloads so small that every plan can be replayed."""

from itertools import product
from random import Random

import pytest

from simulator.bound.follow import follow
from simulator.bound.programme import Programme
from simulator.bound.search import search_bound
from simulator.bound.trace_windows import Band, window_misses, windows
from simulator.bound.workload import prepare
from simulator.run.scenario import Scenario
from simulator.startup.choices import load_startup
from simulator.vllm.profile import load_profile
from simulator.vllm.request_table import Slo

SLO = Slo(ttft_s=2.0, tpot_s=0.2)
STARTUP = "45"


def scenario():
    return Scenario(load_profile("llama3.1-8b-l4"), load_startup(STARTUP), SLO)


def swings(seed, rates):
    """Requests of chat-like sizes whose rate is another one every two minutes."""
    random = Random(seed)
    rows, now = [], 0.0
    while now < 120.0 * len(rates):
        now += random.expovariate(rates[min(len(rates) - 1, int(now / 120.0))])
        rows.append((now, int(random.lognormvariate(6.5, 0.8)) + 1, int(random.lognormvariate(4.5, 0.7)) + 1))
    return rows[:-1]


def cheapest_of_all(workload, goal, most):
    """The fewest replica-hours of any plan that reaches the goal."""
    count = int(workload.requests[-1][0] // 120.0) + 1
    plans = product(range(1, most + 1), repeat=count)
    runs = (follow(workload, plan) for plan in plans)
    return min((run.replica_s / 3600.0 for run in runs if run.attainment >= goal), default=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "rates"), [(1, (0.5, 2.0, 0.4)), (2, (2.0, 0.3, 1.5)), (3, (0.3, 0.6, 2.4))]
)
@pytest.mark.parametrize("goal", [0.9, 0.97, 0.995])
def test_no_plan_is_better_by_more_than_two_percent(seed, rates, goal):
    workload = prepare(swings(seed, rates), scenario())
    bound = search_bound(workload, [goal], processes=1)
    best = cheapest_of_all(workload, goal, most=4)
    if best is None:
        assert bound.best is None or max(bound.best.plan) > 4
    else:
        assert bound.best is not None
        assert bound.best.replica_hours <= 1.02 * best


def test_it_is_never_dearer_than_the_cheapest_fixed_number():
    workload = prepare(swings(4, (0.8, 0.8)), scenario())
    bound = search_bound(workload, [0.95], processes=1)
    assert bound.best is not None
    assert bound.cheapest_fixed is not None
    assert bound.best.replica_hours <= bound.cheapest_fixed.replica_hours
    assert bound.best.attainment >= 0.95


def test_processes_change_nothing():
    workload = prepare(swings(5, (0.8, 1.6)), scenario())
    assert search_bound(workload, [0.95], processes=1) == search_bound(workload, [0.95], processes=2)


def test_what_an_idle_replica_misses_is_not_held_against_the_plans():
    rows = [(1.0, 20_000, 10), *swings(6, (0.5,))]
    rows.sort()
    workload = prepare(rows, scenario())
    assert workload.unavoidable == 1
    bound = search_bound(workload, [0.99], processes=1)
    assert bound.best is not None
    assert bound.best.attainment >= 0.99
    assert bound.best.attainment_of_all < bound.best.attainment


@pytest.mark.slow
def test_a_load_of_many_replicas_is_not_taken_for_one_that_none_would_save():
    """From four to seven replicas every request of the window misses alike; eighteen serve them all."""
    rows = [(index / 20, 2000, 100) for index in range(180 * 20)]
    workload = prepare(rows, scenario())
    window = windows(workload)[1]
    every_price = Band(1e-3, 1e6)
    [misses] = window_misses([(window, {})], workload.scenario, workload.hopeless, every_price)
    assert misses[4] == misses[7] == len(window.own)
    assert min(misses.values()) < 0.02 * len(window.own)


@pytest.mark.parametrize("price_s", [2.0, 12.0, 70.0])
def test_a_table_for_a_price_finds_the_plan_that_the_whole_table_finds(price_s):
    workload = prepare(swings(7, (0.5, 3.0, 1.5, 0.4)), scenario())
    parts = [(window, {}) for window in windows(workload)]
    needed, whole = (
        window_misses(parts, workload.scenario, workload.hopeless, band)
        for band in (Band(price_s, price_s), Band(1e-3, 1e6))
    )
    assert sum(map(len, needed)) < sum(map(len, whole))
    plans = {Programme(table, workload.startup_s).cheapest(price_s, {}) for table in (needed, whole)}
    assert len(plans) == 1


def test_few_replicas_that_no_table_goes_down_to_promise_nothing():
    workload = prepare(swings(9, (6.0, 0.3)), scenario())
    bound = search_bound(workload, [0.97, 0.3], processes=1)
    assert bound.cheapest_fixed is not None
    assert min(point.plan for point in bound.points) < bound.cheapest_fixed.plan
    assert all(0.0 <= point.planned <= 1.0 for point in bound.points)


def test_a_frontier_reaches_its_goals_and_leaves_the_first_one_as_it_is():
    workload = prepare(swings(8, (0.5, 2.5, 1.0)), scenario())
    alone = search_bound(workload, [0.97], processes=1)
    bound = search_bound(workload, [0.97, 0.9, 0.97, 0.995], processes=1)
    assert bound.best is not None
    assert alone.best is not None
    assert bound.best.replica_hours <= alone.best.replica_hours
    assert max(point.attainment for point in bound.frontier) >= 0.995
