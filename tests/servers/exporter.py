"""A metrics endpoint with a scripted answer: for the faults that a real one cannot show."""

from __future__ import annotations

import time

from tests.servers.loopback import LoopbackServer, Request


class Exporter(LoopbackServer):
    """Serves ``text`` as /metrics on a free loopback port; all fields may change at any time.

    ``status``: the HTTP status. ``delay``: seconds before each answer. ``scrapes``: how often it was asked.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(self._answer)
        self.text = text
        self.status = 200
        self.delay = 0.0
        self.scrapes = 0
        self.address = f"127.0.0.1:{self.port}"

    def _answer(self, request: Request) -> None:
        self.scrapes += 1
        time.sleep(self.delay)
        request.reply(self.status, "text/plain; version=0.0.4; charset=utf-8", self.text.encode())
