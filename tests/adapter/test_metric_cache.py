"""One question for everybody, and what happens while it is asked again."""

import asyncio
import json
import threading

import pytest

from autoscaler.adapter.metric_cache import WORKERS, CachedList, MetricCache
from autoscaler.errors import ClusterError
from autoscaler.ports.metrics import Answer
from tests.adapter.world import NOW, WAITING, Fleet, Source, export, points, served


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


DECLARED = served(exports=[export(WAITING)])
(MEASURE, _) = DECLARED.measures


def shown(table):
    return {item["describedObject"]["name"]: item["value"] for item in json.loads(table.body)["items"]}


async def read(board, version="v1beta2"):
    return shown(await board.table(MEASURE, version, DECLARED))


async def until(board, values):
    """Reads on, at the same time, until the news are there."""
    async with asyncio.timeout(30):
        while await read(board) != values:
            await asyncio.sleep(0.001)


async def test_all_callers_share_one_question(clock):
    source = Source(points({"a": 1}))
    board = MetricCache(source, Fleet().add("a"), clock)
    assert await asyncio.gather(*(read(board) for _ in range(50))) == [{"a": "1"}] * 50
    assert source.asked == 1


async def test_a_second_later_the_pods_are_joined_anew_while_the_last_table_is_served(clock):
    fleet = Fleet().add("a", "b")
    board = MetricCache(Source(points({"a": 1, "b": 2})), fleet, clock)
    assert await read(board) == {"a": "1", "b": "2"}
    del fleet.pods_["b"]
    clock.now += 1.5
    assert await read(board) == {"a": "1", "b": "2"}
    await until(board, {"a": "1"})


async def test_who_asks_seldom_gets_news_at_once(clock):
    fleet = Fleet().add("a", "b")
    board = MetricCache(Source(points({"a": 1, "b": 2})), fleet, clock)
    assert await read(board) == {"a": "1", "b": "2"}
    del fleet.pods_["b"]
    clock.now += 15
    assert await read(board) == {"a": "1"}


async def test_what_has_not_changed_is_not_rendered_again(clock):
    board = MetricCache(Source(points({"a": 1})), Fleet().add("a"), clock)
    first = await board.table(MEASURE, "v1beta2", DECLARED)
    clock.now += 15
    second = await board.table(MEASURE, "v1beta2", DECLARED)
    assert second.body is first.body
    assert second.joined == first.joined + 15


async def test_a_value_that_grows_too_old_vanishes_though_nothing_else_changes(clock):
    board = MetricCache(Source(points({"a": 1}, at=NOW - 89)), Fleet().add("a"), clock)
    assert await read(board) == {"a": "1"}
    clock.now += 0.5
    assert await read(board) == {"a": "1"}
    clock.now += 0.6
    assert await read(board) == {}


async def test_a_clock_that_is_set_back_does_not_stop_the_news(clock):
    source = Source(points({"a": 1}))
    board = MetricCache(source, Fleet().add("a"), clock)
    assert await read(board) == {"a": "1"}
    clock.now -= 3600
    source.answer = points({"a": 900}, at=clock.now)
    assert await read(board) == {"a": "900"}


async def test_a_source_that_failed_is_nothing_and_then_comes_back(clock):
    source = Source(Answer(error="connection refused"))
    board = MetricCache(source, Fleet().add("a"), clock)
    assert await read(board) == {}
    source.answer = points({"a": 1})
    clock.now += 15
    assert await read(board) == {"a": "1"}


async def test_pods_that_nobody_knows_mean_no_values(clock):
    fleet = Fleet(broken="pods were not read yet").add("a")
    board = MetricCache(Source(points({"a": 1})), fleet, clock)
    assert await read(board) == {}


async def test_a_slow_source_is_not_waited_for_when_something_is_known(clock):
    source = Source(points({"a": 1}))
    board = MetricCache(source, Fleet().add("a"), clock, wait_seconds=0.05)
    await until(board, {"a": "1"})
    gate = threading.Event()
    source.before = lambda: gate.wait(60)
    clock.now += 15
    assert await read(board) == {"a": "1"}
    clock.now += 90  # now it is too old to stand in
    assert await read(board) == {}
    gate.set()


async def test_sources_that_hang_hold_up_nobody_who_chooses_pods(clock):
    several = served(exports=[export(*({"name": f"m{index}", "query": f"m{index}"} for index in range(9)))])
    source, gate, fleet = Source(points({"a": 1})), threading.Event(), Fleet().add("a")
    source.before = lambda: gate.wait(60)
    board = MetricCache(source, fleet, clock)
    waiting = [asyncio.create_task(board.table(one, "v1beta2", several)) for one in several.measures]
    while source.asked < WORKERS:
        await asyncio.sleep(0.01)
    table = CachedList({"a": ""}, b"", NOW, NOW)
    assert await board.chosen(MEASURE, table, "app=vllm") is None
    fleet.labels["a"]["canary"] = "yes"
    assert await board.chosen(MEASURE, table, "canary=yes") == {"a"}
    gate.set()
    assert [shown(found) for found in await asyncio.gather(*waiting)] == [{"a": "1"}] * 9


async def test_pods_that_are_not_looked_up_in_time_are_an_error(clock):
    gate = threading.Event()
    fleet = Fleet(before=lambda: gate.wait(60)).add("a")
    board = MetricCache(Source(points({"a": 1})), fleet, clock, wait_seconds=0.05)
    with pytest.raises(ClusterError, match="could not be looked up in time"):
        await board.chosen(MEASURE, CachedList({}, b"", NOW, NOW), "app=other")
    gate.set()


async def test_a_selector_finds_some_of_the_pods(clock):
    fleet = Fleet().add("a", "b")
    fleet.labels["b"]["canary"] = "yes"
    board = MetricCache(Source(points({"a": 1, "b": 2})), fleet, clock)
    table = await board.table(MEASURE, "v1beta2", DECLARED)
    assert await board.chosen(MEASURE, table, "canary=yes") == {"b"}
    assert await board.chosen(MEASURE, table, "") is None
    assert await board.chosen(MEASURE, table, "app=vllm") is None


async def test_what_is_not_served_any_more_is_forgotten(clock):
    source = Source(points({"a": 1}))
    board = MetricCache(source, Fleet().add("a"), clock)
    await read(board)
    board.keep(DECLARED)
    await read(board)
    assert source.asked == 1
    board.keep(served())
    await read(board)
    assert source.asked == 2
