"""Metrics of pods that have none of their own: each ready pod gets an endpoint on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from tests.e2e.ranking import is_going, is_ready
from tests.servers.api import JSON


class Endpoint(Protocol):
    """Something that Prometheus scrapes; ``address`` as HOST:PORT."""

    address: str

    def close(self) -> None:
        """Nobody asks any more."""


class Opener(Protocol):
    """Makes endpoints."""

    def __call__(self, pod: JSON) -> Endpoint:
        """The endpoint of a pod that has just got ready."""


class Endpoints:
    """Writes the targets that Prometheus follows: ready pods, and those that end and still answer.

    A pod whose namespace has no opener has no metrics.
    """

    def __init__(self, targets: Path) -> None:
        self.openers: dict[str, Opener] = {}
        self.open: dict[str, Endpoint] = {}
        self.lingering: set[str] = set()
        self._targets = targets
        self._groups: dict[str, JSON] = {}
        self._write()

    def sync(self, pods: list[JSON]) -> None:
        """One round, with all pods as they are now."""
        present = {pod["metadata"]["uid"] for pod in pods}
        before = set(self._groups)
        for uid in self._groups.keys() - present:
            if self._groups[uid]["labels"]["namespace"] not in self.lingering:
                del self._groups[uid]
                self.open.pop(uid).close()
        for pod in pods:
            meta = pod["metadata"]
            opener = self.openers.get(meta["namespace"])
            if opener and meta["uid"] not in self._groups and is_ready(pod) and not is_going(pod):
                endpoint = self.open[meta["uid"]] = opener(pod)
                labels = {"namespace": meta["namespace"], "pod": meta["name"]}
                self._groups[meta["uid"]] = {"targets": [endpoint.address], "labels": labels}
        if set(self._groups) != before:
            self._write()

    def _write(self) -> None:
        draft = self._targets.with_suffix(".draft")
        draft.write_text(json.dumps(list(self._groups.values())))
        draft.replace(self._targets)

    def close(self) -> None:
        """Closes all."""
        for endpoint in self.open.values():
            endpoint.close()
        self.open.clear()
        self._groups.clear()
