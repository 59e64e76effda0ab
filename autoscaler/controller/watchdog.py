"""The end of a process that is stuck: it gives up the lead, says why, and exits.

A liveness probe alone would do for the exit, half a minute later, and where there is a kubelet. The
Lease would be renewed until then, as its thread is well.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from autoscaler.threads import BackgroundThread

LOOK_SECONDS = 1.0
LOOKS = 15
"""So many looks in a row must find the process stuck: one that was suspended needs a moment."""

EXIT_STATUS = os.EX_SOFTWARE
"""Of a process that ended because it was stuck (70)."""

SAY_SECONDS = 1.0
"""How long the end waits for its reason to be written, at each of the places."""

GIVE_UP_SECONDS = 10.0
"""How long the end waits for the lead to be given up: a write in flight, and one call to the API server."""

TERMINATION_MESSAGE = Path("/dev/termination-log")
"""Where Kubernetes reads why a container ended."""

_log = logging.getLogger(__name__)


class ForcedExit:
    """Ends the process from any thread, whatever its other threads do."""

    def __init__(
        self,
        give_up: Callable[[], object],
        places: Sequence[Callable[[str], object]] = (),
        leave: Callable[[int], object] = os._exit,
        say_seconds: float = SAY_SECONDS,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        """``give_up`` hands the lead over, ``places`` write the reason; any may block. ``leave`` exits."""
        self._give_up = give_up
        self._places = places or (to_termination_message, to_standard_error, to_log)
        self._leave = leave
        self._say_seconds = say_seconds
        self._give_up_seconds = give_up_seconds

    def now(self, why: str) -> None:
        """Says why, gives up the lead and exits, in bounded time."""
        for place in self._places:
            _run_bounded(partial(place, why), self._say_seconds)
        _run_bounded(self._give_up, self._give_up_seconds)
        self._leave(EXIT_STATUS)

    def after(self, seconds: float, why: str) -> None:
        """Does the same after this many seconds, if the process is still there."""
        timer = threading.Timer(seconds, self.now, (why,))
        timer.daemon = True
        timer.start()


def _run_bounded(work: Callable[[], object], seconds: float) -> None:
    """Runs something that may block or fail, and waits for it for at most these seconds."""
    thread = threading.Thread(target=work, name="exit", daemon=True)
    with suppress(RuntimeError):  # no thread is available
        thread.start()
        thread.join(seconds)


def to_termination_message(why: str) -> None:
    """Writes the reason where `kubectl describe pod` shows it."""
    with suppress(OSError):
        if TERMINATION_MESSAGE.exists():
            TERMINATION_MESSAGE.write_text(f"{why}\n")


def to_standard_error(why: str) -> None:
    """Writes the reason to the file behind standard error, whose stream may be locked."""
    with suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"{why}\n".encode())


def to_log(why: str) -> None:
    """Logs the reason, and waits for it to be written."""
    _log.critical(why)
    for handler in logging.getLogger().handlers:
        handler.flush()


class Watchdog:
    """Looks every second whether the process is alive."""

    def __init__(
        self, alive: Callable[[], str | None], end: Callable[[str], object], looks: int = LOOKS
    ) -> None:
        """``alive``: what is wrong, or None; ``end`` is called with it after ``looks`` in a row."""
        self._alive = alive
        self._end = end
        self._looks = looks
        self._found = 0
        self._stopped = threading.Event()
        self._thread = BackgroundThread("watchdog", self._run)

    def start(self) -> None:
        """Starts the checks."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the checks."""
        self._thread.expect_end()
        self._stopped.set()

    def look(self) -> None:
        """One look. Time counts in looks: a process that was suspended has not looked meanwhile."""
        why = self._alive()
        self._found = self._found + 1 if why is not None else 0
        if why is not None and self._found == self._looks:
            self._end(f"this process is stuck and ends: {why}")

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            with suppress(Exception):  # an alive() that fails is the loop's trouble
                self.look()
