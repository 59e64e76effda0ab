"""Metrics of pods that have none of their own: each ready pod gets an endpoint on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
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

    A pod whose namespace has no opener has no metrics. ``labels``: what a scrape says of a pod, where a
    test wants something else than its namespace and name. ``lingering``: pods of these namespaces are
    scraped even when they are gone. ``others``: further targets, as file_sd has them.
    """

    def __init__(self, targets: Path) -> None:
        self.openers: dict[str, Opener] = {}
        self.open: dict[str, Endpoint] = {}
        self.labels: dict[str, Callable[[JSON], JSON]] = {}
        self.lingering: set[str] = set()
        self.others: list[JSON] = []
        self._targets = targets
        self._pods: dict[str, JSON] = {}
        self._written = ""
        self._write()

    def sync(self, pods: list[JSON]) -> None:
        """One round, with all pods as they are now."""
        present = {pod["metadata"]["uid"] for pod in pods}
        for uid in self.open.keys() - present:
            if self._pods[uid]["metadata"]["namespace"] not in self.lingering:
                self._close(uid)
        for pod in pods:
            meta = pod["metadata"]
            opener = self.openers.get(meta["namespace"])
            if opener and meta["uid"] not in self.open and is_ready(pod) and not is_going(pod):
                self.open[meta["uid"]] = opener(pod)
                self._pods[meta["uid"]] = pod
        self._write()

    def _write(self) -> None:
        groups = [
            {"targets": [endpoint.address], "labels": self._labels(self._pods[uid])}
            for uid, endpoint in self.open.items()
        ]
        text = json.dumps(groups + self.others)
        if text != self._written:
            draft = self._targets.with_suffix(".draft")
            draft.write_text(text)
            draft.replace(self._targets)
            self._written = text

    def _labels(self, pod: JSON) -> JSON:
        meta = pod["metadata"]
        other = self.labels.get(meta["namespace"])
        return other(pod) if other else {"namespace": meta["namespace"], "pod": meta["name"]}

    def _close(self, uid: str) -> None:
        del self._pods[uid]
        self.open.pop(uid).close()

    def leave(self, namespace: str) -> None:
        """Forgets what was said of a namespace; the next round closes what is still open."""
        self.openers.pop(namespace, None)
        self.labels.pop(namespace, None)
        self.lingering.discard(namespace)

    def close(self) -> None:
        """Closes all."""
        for uid in list(self.open):
            self._close(uid)
