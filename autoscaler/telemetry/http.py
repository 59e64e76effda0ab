"""``/metrics``, ``/healthz`` and ``/readyz`` on one port, served by a thread of the standard library."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from autoscaler.threads import BackgroundThread

Check = Callable[[], str | None]
"""None when all is well, otherwise what is wrong in one line."""


class TelemetryServer:
    """Serves until it is closed. ``port`` 0 takes a free one; ``address`` is where it listens."""

    def __init__(
        self, address: str, port: int, registry: CollectorRegistry, alive: Check, ready: Check
    ) -> None:
        """Binds the port. Raises ``OSError`` where it is taken."""

        class Handler(BaseHTTPRequestHandler):
            """Three pages."""

            def do_GET(self) -> None:
                """Answers a GET request."""
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    encode, kind = choose_encoder(self.headers.get("Accept", ""))
                    self._reply(200, kind, encode(registry))
                elif path in ("/healthz", "/readyz"):
                    fault = (alive if path == "/healthz" else ready)()
                    self._reply(503 if fault else 200, "text/plain", f"{fault or 'ok'}\n".encode())
                else:
                    self._reply(404, "text/plain", b"there are /metrics, /healthz and /readyz\n")

            def _reply(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes come every few seconds: no line for each."""

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = BackgroundThread("telemetry", self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Frees the port."""
        self._thread.expect_end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
