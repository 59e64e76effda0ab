"""The real server on a free port of this machine, over TLS, with a small world behind it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from autoscaler.adapter.adapter_metrics import AdapterMetrics
from autoscaler.adapter.app import App
from autoscaler.adapter.authorizer import Authorizer
from autoscaler.adapter.certificates import Keys, utc_now, with_authority, with_certificate
from autoscaler.adapter.connection_limits import LIMITS, Limit, Stage
from autoscaler.adapter.handlers import Handlers
from autoscaler.adapter.metric_cache import MetricCache
from autoscaler.adapter.registry import MetricRegistry
from autoscaler.adapter.server import listen
from autoscaler.adapter.tls import KeyPair, LiveContext

from .authority import Client
from .world import Fleet, Judge, Source, Trusted


@dataclass
class Running:
    """A server and what is behind it. ``served`` may be replaced."""

    url: str
    folder: Path
    keys: Keys
    source: Source
    fleet: Fleet
    judge: Judge
    trusted: Trusted
    board: MetricCache
    served: MetricRegistry
    telemetry: AdapterMetrics
    missing: tuple[str, ...] = ()
    fault: str | None = None

    def issue(self) -> None:
        """A new certificate of a new authority in the same files."""
        self.keys = with_certificate(with_authority(Keys(), utc_now()), ["localhost"], utc_now())
        (self.folder / "tls.crt").write_text(self.keys.tls_crt)
        (self.folder / "tls.key").write_text(self.keys.tls_key)

    def secured(self, change: Callable[[ssl.SSLContext], None] = lambda _: None) -> ssl.SSLSocket:
        """A connection without HTTP; ``change`` may prepare its TLS."""
        context = ssl.create_default_context(cadata=self.keys.ca_crt)
        change(context)
        plain = socket.create_connection(("127.0.0.1", urlsplit(self.url).port), timeout=10)
        try:
            return context.wrap_socket(plain, server_hostname="localhost")
        except OSError:
            plain.close()
            raise

    def session(self, client: Client | None = None, **headers: str) -> aiohttp.ClientSession:
        """Connections that trust the server's authority and show ``client``'s certificate."""
        context = ssl.create_default_context(cadata=self.keys.ca_crt)
        if client is not None:
            context.load_cert_chain(*client.write(self.folder, "client"))
        connector = aiohttp.TCPConnector(ssl=context)
        return aiohttp.ClientSession(self.url, connector=connector, headers=headers)


@asynccontextmanager
async def running(
    folder: Path,
    served: MetricRegistry,
    judge: Judge,
    trusted: Trusted,
    limits: Mapping[Stage, Limit] = LIMITS,
) -> AsyncIterator[Running]:
    """Serves ``served`` until the block ends."""
    source, fleet = Source(), Fleet()
    board = MetricCache(source, fleet)
    world = Running("", folder, Keys(), source, fleet, judge, trusted, board, served, AdapterMetrics())
    world.issue()
    ticks = iter(range(1, 1_000_000))
    live = LiveContext(KeyPair(folder / "tls.crt", folder / "tls.key"), trusted, lambda: float(next(ticks)))
    world.telemetry.watch_usable("Certificates", lambda: live.problem)
    answers = Handlers(lambda: world.served, board)
    app = App(Authorizer(judge, live), answers, lambda: world.missing, world.telemetry, lambda: world.fault)
    listening = await listen(app, "127.0.0.1", 0, live.context, limits)
    world.url = f"https://localhost:{listening.port}"
    try:
        yield world
    finally:
        await listening.close()
        board.close()
