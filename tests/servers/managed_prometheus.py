"""Managed Service for Prometheus as a client meets it, in front of a real Prometheus.

Its paths, its demand for a fresh bearer token, its rule that metric names match exactly, and the error
bodies of Google's APIs are checked here; whatever passes goes to the Prometheus behind. ``faults`` come
first: each is used up by one request.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from urllib.parse import parse_qs

import requests
from google.auth.credentials import Credentials

from tests.servers.loopback import LoopbackServer, Request

PROJECT = "models-prod"
PATH = f"/v1/projects/{PROJECT}/location/global/prometheus"
NOTHING = b'{"status":"success","data":{"resultType":"vector","result":[]}}'


@dataclass(frozen=True)
class Fault:
    """One answer instead of the real one. ``delay``: seconds before it; ``drip``: between its bytes."""

    status: int = 200
    body: bytes = NOTHING
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0


def google_error(code: int, status: str, message: str) -> bytes:
    """An error body of Google's APIs."""
    return json.dumps({"error": {"code": code, "message": message, "status": status}}).encode()


class ManagedPrometheus(LoopbackServer):
    """The proxy. ``url`` is what Managed Prometheus' URL up to ``/prometheus`` is.

    ``tls``: serves https. ``authorizations``: the headers of that name. ``tokens``: those that are valid
    now; None asks for none. ``queries``: what was asked, in order.
    Without ``upstream`` every query finds nothing.
    """

    def __init__(self, upstream: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._respond, tls, keeps_alive=True)
        self.upstream = upstream
        self.authorizations: list[str] = []
        self.tokens: set[str] | None = None
        self.faults: deque[Fault] = deque()
        self.queries: list[str] = []
        self.requests = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = Lock()
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}{PATH}"

    def answer(self, path: str, token: str | None, form: Mapping[str, list[str]]) -> Fault:
        """The answer to a request."""
        with self._lock:
            self.requests += 1
            if self.faults:
                return self.faults.popleft()
        if self.tokens is not None and token not in self.tokens:
            message = "Request had invalid authentication credentials."
            return Fault(401, google_error(401, "UNAUTHENTICATED", message))
        if path != f"{PATH}/api/v1/query":
            return Fault(404, b"<html>Not Found</html>", {"Content-Type": "text/html"})
        (query,) = form["query"]
        self.queries.append(query)
        if re.search(r"__name__\s*(=~|!=|!~)", query):
            body = {"status": "error", "errorType": "bad_data", "error": "metric names must match exactly"}
            return Fault(400, json.dumps(body).encode())
        if self.upstream is None:
            return Fault()
        passed = requests.post(f"{self.upstream}/api/v1/query", form, timeout=10)
        return Fault(passed.status_code, passed.content)

    def _respond(self, request: Request) -> None:
        form = parse_qs(request.body().decode())
        self.authorizations.append(request.headers.get("Authorization", ""))
        kind, _, token = self.authorizations[-1].partition(" ")
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            _send(request, self.answer(request.path, token if kind == "Bearer" else None, form))
        finally:
            with self._lock:
                self.at_once -= 1


def _send(request: Request, answer: Fault) -> None:
    time.sleep(answer.delay)
    request.send_response(answer.status)
    headers = {"Content-Type": "application/json", **answer.headers}
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(answer.body)))
    request.end_headers()
    if not answer.drip:
        request.wfile.write(answer.body)
        return
    for byte in answer.body:
        request.wfile.write(bytes([byte]))
        time.sleep(answer.drip)


class IssuedCredentials(Credentials):
    """Google credentials whose every refresh makes a new token, the only one that ``proxy`` accepts."""

    def __init__(self, proxy: ManagedPrometheus, lifetime: timedelta = timedelta(hours=1)) -> None:
        super().__init__()
        self.proxy = proxy
        self.lifetime = lifetime
        self.refreshes = 0

    def refresh(self, _request: object) -> None:
        """A new token; google-auth keeps times without a zone."""
        self.refreshes += 1
        self.token = f"token-{self.refreshes}"
        self.expiry = (datetime.now(UTC) + self.lifetime).replace(tzinfo=None)
        self.proxy.tokens = {self.token}
