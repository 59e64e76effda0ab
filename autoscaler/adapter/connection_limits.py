"""Limits of connections in each stage, in number and time.

A connection goes through stages: the TLS handshake, then anonymous until a request on it was
authenticated, unless it showed a client certificate. Each stage has a limit of its own, and where
it is full its oldest connection goes. So connections that are opened and left alone push out each
other, and never the API server, whose aggregation layer shows a certificate.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Stage(StrEnum):
    """How far a connection has come, and how trusted its client is."""

    HANDSHAKE = "Handshake"
    ANONYMOUS = "Anonymous"
    TOKEN = "Token"
    CERTIFICATE = "Certificate"


@dataclass(frozen=True, slots=True)
class Limit:
    """The most connections, and the most seconds since each one's last progress."""

    connections: int
    seconds: float


LIMITS: Mapping[Stage, Limit] = {
    Stage.HANDSHAKE: Limit(512, 10.0),  # one pass of the event loop accepts 100
    Stage.ANONYMOUS: Limit(256, 15.0),  # a review may take 10 s
    Stage.TOKEN: Limit(256, 130.0),  # idle ones end earlier, by the time-out of keep-alives
    Stage.CERTIFICATE: Limit(256, 130.0),
}
MAX_UNANSWERED = 131_072
"""Bytes that a connection may send until it is answered: eight tokens of the largest size."""


class Transport(Protocol):
    """The part of ``asyncio.Transport`` that is used here."""

    def abort(self) -> None:
        """Closes it at once; what was not sent is lost."""


class Connection:
    """One connection; ``dropped`` once it was closed from this side."""

    __slots__ = ("_connections", "_transport", "_unanswered", "chain", "dropped", "since", "stage")

    def __init__(self, connections: ConnectionLimiter, transport: Transport, since: float) -> None:
        self._connections = connections
        self._transport = transport
        self._unanswered = 0
        self.chain: tuple[bytes, ...] = ()
        self.dropped = False
        self.since = since
        self.stage = Stage.HANDSHAKE

    def received(self, size: int) -> None:
        """So many bytes arrived, encrypted."""
        self._unanswered += size
        if self._unanswered > MAX_UNANSWERED:
            self._connections.drop(self, "Size")

    def secured(self, chain: Sequence[bytes] = ()) -> None:
        """The handshake is over. ``chain``: the client's verified certificates, DER, its own first."""
        self.chain = tuple(chain)
        self._connections.move(self, Stage.CERTIFICATE if chain else Stage.ANONYMOUS)

    def asks(self) -> None:
        """A request began; one who showed a certificate counts as busy from now on."""
        if self.stage is Stage.CERTIFICATE:
            self._connections.move(self, self.stage)

    def authenticated(self) -> None:
        """The user of the request under way is known."""
        if self.stage is not Stage.CERTIFICATE:
            self._connections.move(self, Stage.TOKEN)

    def answered(self) -> None:
        """The request is answered; the next one may be as large again."""
        self._unanswered = 0
        if self.stage is Stage.CERTIFICATE:
            self._connections.move(self, self.stage)

    def closed(self) -> None:
        """It is gone."""
        self._connections.forget(self)

    def abort(self) -> None:
        """Closes it at once."""
        self.dropped = True
        self._transport.abort()


class ConnectionLimiter:
    """All open connections, by stage, the longest inactive first.

    ``now`` is a clock in seconds; ``dropped`` hears the stage and the reason (``Limit``, ``Time``,
    ``Size``) of each that is closed from this side.
    """

    def __init__(
        self,
        now: Callable[[], float],
        dropped: Callable[[str, str], None] = lambda _stage, _reason: None,
        limits: Mapping[Stage, Limit] = LIMITS,
    ) -> None:
        self._now = now
        self._dropped = dropped
        self._limits = limits
        self._open: dict[Stage, OrderedDict[Connection, None]] = {stage: OrderedDict() for stage in Stage}

    def count(self, stage: Stage) -> int:
        """How many are in a stage."""
        return len(self._open[stage])

    def opened(self, transport: Transport) -> Connection:
        """A new connection, whose handshake begins."""
        connection = Connection(self, transport, self._now())
        self.move(connection, Stage.HANDSHAKE)
        return connection

    def move(self, connection: Connection, stage: Stage) -> None:
        """Progress to this stage or within it; where the stage is full, the oldest connection is closed."""
        if connection.dropped:
            return
        self.forget(connection)
        connection.stage, connection.since = stage, self._now()
        waiting = self._open[stage]
        waiting[connection] = None
        if len(waiting) > self._limits[stage].connections:
            self.drop(next(iter(waiting)), "Limit")

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._open[connection.stage].pop(connection, None)

    def drop(self, connection: Connection, reason: str) -> None:
        """Closes it from this side."""
        if not connection.dropped:
            self.forget(connection)
            connection.abort()
            self._dropped(connection.stage, reason)

    def sweep(self) -> None:
        """Closes those whose time is up."""
        now = self._now()
        for stage, waiting in self._open.items():
            while waiting:
                oldest = next(iter(waiting))
                if now - oldest.since < self._limits[stage].seconds:
                    break
                self.drop(oldest, "Time")


def fitting(files: int, limits: Mapping[Stage, Limit] = LIMITS) -> Mapping[Stage, Limit]:
    """Limits for this many open files: every stage gets less by the same share."""
    room = max(files - RESERVED_FILES, len(Stage))
    share = min(1.0, room / sum(limit.connections for limit in limits.values()))
    return {
        stage: Limit(max(1, int(limit.connections * share)), limit.seconds) for stage, limit in limits.items()
    }


RESERVED_FILES = 128
"""For what is not a connection of a caller: logs, the metrics port, our own connections."""
