"""From a kind to its path, by the API server's own discovery."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from autoscaler.errors import TargetError
from autoscaler.kube.client.api import Api, ApiError
from autoscaler.ports.targets import TargetKey

KNOWN_SECONDS = 600.0
UNKNOWN_SECONDS = 30.0
"""A kind or group that is not there may be installed at any time."""


@dataclass(frozen=True, slots=True)
class ScaleResource:
    """A kind with a scale subresource. ``root``: ``/apis/apps/v1``."""

    root: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """The path of the collection in a namespace, or of one object."""
        tail = f"/{name}" if name else ""
        return f"{self.root}/namespaces/{namespace}/{self.plural}{tail}"


class Discovery:
    """Finds resources, and caches the server's answers for a while."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._resources: dict[tuple[str, str], tuple[float, ScaleResource | TargetError]] = {}

    def resource(self, target: TargetKey) -> ScaleResource:
        """The resource of a target's kind.

        Raises:
            TargetError: there is no such kind, or it has no scale subresource.
            ClusterError: the API did not answer.
        """
        key = target.ref.api_version, target.ref.kind
        with self._lock:
            until, found = self._resources.get(key, (float("-inf"), None))
        if found is None or self._clock() > until:
            found = self._ask(*key)
            seconds = KNOWN_SECONDS if isinstance(found, ScaleResource) else UNKNOWN_SECONDS
            with self._lock:
                self._resources[key] = self._clock() + seconds, found
        if isinstance(found, TargetError):
            raise TargetError(str(found))
        return found

    def _ask(self, api_version: str, kind: str) -> ScaleResource | TargetError:
        root = f"/api/{api_version}" if api_version == "v1" else f"/apis/{api_version}"
        try:
            listed = self._api.get(root).get("resources") or ()
        except ApiError as error:
            if error.status == 404:
                return TargetError(f"the cluster knows no {api_version}: is the kind {kind} installed?")
            raise
        names = {one["name"] for one in listed}
        plural = next((one["name"] for one in listed if one["kind"] == kind and "/" not in one["name"]), None)
        if plural is None:
            return TargetError(f"{api_version} has no kind {kind}")
        if f"{plural}/scale" not in names:
            return TargetError(f"{kind} of {api_version} has no scale subresource")
        return ScaleResource(root, plural)
