"""A pipe whose reader stands still takes nothing more, and then everything again."""

from __future__ import annotations

import os
import threading

from tests.servers.eventually import eventually
from tests.servers.fifo import Fifo


def test_a_write_waits_while_it_is_blocked(tmp_path):
    with Fifo(tmp_path / "fifo") as fifo:
        os.write(fifo.writer, b"one\n")
        eventually(lambda: fifo.lines == ["one"])
        fifo.block()
        written = threading.Event()

        def write():
            os.write(fifo.writer, b"two\n")
            written.set()

        threading.Thread(target=write, daemon=True).start()
        assert not written.wait(0.2)
        fifo.unblock()
        assert written.wait(5)
        eventually(lambda: fifo.lines == ["one", "two"])
