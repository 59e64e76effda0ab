"""Prometheus behind a proxy that changes its answers when a test wants it."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs

import requests

from autoscaler.metrics.promql import PART, TIME
from tests.servers.api import JSON
from tests.servers.loopback import LoopbackServer, Request

Lie = Callable[[JSON], JSON]
"""Makes another answer of the server's."""


class PrometheusProxy(LoopbackServer):
    """In front of the Prometheus at ``upstream``. ``lie``: None passes answers on unchanged."""

    def __init__(self, upstream: str) -> None:
        super().__init__(self._answer, keeps_alive=True)
        self.url = f"http://127.0.0.1:{self.port}"
        self.upstream = upstream
        self.lie: Lie | None = None

    def _answer(self, request: Request) -> None:
        form = parse_qs(request.body().decode())
        passed = requests.post(f"{self.upstream}{request.path}", form, timeout=10)
        body, lie = passed.content, self.lie
        if lie is not None and passed.ok:
            body = json.dumps(lie(passed.json())).encode()
        request.reply(passed.status_code, "application/json", body)


def says(value: float | None = None, timestamp: float | None = None, **fields: object) -> Lie:
    """The answer with another value of each pod, another time of each sample, and more beside its data.

    ``fields``: ``isPartial`` of VictoriaMetrics, ``warnings`` and ``infos`` of Prometheus, for instance.
    """

    def changed(one: JSON) -> JSON:
        part = one["metric"].get(PART)
        told = value if part is None else timestamp if part.startswith(TIME) else None
        return one if told is None else {**one, "value": [one["value"][0], str(told)]}

    def lie(answer: JSON) -> JSON:
        result = [changed(one) for one in answer["data"]["result"]]
        return {**answer, **fields, "data": {**answer["data"], "result": result}}

    return lie
