"""The list that keeps itself up to date, under everything that an API server and a network may do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from autoscaler.errors import ClusterError
from autoscaler.kube.client.reflector import Reflector, WatchTimings
from tests.kube.double import Call, Double
from tests.servers.eventually import eventually

PATH = "/apis/apps/v1/deployments"


class Names:
    """A sink that knows the names, and what happened to them."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.lists = 0

    def replace(self, objects: Iterable[dict[str, Any]]) -> None:
        self.names = {one["metadata"]["name"] for one in objects}
        self.lists += 1

    def put(self, obj: dict[str, Any]) -> None:
        self.names.add(obj["metadata"]["name"])

    def drop(self, obj: dict[str, Any]) -> None:
        self.names.discard(obj["metadata"]["name"])


def item(name: str, version: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def page(version: int, *names: str, token: str = "") -> Callable[[Call], None]:
    body = {"metadata": {"resourceVersion": str(version), "continue": token}, "items": [*map(item, names)]}
    return lambda call: call.json(body)


def told(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": item(name, version)}


GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


@pytest.fixture
def sink() -> Names:
    return Names()


@pytest.fixture
def start(double: Double, sink: Names) -> Iterator[Callable[..., Reflector]]:
    started = []

    def begin(optional: bool = False, **pace: Any) -> Reflector:
        quick = WatchTimings(**{"first_backoff": 0.02, "shortest_watch": 0.0, **pace})
        reflector = Reflector(double.api(), PATH, sink, optional, quick)
        started.append(reflector)
        reflector.start()
        return reflector

    yield begin
    double.over.set()
    for reflector in started:
        reflector.stop()


def reflector_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"watch {PATH}"]


def open_watch(double: Double, *events: object) -> Callable[[Call], None]:
    """A watch that tells some events and then stays open."""

    def answer(call: Call) -> None:
        call.begin_stream()
        if events:
            call.send(*events)
        double.until_over(call)

    return answer


def watched_from(double: Double) -> list[str]:
    return [one.query["resourceVersion"] for one in double.requests if "watch" in one.query]


def test_it_lists_once_and_follows_the_changes(double, sink, start):
    changes = told("ADDED", "c", 8), told("DELETED", "a", 9), told("MODIFIED", "b", 10)
    double.on("GET", PATH, page(7, "a", "b"))
    double.on("GET", PATH, open_watch(double, *changes), watch=True)
    reflector = start()
    assert reflector.wait(30)
    eventually(lambda: sink.names == {"b", "c"})
    reflector.check()
    assert (sink.lists, watched_from(double)) == (1, ["7"])


def test_a_watch_asks_for_bookmarks_and_for_its_own_end(double, start):
    double.on("GET", PATH, page(7))
    double.on("GET", PATH, open_watch(double), watch=True)
    start()
    query = eventually(lambda: [one.query for one in double.requests if "watch" in one.query])[0]
    assert (query["allowWatchBookmarks"], int(query["timeoutSeconds"])) == ("true", 30)


def test_a_long_list_comes_in_pages(double, sink, start):
    double.on("GET", PATH, page(7, "a", token="more"), page(7, "b"))
    double.on("GET", PATH, open_watch(double), watch=True)
    assert start().wait(30)
    assert sink.names == {"a", "b"}
    assert [one.query.get("continue") for one in double.requests[:2]] == [None, "more"]


def test_the_pages_of_a_list_are_not_held_together(double, start, sink):
    """Of ten thousand ReplicaSets a sink keeps two names each; their pages would be a hundred MiB."""
    asked_when_taken = []

    def take(objects: Iterable[dict[str, Any]]) -> None:
        asked_when_taken.extend((one["metadata"]["name"], len(double.requests)) for one in objects)

    sink.replace = take
    double.on("GET", PATH, page(7, "a", token="more"), page(7, "b"))
    double.on("GET", PATH, open_watch(double), watch=True)
    assert start().wait(30)
    assert asked_when_taken == [("a", 1), ("b", 2)]


def test_a_page_that_fails_leaves_the_copy_as_it_was(double, start, sink):
    fails = lambda call: call.refuse(500)  # noqa: E731
    double.on("GET", PATH, page(7, "a"), page(8, "b", token="more"), fails, page(9, "c"))
    double.on("GET", PATH, lambda call: call.stream(GONE), open_watch(double), watch=True)
    start()
    eventually(lambda: sink.names == {"c"})
    assert sink.lists == 2


def test_a_token_that_expires_between_pages_begins_the_list_anew(double, sink, start):
    expired = lambda call: call.refuse(410, "Expired")  # noqa: E731
    double.on("GET", PATH, page(7, "a", token="more"), expired, page(9, "c"))
    double.on("GET", PATH, open_watch(double), watch=True)
    assert start().wait(30)
    assert (sink.names, sink.lists) == ({"c"}, 1)


def test_the_next_watch_goes_on_from_the_last_bookmark(double, sink, start):
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "41"}}}
    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, lambda call: call.stream(bookmark), open_watch(double), watch=True)
    start()
    eventually(lambda: watched_from(double) == ["7", "41"])
    assert (sink.names, sink.lists) == ({"a"}, 1)


@pytest.mark.parametrize(
    "gone",
    [lambda call: call.refuse(410, "Expired"), lambda call: call.stream(GONE)],
    ids=["as an answer", "as an event"],
)
def test_a_version_that_is_too_old_means_a_new_list(double, sink, start, gone, caplog):
    caplog.set_level("INFO")
    double.on("GET", PATH, page(7, "a"), page(90, "b"))
    double.on("GET", PATH, gone, open_watch(double), watch=True)
    start()
    eventually(lambda: watched_from(double) == ["7", "90"])
    assert (sink.names, sink.lists) == ({"b"}, 2)
    assert [record.levelname for record in caplog.records] == ["INFO"], "servers forget; nothing is wrong"


def test_a_broken_watch_goes_on_after_the_last_event(double, sink, start):
    def breaks(call: Call) -> None:
        call.begin_stream()
        call.send(told("ADDED", "b", 8))
        call.reset()

    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, breaks, open_watch(double), watch=True)
    start()
    eventually(lambda: watched_from(double) == ["7", "8"])
    assert (sink.names, sink.lists) == ({"a", "b"}, 1)


def test_an_object_that_nobody_understands_means_a_new_list(double, sink, start):
    nonsense = {"type": "MODIFIED", "object": {"metadata": {}}}
    double.on("GET", PATH, page(7, "a"), page(9, "b"))
    double.on("GET", PATH, lambda call: call.stream(nonsense), open_watch(double), watch=True)
    start()
    eventually(lambda: sink.names == {"b"})


def test_until_the_first_list_nothing_is_known_and_why(double, start):
    double.on("GET", PATH, lambda call: call.refuse(403, "Forbidden", "cannot list deployments"))
    reflector = start()
    eventually(lambda: len(double.requests) > 2)
    assert not reflector.wait(0)
    with pytest.raises(ClusterError, match="was not read yet: cannot list deployments"):
        reflector.check()


def test_after_a_failure_it_waits_longer_each_time():
    pauses = [WatchTimings().pause(ClusterError("no"), failures) for failures in range(12)]
    most = [min(0.5 * 2**failures, 30.0) for failures in range(12)]
    assert all(high / 2 <= pause <= high for pause, high in zip(pauses, most, strict=True))


def test_an_outage_of_days_is_no_reason_to_give_up():
    assert WatchTimings().pause(ClusterError("no"), 100_000) <= 30.0


def test_a_server_that_says_when_is_not_asked_sooner():
    assert WatchTimings().pause(ClusterError("no", retry_after_seconds=17.0), 0) == 17.0


def test_no_server_makes_a_watch_wait_until_its_copy_is_too_old():
    pace = WatchTimings()
    assert pace.pause(ClusterError("no", retry_after_seconds=120.0), 0) == pace.longest_backoff < pace.max_age


@pytest.mark.parametrize("wait", ["3600", "9" * 20, "nan", "-1", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_retry_after_ends_a_watch_or_keeps_it_waiting_for_long(double, sink, start, wait):
    refuse = lambda call: call.refuse(429, "TooManyRequests", Retry_After=wait)  # noqa: E731
    double.on("GET", PATH, refuse, page(7, "a"))
    double.on("GET", PATH, open_watch(double), watch=True)
    start(longest_backoff=0.1)
    eventually(lambda: sink.names == {"a"})


def test_a_copy_that_nobody_confirms_grows_too_old(double, sink):
    now = [1000.0]
    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, open_watch(double, told("BOOKMARK", "", 8)), watch=True)
    reflector = Reflector(double.api(), PATH, sink, clock=lambda: now[0])
    reflector.start()
    eventually(lambda: reflector._version == "8")  # the last word
    reflector.check()
    now[0] += 61
    with pytest.raises(ClusterError, match="is 61 s old"):
        reflector.check()
    reflector.check_complete()
    double.over.set()
    reflector.stop()


# What counts as a word about the objects, in turned time


@pytest.fixture
def timed(double: Double, sink: Names) -> Iterator[tuple[list[float], Callable[..., Reflector]]]:
    """A clock to be turned, and a start of a reflector that reads it."""
    now, started = [1000.0], []

    def begin(**pace: Any) -> Reflector:
        quick = WatchTimings(**{"first_backoff": 0.02, **pace})
        reflector = Reflector(double.api(), PATH, sink, pace=quick, clock=lambda: now[0])
        started.append(reflector)
        reflector.start()
        return reflector

    yield now, begin
    double.over.set()
    for reflector in started:
        reflector.stop()


def after(now: list[float], seconds: float, answer: Callable[[Call], None]) -> Callable[[Call], None]:
    def later(call: Call) -> None:
        now[0] += seconds
        answer(call)

    return later


def opened(double: Double) -> int:
    return len(watched_from(double))


def test_that_a_watch_opens_says_nothing_about_the_objects(double, timed):
    now, start = timed
    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, after(now, 20, Call.reset), after(now, 20, open_watch(double)), watch=True)
    reflector = start()
    eventually(lambda: opened(double) == 2)
    assert reflector.age_seconds == 40
    now[0] += 21
    with pytest.raises(ClusterError, match="is 61 s old"):
        reflector.check()


@pytest.mark.parametrize(
    ("lasted", "age"),
    [(30, 0), (29, 0), (31, 0), (28, 28), (5, 5)],
    ids=lambda seconds: f"{seconds} s",
)
def test_the_end_of_a_watch_is_a_word_when_its_time_was_over(double, timed, lasted, age):
    now, start = timed
    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, after(now, lasted, lambda call: call.stream()), open_watch(double), watch=True)
    reflector = start()
    eventually(lambda: opened(double) == 2)
    assert reflector.age_seconds == age


@pytest.mark.parametrize("kind", ["BOOKMARK", "MODIFIED", "ADDED", "DELETED"])
def test_an_event_and_a_bookmark_are_words(double, timed, kind):
    now, start = timed
    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, after(now, 25, open_watch(double, told(kind, "a", 8))), watch=True)
    reflector = start()
    eventually(lambda: reflector._version == "8")
    assert reflector.age_seconds == 0


def test_where_nothing_happens_a_watch_that_ends_in_time_is_never_too_old(double, sink, timed):
    now, start = timed
    quiet, ages = [], []

    def ends(call: Call) -> None:
        ages.append(now[0] - quiet[-1] if quiet else 0.0)
        now[0] += 30
        quiet.append(now[0])
        call.stream()

    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, *[ends] * 50, open_watch(double), watch=True)
    reflector = start()
    eventually(lambda: opened(double) == 51)
    reflector.check()
    assert (sink.lists, max(ages)) == (1, 0.0)


def test_watches_that_stay_silent_are_followed_by_lists(double, sink, timed):
    now, start = timed
    silent = after(now, 45, Call.reset)  # a proxy that opens a watch and passes nothing on
    double.on("GET", PATH, page(7, "a"), page(8, "a", "b"), page(9, "c"))
    double.on("GET", PATH, silent, silent, open_watch(double), watch=True)
    reflector = start()
    eventually(lambda: sink.names == {"c"})
    reflector.check()
    assert watched_from(double)[:2] == ["7", "8"]


def test_after_an_outage_the_first_thing_is_a_list(double, sink, timed):
    now, start = timed
    double.on("GET", PATH, page(7, "a"), page(90, "b"))
    double.on("GET", PATH, after(now, 200, Call.reset), open_watch(double), watch=True)
    reflector = start()
    eventually(lambda: sink.names == {"b"})
    reflector.check()


def test_the_usual_times_fit_together():
    pace = WatchTimings()
    assert 2 * pace.watch <= pace.max_age, "a watch may miss one end"
    assert pace.watch <= pace.relist_age, "a quiet watch needs no lists"
    assert pace.watch < pace.silence < pace.max_age, "a silent one is given up while its copy is still good"


def test_a_version_that_is_too_old_is_no_reason_to_wait(double, sink, start):
    double.on("GET", PATH, page(7, "a"), page(90, "b"))
    double.on("GET", PATH, lambda call: call.stream(GONE), open_watch(double), watch=True)
    start(first_backoff=60.0, longest_backoff=60.0)
    eventually(lambda: sink.names == {"b"})


def test_a_server_whose_versions_are_always_too_old_is_not_pestered(double, sink, start, caplog):
    caplog.set_level("INFO")
    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, lambda call: call.stream(GONE), watch=True)
    start(shortest_watch=5.0, first_backoff=60.0, longest_backoff=60.0)
    eventually(lambda: caplog.text.count("too old") == 2)
    time.sleep(0.1)  # enough for dozens more
    assert (sink.lists, len(watched_from(double))) == (2, 2)


def test_a_list_is_as_old_as_its_first_page(double, sink):
    now = [1000.0]

    def first(call: Call) -> None:
        now[0] += 50  # the server takes its time
        page(7, "a", token="more")(call)

    double.on("GET", PATH, first, page(7, "b"))
    double.on("GET", PATH, open_watch(double), watch=True)
    reflector = Reflector(double.api(), PATH, sink, clock=lambda: now[0])
    reflector.start()
    eventually(lambda: watched_from(double) == ["7"])
    assert reflector.age_seconds == 50
    assert sink.lists == 1, "a list that took long is followed by a watch and not by another list"
    double.over.set()
    reflector.stop()


def test_a_server_that_ends_every_watch_at_once_is_not_pestered(double, start, caplog):
    double.on("GET", PATH, page(7, "a"))
    double.on("GET", PATH, lambda call: call.stream(), watch=True)
    start(shortest_watch=5.0, first_backoff=60.0)
    eventually(lambda: "the server ended the watch at once" in caplog.text)
    assert len(watched_from(double)) == 1


def test_an_optional_resource_that_is_not_installed_is_empty(sink, start):
    reflector = start(optional=True)
    assert reflector.wait(30)
    reflector.check()
    assert sink.names == set()


def test_an_optional_resource_is_found_once_it_is_installed(double, sink, start):
    double.on("GET", PATH, lambda call: call.refuse(404, "NotFound"), page(7, "a"))
    double.on("GET", PATH, open_watch(double), watch=True)
    start(optional=True, absent=0.02)
    eventually(lambda: sink.names == {"a"})


def test_stopping_ends_a_watch_that_is_open(double, start):
    double.on("GET", PATH, page(7))
    double.on("GET", PATH, open_watch(double), watch=True)
    reflector = start()
    eventually(lambda: watched_from(double))
    reflector.stop()
    eventually(lambda: reflector_threads() == [])
