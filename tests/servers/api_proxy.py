"""The Kubernetes API behind a proxy that is late, silent, forgetful or wrong when a test wants it.

::

    with ApiProxy(url, pool) as proxy, proxy.fault(watches("pods"), Fault(silent=True)):
        ...  # watches on pods are open and say nothing

Whatever matches no fault is passed on as it is, watches event by event. A fault that is over is over for
requests under way, too: what was held back is not sent late, its connection is closed.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

import urllib3

from tests.servers.api import JSON
from tests.servers.loopback import LoopbackServer, Request

LOOK_SECONDS = 0.02
UPSTREAM_TIMEOUT = urllib3.Timeout(connect=5, read=120)
_PASSED_ON = ("accept", "content-type", "user-agent")
_PASSED_BACK = ("Content-Type", "Retry-After", "Warning")

_Event = tuple[float, bytes | None]
"""When it came from the API server, and its line; None at the end of the watch."""


@dataclass(frozen=True)
class Call:
    """One request; ``path`` from the root, without its query. ``status``: what it was answered, if it was."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None

    @property
    def is_watch(self) -> bool:
        """True if it follows changes."""
        return self.query.get("watch") in ("1", "true")


@dataclass(frozen=True)
class Refusal:
    """An answer in the API server's place: a Status of that code and reason."""

    code: int
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A fault of a request; times in seconds.

    ``delay``: before it is passed on. ``hangs``: it is taken and never answered. ``refusal``: it is not
    passed on. ``answer_lost``: it is done, and the connection breaks before the answer. Of watches:
    ``lag``: how late each event comes. ``silent``: it is open and nothing comes any more, nor its end.
    ``stale``: what is read is as it was when it was last read without a fault. ``lie``: changes each object
    that is read, by itself, in a list or in an event.
    """

    delay: float = 0.0
    hangs: bool = False
    refusal: Refusal | None = None
    answer_lost: bool = False
    lag: float = 0.0
    silent: bool = False
    stale: bool = False
    lie: Callable[[JSON], JSON] | None = None


Match = Callable[[Call], bool]


def watches(plural: str = "") -> Match:
    """The watches on a resource; of all resources where it is empty."""
    return lambda call: call.is_watch and call.path.endswith(f"/{plural}" if plural else "")


def calls(method: str, part: str, ending: str = "") -> Match:
    """Requests of a method, watches apart, whose path has a part and an ending."""
    return lambda call: (
        call.method == method and not call.is_watch and part in call.path and call.path.endswith(ending)
    )


class ApiProxy(LoopbackServer):
    """In front of ``upstream``, which ``pool`` can reach with the rights that all callers then have.

    ``tls``: serves https. ``calls``: what was asked, in the order of the answers' beginnings.
    """

    def __init__(self, upstream: str, pool: urllib3.PoolManager, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._take, tls, keeps_alive=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self.calls: list[Call] = []
        self._upstream = upstream
        self._pool = pool
        self._faults: list[tuple[Match, Fault]] = []
        self._kept: dict[str, bytes] = {}
        self._cuts = 0

    @contextmanager
    def fault(self, match: Match, fault: Fault) -> Iterator[None]:
        """For requests that match, those under way included; of several faults the latest counts."""
        entry = (match, fault)
        self._faults.insert(0, entry)
        try:
            yield
        finally:
            self._faults.remove(entry)

    def cut(self) -> None:
        """Breaks the watches that are open, as the restart of an API server does."""
        self._cuts += 1

    def seen(self, match: Match) -> list[Call]:
        """The calls that match, in order."""
        return [call for call in list(self.calls) if match(call)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._faults.clear()
        self.cut()
        super().__exit__(kind, error, trace)

    # One request

    def _fault(self, call: Call) -> Fault:
        return next((fault for match, fault in list(self._faults) if match(call)), Fault())

    def _take(self, request: Request) -> None:
        parts = urlsplit(request.path)
        call = Call(request.command, parts.path, dict(parse_qsl(parts.query)))
        body = request.body()
        fault = self._fault(call)
        time.sleep(fault.delay)
        if fault.hangs:
            self._note(call, None)
            self._hold(lambda: self._fault(call).hangs)
            request.close_connection = True
        elif fault.refusal is not None:
            self._note(call, fault.refusal.code)
            _refuse(request, fault.refusal)
        else:
            self._pass_on(request, call, body, fault)

    def _note(self, call: Call, status: int | None) -> None:
        self.calls.append(Call(call.method, call.path, call.query, status))

    def _hold(self, holds: Callable[[], bool]) -> bool:
        """Waits until it no longer holds; whether it ever did."""
        held = False
        cuts = self._cuts
        while self._cuts == cuts and holds():
            held = True
            time.sleep(LOOK_SECONDS)
        return held

    def _pass_on(self, request: Request, call: Call, body: bytes, fault: Fault) -> None:
        headers = {name: value for name, value in request.headers.items() if name.lower() in _PASSED_ON}
        response = self._pool.request(
            request.command,
            f"{self._upstream}{request.path}",
            body=body or None,
            headers=headers,
            preload_content=False,
            timeout=UPSTREAM_TIMEOUT,
            retries=False,
        )
        self._note(call, response.status)
        if call.is_watch and response.status == 200:
            self._relay(request, call, _events(response))
            return
        data = response.read()
        response.release_conn()
        if fault.answer_lost:
            request.close_connection = True
            return
        kind, *more = ((name, response.headers[name]) for name in _PASSED_BACK if name in response.headers)
        request.reply(response.status, kind[1], self._told(call, data, fault), **dict(more))

    def _told(self, call: Call, data: bytes, fault: Fault) -> bytes:
        """The answer in place of the server's own."""
        if fault.stale:
            return self._kept.get(call.path, data)
        if call.method == "GET":
            self._kept[call.path] = data
        return data if fault.lie is None else json.dumps(_changed(json.loads(data), fault.lie)).encode()

    # One watch

    def _relay(self, request: Request, call: Call, events: SimpleQueue[_Event]) -> None:
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        cuts = self._cuts
        goes_on = True
        while goes_on and self._cuts == cuts:
            with suppress(Empty):
                goes_on = self._deliver(request, call, *events.get(timeout=LOOK_SECONDS))

    def _deliver(self, request: Request, call: Call, came: float, line: bytes | None) -> bool:
        """Sends an event at its time; returns whether the watch continues."""
        self._hold(lambda: time.monotonic() < came + self._fault(call).lag)
        if self._hold(lambda: self._fault(call).silent):
            return False
        if line is None:
            request.wfile.write(b"0\r\n\r\n")
            request.close_connection = False
            return False
        lie = self._fault(call).lie
        if lie is not None:
            event = json.loads(line)
            line = json.dumps({**event, "object": lie(event["object"])}).encode()
        request.wfile.write(b"%x\r\n%s\n\r\n" % (len(line) + 1, line))
        return True


def _changed(document: JSON, lie: Callable[[JSON], JSON]) -> JSON:
    if "items" in document:
        return {**document, "items": [lie(item) for item in document["items"]]}
    return lie(document)


def _refuse(request: Request, refusal: Refusal) -> None:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": refusal.code,
        "reason": refusal.reason,
        "message": f"the test says {refusal.reason}",
    }
    request.reply(refusal.code, "application/json", json.dumps(status).encode(), **refusal.headers)


def _events(response: urllib3.BaseHTTPResponse) -> SimpleQueue[_Event]:
    """The lines of a watch as they come."""
    events: SimpleQueue[_Event] = SimpleQueue()

    def read() -> None:
        rest = b""
        try:
            for chunk in response.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    events.put((time.monotonic(), line))
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # it ended otherwise, and so does the watch here
        finally:
            response.close()
            events.put((time.monotonic(), None))

    Thread(target=read, daemon=True).start()
    return events
