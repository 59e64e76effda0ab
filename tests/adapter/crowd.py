"""A server in a process of its own, and thousands of connections that do nothing."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from autoscaler.ports.identity import AuthenticationConfig, User
from tests.adapter.authority import Authority, Client
from tests.adapter.running import running
from tests.adapter.world import WAITING, Judge, Trusted, export, points, served

TRUST = AuthenticationConfig(username_headers=("X-Remote-User",), group_headers=("X-Remote-Group",))
PATH = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/chat/pods/*/num_requests_waiting"
OWN_FILES = 500


def may_open(wanted: int) -> int:
    """How many connections this process and another one like it may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, wanted + OWN_FILES)), hard))
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OWN_FILES)


@dataclass
class Alone:
    """The server of another process."""

    port: int
    process: SpawnProcess
    proxy: ssl.SSLContext

    def resident(self) -> float:
        """Its memory, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    def sockets(self) -> int:
        """How many it has open."""
        return sum(
            link.readlink().name.startswith("socket:")
            for link in Path(f"/proc/{self.process.pid}/fd").iterdir()
            if link.is_symlink()
        )

    def asked(self, *headers: str, tls: ssl.SSLContext | None = None) -> tuple[str, float]:
        """The status line of an answer on a new connection, and the seconds that it took."""
        began = time.perf_counter()
        lines = (f"GET {PATH} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", "")
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=20) as plain,
            (tls or anybody()).wrap_socket(plain) as secured,
        ):
            secured.sendall("\r\n".join(lines).encode())
            line = secured.recv(65536).partition(b"\r\n")[0].decode()
        return line, time.perf_counter() - began

    def as_the_api_server(self) -> tuple[str, float]:
        """Asks as the aggregation layer does."""
        return self.asked("X-Remote-User: hpa", tls=self.proxy)

    def with_a_token(self) -> tuple[str, float]:
        """Asks past the aggregation layer."""
        return self.asked("Authorization: Bearer hpa")


def anybody() -> ssl.SSLContext:
    """A client that believes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def alone(folder: Path) -> Iterator[Alone]:
    """A server with one pod behind it, until the block ends."""
    front = Authority("front-proxy")
    proxy = anybody()
    client: Client = front.client("front-proxy-client")
    proxy.load_cert_chain(*client.write(folder, "proxy"))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(folder, front.pem, theirs))
    process.start()
    try:
        assert ours.poll(60)
        yield Alone(ours.recv(), process, proxy)
    finally:
        ours.close()
        process.join(30)


def _serve(folder: Path, front: str, told: Connection) -> None:
    asyncio.run(_serving(folder, front, told))


async def _serving(folder: Path, front: str, told: Connection) -> None:
    judge = Judge(tokens={"hpa": User("hpa")}, may=lambda user, _access: user.name == "hpa")
    trusted = Trusted(replace(TRUST, requestheader_ca=front))
    async with running(folder, served(exports=[export(WAITING)]), judge, trusted) as world:
        world.fleet.add("a")
        world.source.answer = points({"a": 1}, at=time.time())
        told.send(int(world.url.rpartition(":")[2]))
        with suppress(EOFError):  # the other end closes it
            await asyncio.to_thread(told.recv)


Opener = Callable[[socket.socket], socket.socket]


def silent(plain: socket.socket) -> socket.socket:
    """Says nothing at all."""
    return plain


def half_a_handshake(plain: socket.socket) -> socket.socket:
    """Begins TLS, and leaves it at that."""
    plain.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return plain


def idle(plain: socket.socket) -> socket.socket:
    """A finished handshake, and no request."""
    return CROWD.wrap_socket(plain)


def half_a_request(plain: socket.socket) -> socket.socket:
    """A request whose headers do not end."""
    secured = CROWD.wrap_socket(plain)
    secured.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ")
    return secured


CROWD = anybody()
KINDS: tuple[Opener, ...] = (silent, half_a_handshake, idle, half_a_request)


@contextmanager
def crowd(port: int, kind: Opener, count: int) -> Iterator[list[socket.socket]]:
    """So many connections; those that the server closes meanwhile are among them."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            plain = socket.create_connection(("127.0.0.1", port), timeout=20)
            try:
                opened.append(kind(plain))
            except OSError:
                opened.append(plain)
        yield opened
    finally:
        for one in opened:
            one.close()
