"""Listening, until somebody says stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from asyncio.sslproto import SSLProtocol
from dataclasses import dataclass

from aiohttp import web

from autoscaler.adapter.app import App

GRACE_SECONDS = 5
"""How long answers that are under way may take at the end."""
HANDSHAKE_SECONDS = 10
KEEP_ALIVE_SECONDS = 120.0
"""Longer than Go's clients keep an idle connection (90 s), so that it is they who close it."""

MAX_LINE = 32_768
"""Of the request's line and of each header, in bytes. Tokens with many groups are long."""

log = logging.getLogger(__name__)
_quiet = log.getChild("connections")
_quiet.setLevel(logging.CRITICAL)  # what a stranger sends that is no HTTP is no error of ours


class _Tls(SSLProtocol):
    """TLS that says why it refuses: asyncio's own drops the alert of a failed handshake."""

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if handshake_exc is not None:
            self._process_outgoing()  # type: ignore[attr-defined]
        super()._on_handshake_complete(handshake_exc)


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that answers on ``port``."""

    port: int
    _sockets: asyncio.Server
    _connections: web.Server

    async def close(self) -> None:
        """No new connections; idle ones end at once, and answers that are under way may end."""
        self._sockets.close()
        self._connections.pre_shutdown()
        await self._connections.shutdown(GRACE_SECONDS)


async def listen(app: App, host: str, port: int, tls: ssl.SSLContext) -> Listening:
    """Starts to answer. Port 0 takes a free one. Raises ``OSError`` where it cannot listen."""
    connections = web.Server(
        app.handle,
        access_log=None,
        logger=_quiet,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
    )
    loop = asyncio.get_running_loop()

    def connected() -> asyncio.BaseProtocol:
        return _Tls(
            loop,
            connections(),
            tls,
            None,  # type: ignore[arg-type] # nobody waits for the handshake
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=GRACE_SECONDS,
        )

    sockets = await loop.create_server(connected, host, port)
    return Listening(sockets.sockets[0].getsockname()[1], sockets, connections)


async def serve_until_told(app: App, host: str, port: int, tls: ssl.SSLContext) -> None:
    """Answers until SIGTERM or SIGINT."""
    listening = await listen(app, host, port, tls)
    log.info("listening on https://%s:%d", host, listening.port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        await stop.wait()
    finally:
        await listening.close()
