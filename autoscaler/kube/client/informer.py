"""One resource in all the namespaces that are watched: a reflector and a sink for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import Api
from autoscaler.kube.client.reflector import USUAL_PACE, Reflector, Store, WatchTimings

S = TypeVar("S", bound=Store)
EVERYWHERE = ""


class Informer(Generic[S]):
    """``collection``: root and plural, e.g. ``/apis/apps/v1/deployments``.

    ``namespaces``: where to look; none at all means everywhere, in one list. ``optional``: the
    resource may not be installed. ``metadata_only``: the sink needs no more of an object.
    """

    def __init__(
        self,
        api: Api,
        collection: str,
        namespaces: Sequence[str],
        new_sink: Callable[[], S],
        optional: bool = False,
        pace: WatchTimings = USUAL_PACE,
        metadata_only: bool = False,
    ) -> None:
        root, _, plural = collection.rpartition("/")
        self._copies: dict[str, tuple[Reflector, S]] = {}
        for namespace in namespaces or (EVERYWHERE,):
            path = f"{root}/namespaces/{namespace}/{plural}" if namespace else collection
            sink = new_sink()
            self._copies[namespace] = (
                Reflector(api, path, sink, optional, pace, metadata_only=metadata_only),
                sink,
            )

    def start(self) -> None:
        """Begins to list and watch, in threads."""
        for reflector, _ in self._copies.values():
            reflector.start()

    def stop(self) -> None:
        """Ends the threads."""
        for reflector, _ in self._copies.values():
            reflector.stop()

    def wait(self, seconds: float) -> bool:
        """Waits for some seconds at most; True if everything was listed."""
        deadline = time.monotonic() + seconds
        reflectors = [reflector for reflector, _ in self._copies.values()]
        return all(reflector.wait(max(0.0, deadline - time.monotonic())) for reflector in reflectors)

    def check(self) -> None:
        """Raises ``ClusterError`` when a copy was never complete, or is too old: ``Reflector.check``."""
        for reflector, _ in self._copies.values():
            reflector.check()

    def at(self, namespace: str) -> S:
        """The objects of a namespace, when they can be relied on.

        Raises:
            ClusterError: they were never listed, or the last word about them is too old, or the
                namespace is not watched.
        """
        reflector, sink = self._copy(namespace)
        reflector.check()
        return sink

    def refusal(self, namespace: str, seconds: float) -> str:
        """The server's refusal to read a namespace; empty where it allows it, or has not answered in time."""
        reflector, _ = self._copy(namespace)
        return reflector.refusal(seconds)

    def complete(self) -> list[S]:
        """All objects, however old.

        Raises:
            ClusterError: some were never listed.
        """
        for reflector, _ in self._copies.values():
            reflector.check_complete()
        return [sink for _, sink in self._copies.values()]

    def _copy(self, namespace: str) -> tuple[Reflector, S]:
        found = self._copies.get(namespace) or self._copies.get(EVERYWHERE)
        if found is None:
            raise ClusterError(f"the namespace {namespace} is not watched")
        return found
