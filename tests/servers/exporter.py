"""A metrics endpoint that says whatever a test wants: for the faults that a real one cannot show."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self


class Exporter:
    """Serves ``text`` as /metrics on a free loopback port; all fields may change at any time.

    ``status``: the HTTP status. ``delay``: seconds before each answer. ``scrapes``: how often it was asked.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.status = 200
        self.delay = 0.0
        self.scrapes = 0
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self._server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.scrapes += 1
                time.sleep(exporter.delay)
                body = exporter.text.encode()
                self.send_response(exporter.status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Scrapes are no news."""

        return Handler

    def __enter__(self) -> Self:
        # A short poll, so that leaving does not wait for half a second.
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A scrape that gave up is the scraper's business."""
