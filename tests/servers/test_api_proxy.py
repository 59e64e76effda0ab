"""The proxy makes the faults it is given and no others, in front of a scripted server."""

from __future__ import annotations

import json
import threading
import time
from queue import SimpleQueue

import pytest
import requests
import urllib3

from tests.servers.api_proxy import ApiProxy, Fault, Refusal, calls, watches
from tests.servers.eventually import eventually
from tests.servers.loopback import LoopbackServer

PODS = "/api/v1/pods"


class Upstream(LoopbackServer):
    """Lists ``names``, and watches say what is put into ``events``; None ends one."""

    def __init__(self):
        super().__init__(self._answer, keeps_alive=True)
        self.names = ["one"]
        self.events = SimpleQueue()
        self.done = []

    def _answer(self, request):
        if "watch=1" not in request.path:
            self.done.append((request.command, request.body()))
            items = [{"metadata": {"name": name}} for name in self.names]
            request.reply(200, "application/json", json.dumps({"items": items}).encode())
            return
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while (name := self.events.get()) is not None:
            event = json.dumps({"type": "ADDED", "object": {"metadata": {"name": name}}}).encode()
            request.wfile.write(b"%x\r\n%s\n\r\n" % (len(event) + 1, event))
        request.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server
        for _ in range(9):
            server.events.put(None)


@pytest.fixture
def proxy(upstream):
    with ApiProxy(f"http://127.0.0.1:{upstream.port}", urllib3.PoolManager()) as server:
        yield server


class Watch:
    """The events of a watch so far, and whether it has ended."""

    def __init__(self, proxy):
        self.names = []
        self.ended = None
        self._answer = requests.get(f"{proxy.url}{PODS}?watch=1", stream=True, timeout=10)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for line in self._answer.iter_lines(chunk_size=1):
                self.names.append(json.loads(line)["object"]["metadata"]["name"])
        except requests.RequestException:
            self.ended = "broken"
        else:
            self.ended = "complete"


def listed(proxy):
    found = requests.get(f"{proxy.url}{PODS}", timeout=10).json()
    return [item["metadata"]["name"] for item in found["items"]]


def test_without_a_fault_all_is_passed_on(proxy, upstream):
    assert listed(proxy) == ["one"]
    requests.patch(f"{proxy.url}{PODS}/one/status?fieldManager=x", data=b"{}", timeout=10)
    assert upstream.done[-1] == ("PATCH", b"{}")
    watch = Watch(proxy)
    for name in ("two", "three", None):
        upstream.events.put(name)
    eventually(lambda: watch.ended == "complete")
    assert watch.names == ["two", "three"]
    assert [(one.method, one.is_watch, one.status) for one in proxy.calls] == [
        ("GET", False, 200),
        ("PATCH", False, 200),
        ("GET", True, 200),
    ]
    assert len(proxy.seen(calls("PATCH", "/pods/", "/status"))) == 1


def test_a_refusal_is_a_status_with_headers_and_is_not_passed_on(proxy, upstream):
    refusal = Refusal(503, "ServiceUnavailable", {"Retry-After": "3600"})
    with proxy.fault(calls("GET", "/pods"), Fault(refusal=refusal)):
        answer = requests.get(f"{proxy.url}{PODS}", timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3600")
    assert answer.json()["reason"] == "ServiceUnavailable"
    assert upstream.done == []
    assert listed(proxy) == ["one"]


def test_a_lost_answer_is_of_a_request_that_was_done(proxy, upstream):
    with (
        proxy.fault(calls("PATCH", ""), Fault(answer_lost=True)),
        pytest.raises(requests.ConnectionError),
    ):
        requests.patch(f"{proxy.url}{PODS}", data=b"{}", timeout=10)
    assert upstream.done == [("PATCH", b"{}")]


def test_a_request_that_hangs_is_cut_when_the_fault_is_over(proxy, upstream):
    broken = threading.Event()

    def ask():
        with pytest.raises(requests.ConnectionError):
            listed(proxy)
        broken.set()

    with proxy.fault(calls("GET", "/pods"), Fault(hangs=True)):
        threading.Thread(target=ask, daemon=True).start()
        eventually(lambda: proxy.calls)
        assert not broken.wait(0.2)
    assert broken.wait(5)
    assert upstream.done == []


def test_a_delay_comes_before_the_request_is_passed_on(proxy):
    begun = time.monotonic()
    with proxy.fault(calls("GET", "/pods"), Fault(delay=0.3)):
        listed(proxy)
    assert time.monotonic() - begun >= 0.3


def test_a_silent_watch_says_nothing_and_its_events_are_lost_with_it(proxy, upstream):
    watch = Watch(proxy)
    upstream.events.put("heard")
    eventually(lambda: watch.names == ["heard"])
    with proxy.fault(watches("pods"), Fault(silent=True)):
        late = Watch(proxy)  # it is opened all the same
        for name in ("unheard", "unheard", None, None):
            upstream.events.put(name)
        time.sleep(0.3)
        assert (watch.names, watch.ended, late.names, late.ended) == (["heard"], None, [], None)
    eventually(lambda: (watch.ended, late.ended) == ("broken", "broken"))
    assert watch.names == ["heard"]


def test_a_watch_that_lags_says_everything_later_and_in_order(proxy, upstream):
    watch = Watch(proxy)
    with proxy.fault(watches("pods"), Fault(lag=0.4)):
        begun = time.monotonic()
        upstream.events.put("two")
        upstream.events.put("three")
        eventually(lambda: watch.names == ["two", "three"])
    assert time.monotonic() - begun >= 0.4


def test_a_cut_breaks_the_watches_that_are_open(proxy):
    watch = Watch(proxy)
    proxy.cut()
    eventually(lambda: watch.ended == "broken")
    assert Watch(proxy).ended is None


def test_a_stale_list_is_the_last_one_before_the_fault(proxy, upstream):
    assert listed(proxy) == ["one"]
    upstream.names.append("two")
    with proxy.fault(calls("GET", "/pods"), Fault(stale=True)):
        assert listed(proxy) == ["one"]
    assert listed(proxy) == ["one", "two"]


def test_a_lie_changes_each_object_of_lists_and_of_watches(proxy, upstream):
    def renamed(obj):
        return {"metadata": {"name": obj["metadata"]["name"].upper()}}

    upstream.names.append("two")
    with proxy.fault(lambda call: call.path == PODS, Fault(lie=renamed)):
        assert listed(proxy) == ["ONE", "TWO"]
        watch = Watch(proxy)
        upstream.events.put("three")
        eventually(lambda: watch.names == ["THREE"])
    assert listed(proxy) == ["one", "two"]


def test_of_several_faults_the_latest_counts(proxy):
    with (
        proxy.fault(calls("GET", ""), Fault(refusal=Refusal(500, "InternalError"))),
        proxy.fault(calls("GET", "/pods"), Fault(refusal=Refusal(429, "TooManyRequests"))),
    ):
        assert requests.get(f"{proxy.url}{PODS}", timeout=10).status_code == 429
        assert requests.get(f"{proxy.url}/livez", timeout=10).status_code == 500
