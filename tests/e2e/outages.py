"""Servers that are away for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tests.servers.process import Server


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """It is not there."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def hanging(server: Server) -> Iterator[None]:
    """It takes connections and answers nothing."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def slowed(server: Server) -> Iterator[None]:
    """Most of the time it stands still: what takes it 10 ms takes half a second."""
    over = Event()

    def stutter() -> None:
        while not over.wait(0.1):
            server.pause()
            over.wait(0.4)
            server.resume()

    thread = Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
