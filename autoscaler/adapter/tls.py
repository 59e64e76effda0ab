"""The server's side of TLS, which follows its files and authorities without a restart.

Every handshake gets the newest context: a renewed certificate, a rotated authority. Client
certificates are asked for and not demanded; one that is offered must be valid for one of the two
authorities, or the handshake ends in an alert.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoscaler.errors import ClusterError
from autoscaler.ports.identity import AuthenticationConfig, AuthenticationConfigSource

LOOK_SECONDS = 1.0
"""How often to look whether anything has changed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The files of the serving certificate (a chain, PEM) and its key."""

    certificate: Path
    key: Path

    def stamp(self) -> tuple[object, ...]:
        """Changes when a file does; Kubernetes replaces mounted Secrets by moving a link."""
        stats = [path.stat() for path in (self.certificate, self.key)]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


def server_context(pair: KeyPair, trust: AuthenticationConfig) -> ssl.SSLContext:
    """TLS 1.2 or later, HTTP/1.1, both authorities' client certificates welcome.

    Raises ``OSError`` (``ssl.SSLError`` among them) where a file or authority cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET  # a resumed session would not show its certificate again
    context.num_tickets = 0
    context.load_cert_chain(pair.certificate, pair.key)
    authorities = "\n".join(filter(None, (trust.client_ca, trust.requestheader_ca)))
    context.verify_mode = ssl.CERT_OPTIONAL
    if authorities.strip():
        context.load_verify_locations(cadata=authorities)
    return context


def client_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The client's certificate and those above it as the handshake verified them, DER; empty without one.

    Public from Python 3.13 on. Before, and where the private way is gone, the certificate alone is
    known, and one that an intermediate issued is not believed.
    """
    leaf = tls.getpeercert(binary_form=True)
    if not leaf:
        return ()
    public = getattr(tls, "get_verified_chain", None)
    if callable(public):
        return tuple(public())
    private = getattr(getattr(tls, "_sslobj", None), "get_verified_chain", None)
    if not callable(private):
        return (leaf,)
    return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in private())


class LiveContext:
    """The context to listen with, and what it is replaced by at each handshake.

    It is an ``AuthenticationConfigSource`` too: one set of authorities judges handshakes and requests.
    ``problem`` says why the newest files or authorities are not in use, empty when they are.
    """

    def __init__(
        self, pair: KeyPair, trust: AuthenticationConfigSource, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises ``OSError`` when the files cannot be used now."""
        self.problem = ""
        self._pair = pair
        self._trust_source = trust
        self._clock = clock
        self._trust = self._trust_now(AuthenticationConfig())
        self._stamp = pair.stamp()
        self._looked = clock()
        self._newest = server_context(pair, self._trust)
        self.context = server_context(pair, self._trust)
        self.context.sni_callback = self._choose

    def trust(self) -> AuthenticationConfig:
        """The authorities in use: the newest that could be used."""
        self._current()
        return self._trust

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self._current()

    def _current(self) -> ssl.SSLContext:
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            problem = ""
            try:
                self._look()
            except (OSError, ValueError) as error:
                problem = str(error)
                if problem != self.problem:
                    log.warning("the certificates in use stay: the new ones cannot be used: %s", error)
            self.problem = problem
        return self._newest

    def _look(self) -> None:
        trust, stamp = self._trust_now(self._trust), self._pair.stamp()
        if trust is self._trust and stamp == self._stamp:
            return
        self._newest = server_context(self._pair, trust)
        self._trust, self._stamp = trust, stamp
        log.info("new certificates are in use")

    def _trust_now(self, last: AuthenticationConfig) -> AuthenticationConfig:
        try:
            return self._trust_source.trust()
        except ClusterError:
            return last  # readiness reports it; without authorities every client certificate is refused
