"""A server process of a test: on loopback, started until it is ready, ended with the test."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.eventually import eventually

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


def free_port() -> int:
    """A loopback TCP port that was free a moment ago.

    Below the ports of outgoing connections (Linux: from 32768 on), so that none of these takes it before
    the server does.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One program, started and stopped as often as a test likes; its output goes to ``log``.

    Subclasses say what ready means. As a context manager it is started, and at the end it is gone.
    ``output``: a file descriptor that takes its output instead of the log.
    """

    output: int | None = None

    def __init__(
        self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def ready(self) -> bool:
        """True once it serves; an ``OSError`` means not yet."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts it and waits until it is ready.

        Raises:
            AssertionError: it ended, or is not ready in time; the message has the last lines of its output.
        """
        with self.log.open("ab") as log:
            told = log if self.output is None else self.output
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, env=self.environment
            )
        try:
            eventually(lambda: self._ended() or self.ready(), READY_SECONDS)
            assert not self._ended(), "it ended"
        except AssertionError as error:
            self.kill()
            lines = self.log.read_text(errors="replace").splitlines()[-20:]
            raise AssertionError("\n".join([f"{self.command[0]}: {error}", *lines])) from None

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """Ends it as an administrator would; one that does not end is killed, and the test fails."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # a paused one would not see the first
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def restart(self) -> None:
        """Stops it and starts it again, with its data and on its port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Connections stay open, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends a pause."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
