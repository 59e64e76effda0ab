"""A GCE metadata server on loopback: what Workload Identity is to a pod on GKE.

google-auth reads ``GCE_METADATA_HOST`` and ``GCE_METADATA_IP`` when it is imported, so the process that
uses it is started with ``environment``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"


class MetadataServer:
    """``issue`` makes the next access token. ``asked``: the paths, in order."""

    def __init__(self, issue: Callable[[], str], lifetime: int = 3599) -> None:
        self.issue = issue
        self.lifetime = lifetime
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        host = f"127.0.0.1:{self._server.server_port}"
        self.environment = {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                server.asked.append(self.path)
                self.send_response(200)
                self.send_header("Metadata-Flavor", "Google")
                if path == f"{_ACCOUNT}/token":
                    body = {
                        "access_token": server.issue(),
                        "expires_in": server.lifetime,
                        "token_type": "Bearer",
                    }
                elif path.rstrip("/") == _ACCOUNT and "recursive=true" in query:
                    body = {"email": "autoscaler@models-prod.iam", "scopes": [], "aliases": ["default"]}
                else:
                    body = None
                self.send_header("Content-Type", "application/json" if body else "text/plain")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode() if body else b"models-prod")

            def log_message(self, format: str, *args: object) -> None:
                """Requests are no news."""

        return Handler

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
