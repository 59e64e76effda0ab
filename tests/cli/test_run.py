"""What ``autoscale run`` does by itself; with a cluster: tests/e2e/test_run.py."""

from __future__ import annotations

import signal
from queue import SimpleQueue
from threading import Timer, get_ident

from autoscaler.cli.commands.run import wait_for_signal


def test_a_signal_that_another_thread_is_given_ends_it_too():
    """As happens where a process is frozen and thawed while it is told to end."""
    over: SimpleQueue[None] = SimpleQueue()
    told, too_late = [], []

    def give_up() -> None:
        too_late.append(True)
        over.put(None)

    before = signal.signal(signal.SIGUSR1, lambda *_: (told.append(True), over.put(None)))
    sender = Timer(0.1, lambda: signal.pthread_kill(get_ident(), signal.SIGUSR1))
    watch = Timer(30.0, give_up)
    try:
        for timer in (sender, watch):
            timer.start()
        wait_for_signal(over)
    finally:
        watch.cancel()
        signal.signal(signal.SIGUSR1, before)
    assert (told, too_late) == ([True], [])
