"""Clients that connect and keep their connection, and say nothing more."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.servers.process import Server

MEBIBYTE = 1 << 20


@contextmanager
def crowd(
    host: str, port: int, count: int, says: bytes = b"", tls: ssl.SSLContext | None = None
) -> Iterator[list[socket.socket]]:
    """``count`` connections one after the other, those that the server ended included.

    ``says``: what each sends, say half a request. ``tls``: each ends its handshake before.
    """
    with ExitStack() as opened:
        found = []
        for _ in range(count):
            with suppress(OSError):  # the server takes no more
                one = opened.enter_context(socket.create_connection((host, port), 5))
                if tls is not None:
                    one = opened.enter_context(tls.wrap_socket(one, server_hostname=host))
                one.sendall(says)
                found.append(one)
        yield found


def open_ones(connections: list[socket.socket]) -> int:
    """How many the server has not ended."""
    return sum(map(_is_open, connections))


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def _status(server: Server, field: str) -> int:
    assert server.process is not None
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0])


def memory(server: Server) -> int:
    """The resident memory of a process, in bytes."""
    return _status(server, "VmRSS") * 1024


def threads(server: Server) -> int:
    """How many threads a process has."""
    return _status(server, "Threads")
