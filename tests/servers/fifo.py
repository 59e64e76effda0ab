"""A named pipe whose reader stops when a test wants it, as a log collector that hangs does."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

ROOM = 4096
"""Bytes that it holds; the least that Linux gives."""


class Fifo:
    """Reads from ``path`` what others write there. ``writer``: a file descriptor to write to, which waits."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, ROOM)
        self._filler = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        self.writer = os.open(path, os.O_WRONLY)
        self._reads = Event()
        self._reads.set()
        self._over = Event()
        self._read = b""
        self._thread = Thread(target=self._run, daemon=True)

    @property
    def lines(self) -> list[str]:
        """The lines read so far, without empty ones."""
        return [line for line in self._read.decode(errors="replace").splitlines() if line]

    def block(self) -> None:
        """Reads no more, and leaves no room: the next write waits."""
        self._reads.clear()
        time.sleep(0.1)  # for a read under way
        with suppress(BlockingIOError):
            while True:
                os.write(self._filler, b"\n")

    def unblock(self) -> None:
        """Reads again."""
        self._reads.set()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            while self._reads.is_set():
                try:
                    self._read += os.read(self._reader, ROOM)
                except BlockingIOError:
                    break

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for descriptor in (self._reader, self._filler, self.writer):
            os.close(descriptor)
