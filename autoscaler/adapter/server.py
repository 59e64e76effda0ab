"""Listening, until a signal ends it: TLS, HTTP, and how many of each connection."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage

from autoscaler.adapter.app import App, refusal
from autoscaler.adapter.connection_limits import (
    LIMITS,
    RESERVED_FILES,
    Connection,
    ConnectionLimiter,
    Limit,
    Stage,
    fitting,
)
from autoscaler.adapter.tls import client_chain

GRACE_SECONDS = 5
"""How long answers that are under way may take at the end."""
KEEP_ALIVE_SECONDS = 120.0
"""Longer than Go's clients keep an idle connection (90 s), so that it is they who close it."""
SWEEP_SECONDS = 1.0
"""How often connections whose time is up are looked for."""

MAX_LINE = 32_768
"""Of the request's line and of each header, in bytes. Tokens with many groups are long."""

OPTIONS: Mapping[str, Any] = {
    "access_log": None,
    "keepalive_timeout": KEEP_ALIVE_SECONDS,
    "lingering_time": 1.0,  # for the body of a request that was answered without reading it
    "max_line_size": MAX_LINE,
    "max_field_size": MAX_LINE,
}
"""aiohttp's own limits for each connection."""

log = logging.getLogger(__name__)
_quiet = log.getChild("connections")
_quiet.setLevel(logging.CRITICAL)  # input that is not HTTP is not an error of this server


class SaysWhy:
    """Sends the alert of a failed handshake, which ``asyncio`` drops.

    There is no public way, so this is mixed into asyncio's protocol and uses two private names of it. Where
    a version has them no more, the connection ends without the alert, and all else is the same.
    """

    def _on_handshake_complete(self, *outcome: Any) -> None:
        flush = getattr(self, "_process_outgoing", None)
        if callable(flush) and any(error is not None for error in outcome):
            flush()
        complete = getattr(super(), "_on_handshake_complete", None)
        if complete is not None:
            complete(*outcome)


class _Tls(SaysWhy, SSLProtocol):
    """TLS of one connection, which takes part in ``ConnectionLimiter``."""

    max_size = 32_768  # a buffer of two TLS records instead of 256 KiB; not public, and only a saving

    def __init__(self, handler: _Handler, connections: ConnectionLimiter, tls: ssl.SSLContext) -> None:
        self._handler, self._connections = handler, connections
        super().__init__(
            asyncio.get_running_loop(),
            handler,
            tls,
            None,  # type: ignore[arg-type] # nothing waits for the handshake
            server_side=True,
            ssl_handshake_timeout=int(LIMITS[Stage.HANDSHAKE].seconds),
            ssl_shutdown_timeout=GRACE_SECONDS,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._handler.connection = self._connections.opened(transport)
        super().connection_made(transport)

    def buffer_updated(self, nbytes: int) -> None:
        connection = self._handler.connection
        connection.received(nbytes)
        if not connection.dropped:
            super().buffer_updated(nbytes)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._handler.connection.closed()
        super().connection_lost(exc)


class _Handler(web.RequestHandler):
    """HTTP of one connection."""

    __slots__ = ("connection",)
    connection: Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connection.secured(client_chain(transport.get_extra_info("ssl_object")))
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 (aiohttp's signature)
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """The answer to what cannot be read; aiohttp's own shows the bytes and its version."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is already sent")
        if status == 400:
            response = refusal(400, "BadRequest", "the request is not valid HTTP")
        else:
            response = refusal(500, "InternalError", "an internal error")
        response.force_close()
        return response


class _Foreign(web.BaseRequest):
    """A request of another version. HTTP/0.9 has no status, so that errors would pass for answers."""


class _Server(web.Server):
    """Makes the connections' HTTP side."""

    def __init__(self, app: App) -> None:
        super().__init__(self._answered, request_factory=self._request)
        self._app = app

    def __call__(self) -> _Handler:
        return _Handler(self, loop=asyncio.get_running_loop(), logger=_quiet, **OPTIONS)

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol.connection  # type: ignore[attr-defined]
        connection.asks()
        if isinstance(request, _Foreign):
            return refusal(400, "BadRequest", "the request names no version of HTTP that is served")
        response = await self._app.handle(request, connection)
        connection.answered()
        return response

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        kind = web.BaseRequest
        if message.version not in (HttpVersion10, HttpVersion11):
            kind, message = _Foreign, message._replace(version=HttpVersion10, should_close=True)
        return kind(message, payload, protocol, writer, task, asyncio.get_running_loop())


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that answers on ``port``."""

    port: int
    connections: ConnectionLimiter
    _sockets: asyncio.Server
    _server: web.Server
    _sweeper: asyncio.Task[None]

    async def close(self) -> None:
        """No new connections; idle ones end at once, and answers that are under way may end."""
        self._sockets.close()
        self._sweeper.cancel()
        self._server.pre_shutdown()
        await self._server.shutdown(GRACE_SECONDS)


async def listen(
    app: App, host: str, port: int, tls: ssl.SSLContext, limits: Mapping[Stage, Limit] = LIMITS
) -> Listening:
    """Starts to answer. Port 0 takes a free one. Raises ``OSError`` where it cannot listen."""
    server = _Server(app)
    loop = asyncio.get_running_loop()
    connections = ConnectionLimiter(loop.time, app.telemetry.dropped, limits)
    app.telemetry.watch(connections)
    sockets = await loop.create_server(lambda: _Tls(server(), connections, tls), host, port)
    sweeper = loop.create_task(_sweep(connections))
    return Listening(sockets.sockets[0].getsockname()[1], connections, sockets, server, sweeper)


async def _sweep(connections: ConnectionLimiter) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        connections.sweep()


async def serve_until_told(app: App, host: str, port: int, tls: ssl.SSLContext) -> None:
    """Answers until SIGTERM or SIGINT."""
    listening = await listen(app, host, port, tls, fitting(_open_files()))
    log.info("listening on https://%s:%d", host, listening.port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        await stop.wait()
    finally:
        await listening.close()


def _open_files() -> int:
    """How many files this process may open, after asking for as many as all connections need."""
    needed = RESERVED_FILES + sum(limit.connections for limit in LIMITS.values())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard) or soft >= needed:
        return needed
    files = min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if files < needed:
        log.warning("%d open files are allowed; %d would hold all connections", files, needed)
    return files
