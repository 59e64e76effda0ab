"""What is answered when nothing can be: a Status, when to come back, and no word about our inside."""

import asyncio
import json

import pytest
from aiohttp.test_utils import make_mocked_request

from autoscaler.adapter.adapter_metrics import AdapterMetrics
from autoscaler.adapter.api_resources import Document
from autoscaler.adapter.app import MAX_IN_FLIGHT, PIECE, App
from autoscaler.errors import ClusterError


class Gate:
    """Lets nobody pass: everybody waits until it is ``opened``, and then ends in ``error``."""

    def __init__(self, error):
        self.error, self.opened = error, asyncio.Event()

    async def authorize(self, *_):
        await self.opened.wait()
        raise self.error


class Plain:
    """A connection without TLS."""

    def get_extra_info(self, _name, default=None):
        return default


class Caller:
    """A connection's other end, with or without a certificate."""

    def __init__(self, *chain):
        self.chain = chain

    def authenticated(self):
        pass


CERTIFIED = Caller(b"a certificate")


def served(gate):
    app = App(gate, answers=None, unready=tuple, telemetry=AdapterMetrics())

    def ask(path="/apis", caller=None):
        return app.handle(make_mocked_request("GET", path, transport=Plain()), caller or Caller())

    return ask


FAILURES = [
    (ClusterError("10.0.0.1: connection refused"), 503, "ServiceUnavailable", "1"),
    (RuntimeError("secret"), 500, "InternalError", None),
]


@pytest.mark.parametrize(("error", "code", "reason", "retry"), FAILURES)
async def test_what_fails_behind_it_is_told_to_the_log_alone(error, code, reason, retry, caplog):
    gate = Gate(error)
    gate.opened.set()
    response = await served(gate)()
    told = json.loads(response.body)
    assert (response.status, told["kind"], told["reason"]) == (code, "Status", reason)
    assert response.headers.get("Retry-After") == retry
    assert str(error) not in response.text
    assert str(error) in caplog.text


async def test_one_request_too_many_is_told_to_come_back():
    gate = Gate(ClusterError("no"))
    ask = served(gate)
    half = [asyncio.create_task(ask()) for _ in range(MAX_IN_FLIGHT // 2)]
    await asyncio.sleep(0)
    refused = await ask()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    rest = [asyncio.create_task(ask(caller=CERTIFIED)) for _ in half]
    await asyncio.sleep(0)
    assert not any(task.done() for task in rest)
    assert (await ask(caller=CERTIFIED)).status == 429
    gate.opened.set()
    await asyncio.gather(*half, *rest)
    assert (await ask()).status == 503


async def test_probes_are_answered_however_many_requests_wait():
    gate = Gate(ClusterError("no"))
    ask = served(gate)
    waiting = [asyncio.create_task(ask(caller=CERTIFIED)) for _ in range(MAX_IN_FLIGHT)]
    await asyncio.sleep(0)
    gate.authorize = Open().authorize
    assert (await ask("/livez")).status == 200
    gate.opened.set()
    await asyncio.gather(*waiting)


class Open:
    """Lets everybody pass."""

    async def authorize(self, *_):
        return None


class Large:
    """Answers with more than one piece."""

    async def answer(self, *_):
        return Document(b"x" * (3 * PIECE))


class Gone:
    """A connection whose other end leaves after the first piece."""

    pieces = 0

    async def write_headers(self, *_):
        return None

    def send_headers(self):
        return None

    async def write(self, _piece):
        self.pieces += 1
        if self.pieces == 2:
            raise ConnectionResetError


async def test_who_leaves_in_the_middle_is_no_error(caplog):
    writer = Gone()
    app = App(Open(), Large(), unready=tuple, telemetry=AdapterMetrics())
    response = await app.handle(
        make_mocked_request("GET", "/apis", transport=Plain(), writer=writer), Caller()
    )
    assert (response.status, writer.pieces, caplog.text) == (200, 2, "")
