"""``/metrics``, ``/healthz`` and ``/readyz`` on one port, served by threads of the standard library.

A connection takes a thread, so both are few and short: one request, at most ``SECONDS``, and where
all threads are taken the oldest connection is closed for the new one. A probe is then answered
however many connections are opened and left alone.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from autoscaler.threads import BackgroundThread

CONNECTIONS = 32
"""At the same time: a few scrapers and probes, and room for those that are slow."""
SECONDS = 10.0
"""From a connection's beginning to its end, headers and answer included."""
LOOK_SECONDS = 0.5

Check = Callable[[], str | None]
"""None when all is well, otherwise what is wrong in one line."""


class TelemetryServer:
    """Serves until it is closed. ``port`` 0 takes a free one; ``address`` is where it listens."""

    def __init__(
        self,
        address: str,
        port: int,
        registry: CollectorRegistry,
        alive: Check,
        ready: Check,
        *,
        connections: int = CONNECTIONS,
        seconds: float = SECONDS,
    ) -> None:
        """Binds the port. Raises ``OSError`` where it is taken."""

        class Handler(_Handler):
            """Three pages."""

            def do_GET(self) -> None:
                """Answers a GET request."""
                path = self.path.partition("?")[0]
                if self.request_version not in ("HTTP/1.0", "HTTP/1.1"):
                    self.send_error(400)
                elif path == "/metrics":
                    encode, kind = choose_encoder(self.headers.get("Accept", ""))
                    self.reply(200, kind, encode(registry))
                elif path in ("/healthz", "/readyz"):
                    fault = (alive if path == "/healthz" else ready)()
                    self.reply(503 if fault else 200, "text/plain", f"{fault or 'ok'}\n".encode())
                else:
                    self.reply(404, "text/plain", b"there are /metrics, /healthz and /readyz\n")

        self._server = _Server((address, port), Handler, connections, seconds)
        self.port: int = self._server.server_address[1]
        look_seconds = min(LOOK_SECONDS, seconds)
        self._thread = BackgroundThread("telemetry", lambda: self._server.serve_forever(look_seconds))
        self._thread.start()

    def close(self) -> None:
        """Frees the port."""
        self._thread.expect_end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request, and errors without its bytes or our versions."""

    def reply(self, status: int, kind: str, body: bytes) -> None:
        """Sends an answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """The status and its usual name: the library's page shows what was sent."""
        self.request_version = "HTTP/1.0"  # before it an answer had no status
        self.close_connection = True
        self.reply(code, "text/plain", f"{HTTPStatus(code).phrase}\n".encode())

    def version_string(self) -> str:
        """The value of the header Server."""
        return "vllm-autoscaler"

    def log_message(self, *_: object) -> None:
        """Probes come every few seconds: no line for each."""


class _Server(ThreadingHTTPServer):
    """A thread for each connection, of which there are few."""

    daemon_threads = True
    block_on_close = False  # a thread ends with its connection, and those are closed
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[_Handler], connections: int, seconds: float
    ) -> None:
        self._connections = connections
        self._seconds = seconds
        self._lock = threading.Lock()
        self._open: OrderedDict[socket.socket, float] = OrderedDict()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A new connection; the oldest goes where there are too many."""
        with self._lock:
            while len(self._open) >= self._connections:
                _end(self._open.popitem(last=False)[0])
            self._open[request] = time.monotonic()
        request.settimeout(self._seconds)
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Ends connections whose time is up."""
        now = time.monotonic()
        with self._lock:
            while self._open and now - next(iter(self._open.values())) >= self._seconds:
                _end(self._open.popitem(last=False)[0])

    def shutdown_request(self, request: Any) -> None:
        """Forgets a connection that either side has ended."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Frees the port and ends what is open."""
        with self._lock:
            while self._open:
                _end(self._open.popitem()[0])
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that ended early is not an error."""


def _end(connection: socket.socket) -> None:
    """Its thread finds it closed, whatever that waits for, and ends."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
