"""Which connections stay, which go first, and what is said to those that make no sense."""

import asyncio
import json
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.adapter.connection_limits import (
    LIMITS,
    MAX_UNANSWERED,
    ConnectionLimiter,
    Limit,
    Stage,
    fitting,
)
from tests.adapter.running import running
from tests.adapter.test_app import DECLARED, TOKEN, V2, get, judge
from tests.adapter.test_authorizer import FRONT, TRUST
from tests.adapter.test_tls import speak
from tests.adapter.world import Trusted

FEW = {stage: Limit(2, seconds) for stage, seconds in zip(Stage, (10.0, 15.0, 130.0, 130.0), strict=True)}


class Wire:
    """A transport: whether it was closed."""

    closed = False

    def abort(self):
        self.closed = True


class Door:
    """Connections by name, and a clock."""

    def __init__(self):
        self.now, self.dropped, self.wires = 0.0, [], {}
        self.connections = ConnectionLimiter(lambda: self.now, lambda *why: self.dropped.append(why), FEW)

    def open(self, name, stage=Stage.HANDSHAKE):
        self.wires[name] = Wire()
        connection = self.connections.opened(self.wires[name])
        if stage is not Stage.HANDSHAKE:
            connection.secured([b"a certificate"] if stage is Stage.CERTIFICATE else ())
        if stage is Stage.TOKEN:
            connection.authenticated()
        return connection

    def open_now(self):
        return {name for name, wire in self.wires.items() if not wire.closed}


@pytest.mark.parametrize("stage", Stage)
def test_where_a_stage_is_full_its_oldest_goes(stage):
    door = Door()
    for name in "abc":
        door.open(name, stage)
    assert door.open_now() == {"b", "c"}
    assert door.dropped == [(stage, "Limit")]


@pytest.mark.parametrize("crowd", [Stage.HANDSHAKE, Stage.ANONYMOUS, Stage.TOKEN])
def test_no_crowd_pushes_out_the_api_server(crowd):
    door = Door()
    door.open("api server", Stage.CERTIFICATE)
    for number in range(100):
        door.open(number, crowd)
    assert "api server" in door.open_now()
    assert door.open("a new one of it", Stage.CERTIFICATE).dropped is False


def test_a_caller_whose_token_is_good_outlives_those_who_only_connect():
    door = Door()
    door.open("known", Stage.TOKEN)
    for number in range(100):
        door.open(number, Stage.ANONYMOUS)
    assert "known" in door.open_now()


def test_one_that_asks_is_younger_than_one_that_is_idle():
    door = Door()
    busy, _ = (door.open(name, Stage.CERTIFICATE) for name in ("busy", "idle"))
    busy.asks()
    busy.authenticated()
    busy.answered()
    door.open("new", Stage.CERTIFICATE)
    assert door.open_now() == {"busy", "new"}


@pytest.mark.parametrize("stage", Stage)
def test_each_stage_has_its_time(stage):
    door = Door()
    door.open("a", stage)
    door.now = FEW[stage].seconds - 0.1
    door.connections.sweep()
    assert door.open_now() == {"a"}
    door.now = FEW[stage].seconds
    door.connections.sweep()
    assert (door.open_now(), door.dropped) == (set(), [(stage, "Time")])


def test_an_endless_request_ends_the_connection_and_answers_begin_the_count_again():
    door = Door()
    connection = door.open("a", Stage.ANONYMOUS)
    for _ in range(3):
        connection.received(MAX_UNANSWERED)
        connection.answered()
    assert door.open_now() == {"a"}
    connection.received(MAX_UNANSWERED + 1)
    connection.authenticated()  # of a request that was under way: it does not come back
    assert (door.open_now(), door.dropped) == (set(), [(Stage.ANONYMOUS, "Size")])
    assert door.connections.count(Stage.TOKEN) == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["open", "close", "sweep", *Stage]), st.integers(0, 20), st.floats(0, 20))
)


@given(STEPS)
def test_no_order_of_events_leaves_more_than_the_limits(steps):
    door, known = Door(), []
    for what, which, seconds in steps:
        door.now += seconds
        one = known[which % len(known)] if known else None
        if what == "open":
            known.append(door.open(len(known)))
        elif what == "sweep":
            door.connections.sweep()
        elif one and what == "close":
            one.closed()
        elif one and not one.dropped:
            door.connections.move(one, Stage(what))
        for stage, limit in FEW.items():
            assert door.connections.count(stage) <= limit.connections


def test_few_open_files_mean_few_connections_in_every_stage():
    assert fitting(10_000) == LIMITS
    small = fitting(256)
    assert sum(limit.connections for limit in small.values()) <= 128
    assert all(limit.connections >= 25 for limit in small.values())
    assert all(limit.connections >= 1 for limit in fitting(10).values())


# -- over real TLS ------------------------------------------------------------------------------


@pytest.fixture
async def world(tmp_path):
    async with running(tmp_path, DECLARED, judge(), Trusted(TRUST), FEW) as world:
        yield world


async def test_silent_connections_push_out_each_other_and_callers_are_answered(world):
    port = urlsplit(world.url).port
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    async with world.session(FRONT.client("front-proxy-client"), **{"X-Remote-User": "hpa"}) as session:
        assert (await get(session, V2))[0] == 200
    async with world.session(**TOKEN) as session:
        assert (await get(session, V2))[0] == 200
    assert dropped(world, Stage.HANDSHAKE, "Limit") >= len(silent) - FEW[Stage.HANDSHAKE].connections
    for _, writer in silent:
        writer.close()


NOT_HTTP = {
    "no version": b"GET /livez\r\n\r\n",
    "HTTP/0.9": b"GET /livez HTTP/0.9\r\n\r\n",
    "HTTP/2.0": b"GET /livez HTTP/2.0\r\n\r\n",
    "no colon": b"GET /livez HTTP/1.1\r\nHost: x\r\nSecret-bytes\r\n\r\n",
    "not text": b"\x16\x03\x01Secret-bytes\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a length below 0": b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a long header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: " + b"Secret-bytes" * 4000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_gets_a_status_without_its_bytes_or_our_versions(world, sent):
    said = await asyncio.to_thread(speak, world, sent)
    head, _, body = said.partition("\r\n\r\n")
    lines = head.splitlines()
    assert lines[0].startswith(("HTTP/1.0 400 ", "HTTP/1.1 400 "))
    assert [line for line in lines if line.startswith("Server:")] == ["Server: vllm-autoscaler"]
    assert (json.loads(body)["kind"], json.loads(body)["code"]) == ("Status", 400)
    assert not any(word in said.lower() for word in ("secret", "python", "aiohttp", "bytes"))


ODD = ["/%ff", "/apis?a=%ff", "/apis?" + "a=b&" * 100, "/%00"]


@pytest.mark.parametrize("target", ODD)
async def test_what_no_path_can_be_is_refused_without_its_bytes(world, target):
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hpa\r\nConnection: close\r\n\r\n"
    said = await asyncio.to_thread(speak, world, request.encode())
    assert said.startswith("HTTP/1.1 400 ")
    assert not any(word in said for word in ("0xff", "codec", "a=b"))


async def test_headers_without_an_end_are_cut_off(world):
    def drip():
        with suppress(OSError), world.secured() as tls:
            tls.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
            for number in range(1000):
                tls.sendall(b"X-%d: %s\r\n" % (number, b"a" * 20_000))

    await asyncio.to_thread(drip)
    assert dropped(world, Stage.ANONYMOUS, "Size") == 1


async def test_what_takes_too_long_is_closed(tmp_path):
    short = {stage: Limit(10, 0.1) for stage in Stage}
    async with running(tmp_path, DECLARED, judge(), Trusted(TRUST), short) as world:
        silent, writer = await asyncio.open_connection("127.0.0.1", urlsplit(world.url).port)

        def half_a_request():
            with world.secured() as tls:
                tls.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ")
                with suppress(OSError):
                    return tls.recv(1)
            return b""

        assert await asyncio.to_thread(half_a_request) == b""
        with suppress(ConnectionError):
            assert await silent.read(1) == b""
        writer.close()
        assert dropped(world, Stage.HANDSHAKE, "Time") == dropped(world, Stage.ANONYMOUS, "Time") == 1


def dropped(world, stage, reason):
    name = "vllm_autoscaler_adapter_connections_dropped_total"
    return world.telemetry.registry.get_sample_value(name, {"stage": stage, "reason": reason})
