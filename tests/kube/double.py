"""An API server for faults alone: it answers what a test wants, as badly as a test wants.

What a real one does is tested against a real one, in tests/e2e.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client import Configuration

from autoscaler.kube.client.api import Api
from tests.servers import loopback


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Call:
    """One request and the means to answer it."""

    def __init__(self, request: Request, handler: loopback.Request) -> None:
        self.request = request
        self._handler = handler

    def json(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.text(json.dumps(body), status, {"Content-Type": "application/json", **(headers or {})})

    def refuse(self, status: int, reason: str = "", message: str = "no", **headers: str) -> None:
        told = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status}
        self.json(told, status, {name.replace("_", "-"): value for name, value in headers.items()})

    def text(self, body: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = body.encode()
        self._handler.send_response(status)
        for name, value in (headers or {}).items():
            self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(len(data)))
        self._handler.end_headers()
        self._handler.wfile.write(data)

    def begin_stream(self) -> None:
        self._handler.send_response(200)
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()

    def send(self, *events: object) -> None:
        data = "".join(json.dumps(event) + "\n" for event in events).encode()
        self.send_piece(data)

    def send_piece(self, data: bytes) -> None:
        self._handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self._handler.wfile.flush()

    def end_stream(self) -> None:
        self._handler.wfile.write(b"0\r\n\r\n")

    def stream(self, *events: object) -> None:
        """A watch that ends after these events."""
        self.begin_stream()
        if events:
            self.send(*events)
        self.end_stream()

    def reset(self) -> None:
        """The connection breaks."""
        self._handler.close_connection = True
        self._handler.connection.close()


Answer = Callable[[Call], None]


@dataclass
class Double:
    """Answers by method and path: the queued answers one after the other, the last one for ever."""

    url: str
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _answers: dict[tuple[str, str, bool], deque[Answer]] = field(default_factory=lambda: defaultdict(deque))

    def on(self, method: str, path: str, *answers: Answer, watch: bool = False) -> None:
        self._answers[method, path, watch].extend(answers)

    def instead(self, method: str, path: str, answer: Answer) -> None:
        """From now on this, and nothing that was queued before."""
        self._answers[method, path, False] = deque([answer])

    def seen(self, method: str, path: str = "") -> list[Request]:
        return [one for one in self.requests if one.method == method and one.path.startswith(path)]

    def api(self, token: str | None = None, **timeouts: float) -> Api:
        configuration = Configuration(host=self.url)
        if token is not None:
            configuration.api_key["BearerToken"] = f"bearer {token}"
        return Api(configuration, **timeouts)

    def answer(self, call: Call) -> None:
        request = call.request
        self.requests.append(request)
        queued = self._answers.get((request.method, request.path, "watch" in request.query))
        if not queued:
            call.refuse(404, "NotFound", f"nothing at {request.path}")
        elif len(queued) > 1:
            queued.popleft()(call)
        else:
            queued[0](call)

    def until_over(self, call: Call) -> None:
        """An answer that never comes."""
        self.over.wait(30)
        call.reset()


@contextmanager
def api_double() -> Iterator[Double]:
    double = Double("")

    def answer(handler: loopback.Request) -> None:
        url = urlsplit(handler.path)
        sent = handler.body()
        query, headers = dict(parse_qsl(url.query)), dict(handler.headers)
        request = Request(handler.command, url.path, query, headers, json.loads(sent) if sent else None)
        try:
            double.answer(Call(request, handler))
        except OSError:
            handler.close_connection = True

    with loopback.LoopbackServer(answer, keeps_alive=True) as server:
        double.url = f"http://127.0.0.1:{server.port}"
        try:
            yield double
        finally:
            double.over.set()
