"""The HTTPS server: identity, rights, answer, in this order, and nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from math import inf
from typing import Protocol

from aiohttp import web

from autoscaler.adapter.adapter_metrics import AdapterMetrics
from autoscaler.adapter.api_resources import Document
from autoscaler.adapter.authentication import ANONYMOUS, UnauthorizedError
from autoscaler.adapter.authorizer import Authorizer, ForbiddenError
from autoscaler.adapter.handlers import Handlers, RefusedError
from autoscaler.adapter.requests import HEALTH, ApiRequest, access, parse_target
from autoscaler.adapter.wire import status
from autoscaler.errors import ClusterError
from autoscaler.ports.identity import Access
from autoscaler.threads import PROCESS

MAX_IN_FLIGHT = 512
"""Requests beyond it are answered with 429, and Kubernetes' clients try again. Half of it is kept for
clients with a certificate, such as the API server's aggregation layer."""

MAX_KEPT_TARGET = 1024
"""Longer targets, in characters, are not cached: anonymous callers' would fill the memory."""

PIECE = 1 << 18
"""Of a large answer, in bytes. In one piece it would be copied several times on its way through TLS."""

log = logging.getLogger(__name__)

_SERVER = {"Server": "vllm-autoscaler"}
_JSON = {**_SERVER, "Content-Type": "application/json", "Cache-Control": "no-cache, private"}


class Caller(Protocol):
    """The other end of a connection."""

    @property
    def chain(self) -> Sequence[bytes]:
        """Its verified certificate and the chain up to an authority, DER; empty without one."""

    def authenticated(self) -> None:
        """The user of the request under way is known."""


class App:
    """Answers requests. ``unready``: what is missing to answer them well, empty when nothing is.

    ``fault``: why the process is not whole any more, None while it is.
    """

    def __init__(
        self,
        gate: Authorizer,
        answers: Handlers,
        unready: Callable[[], Sequence[str]],
        telemetry: AdapterMetrics,
        fault: Callable[[], str | None] = PROCESS.fault,
    ) -> None:
        self._gate = gate
        self.telemetry = telemetry
        self._answers = answers
        self._unready = unready
        self._fault = fault
        self._in_flight = 0

    async def handle(self, request: web.BaseRequest, caller: Caller) -> web.StreamResponse:
        """One request, answered and counted."""
        began = time.perf_counter()
        response = await self._answered(request, caller)
        self.telemetry.answered(response.status, time.perf_counter() - began)
        return response

    async def _answered(self, request: web.BaseRequest, caller: Caller) -> web.StreamResponse:
        """Answers a request; an error is an answer too, and reveals nothing about this process."""
        if self._in_flight >= _most(request, caller):
            return refusal(429, "TooManyRequests", "too many requests, please try again later")
        self._in_flight += 1
        try:
            return await self._respond(request, caller)
        except RefusedError as error:
            return refusal(error.code, error.reason, str(error))
        except UnauthorizedError as error:
            log.info("401 %s %s: %s", request.method, request.raw_path[:200], error)
            return refusal(401, "Unauthorized", "Unauthorized")
        except ForbiddenError as error:
            return refusal(403, "Forbidden", f"forbidden: {error}")
        except ClusterError as error:
            log.warning("503 %s %s: %s", request.method, request.raw_path[:200], error)
            return refusal(503, "ServiceUnavailable", "the Kubernetes API cannot be asked now")
        except Exception:
            log.exception("a request failed: %s %s", request.method, request.raw_path[:200])
            return refusal(500, "InternalError", "an internal error, which the log explains")
        finally:
            self._in_flight -= 1

    async def _respond(self, request: web.BaseRequest, caller: Caller) -> web.StreamResponse:
        try:
            read = _read_or_kept if len(request.raw_path) <= MAX_KEPT_TARGET else _read
            asked, wanted = read(request.method, request.raw_path)
        except ValueError as error:
            asked, wanted, fault = None, Access(request.method.lower(), path="/"), str(error)
        user = await self._gate.authorize(request.headers.items(), caller.chain, wanted)
        if user != ANONYMOUS:
            caller.authenticated()
        if asked is None:
            raise RefusedError(400, "BadRequest", fault)
        if request.method != "GET":
            raise RefusedError(405, "MethodNotAllowed", "the server does not allow this method")
        if wanted.path in HEALTH:
            return self._health(wanted.path)
        document = await self._answers.answer(asked, request.headers.get("Accept", ""))
        return await _documented(request, document)

    def _health(self, path: str) -> web.Response:
        """Answers probes: alive while all threads run, ready while answers are complete."""
        fault = self._fault()
        missing = [fault] if fault else [] if path == "/livez" else self._unready()
        if missing:
            return web.Response(status=503, text=f"not ready: {'; '.join(missing)}\n", headers=_SERVER)
        return web.Response(text="ok", headers=_SERVER)


def _read(method: str, target: str) -> tuple[ApiRequest, Access]:
    asked = parse_target(target)
    return asked, access(asked, method, target)


_read_or_kept = lru_cache(maxsize=4096)(_read)


def _most(request: web.BaseRequest, caller: Caller) -> float:
    """The most requests that may be in flight besides this one. Probes never wait."""
    if request.raw_path in HEALTH:
        return inf
    return MAX_IN_FLIGHT if caller.chain else MAX_IN_FLIGHT // 2


async def _documented(request: web.BaseRequest, document: Document) -> web.StreamResponse:
    if "as=" not in document.media_type:
        return await _sent(request, document.body)
    headers = {**_SERVER, "Content-Type": document.media_type, "ETag": document.etag, "Vary": "Accept"}
    if request.headers.get("If-None-Match") == document.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=document.body, headers=headers)


async def _sent(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    if len(body) <= PIECE:
        return web.Response(body=body, headers=_JSON)
    response = web.StreamResponse(headers=_JSON)
    response.content_length = len(body)
    with suppress(ConnectionError):  # who asked may leave
        await response.prepare(request)
        for start in range(0, len(body), PIECE):
            await response.write(body[start : start + PIECE])
        await response.write_eof()
    return response


def refusal(code: int, reason: str, message: str) -> web.Response:
    """An error as clients of Kubernetes expect it."""
    headers = {**_JSON, **({"WWW-Authenticate": "Bearer"} if code == 401 else {})}
    headers |= {"Retry-After": "1"} if code in (429, 503) else {}
    return web.Response(status=code, body=status(code, reason, message), headers=headers)
