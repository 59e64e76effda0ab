"""A small HTTP server on a free loopback port, the base of servers with scripted answers."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self


class Request(BaseHTTPRequestHandler):
    """One request: ``command``, ``path``, ``headers`` and ``rfile`` are the standard library's."""

    server: _Server

    def _answer(self) -> None:
        self.server.answer(self)

    do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815

    def body(self) -> bytes:
        """The body of the request; it can be read once."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        """A whole answer; ``kind``: its content type."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


class _KeptRequest(Request):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True


class LoopbackServer:
    """Listens on ``port`` from its making, and answers in threads while its block runs.

    ``tls``: serves https. ``keeps_alive``: connections, as HTTP/1.1 does.
    """

    def __init__(
        self, answer: Callable[[Request], None], tls: ssl.SSLContext | None = None, keeps_alive: bool = False
    ) -> None:
        self._server = _Server(answer, keeps_alive)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_port

    def __enter__(self) -> Self:
        # A short poll, so that leaving does not wait for half a second.
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, answer: Callable[[Request], None], keeps_alive: bool) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _KeptRequest if keeps_alive else Request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that gave up."""
