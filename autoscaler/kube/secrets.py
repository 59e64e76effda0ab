"""One Secret by its name: all that the certificates need, and all that they may."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from autoscaler.kube.client.api import Api, Object


class Secret:
    """A Secret of type ``kubernetes.io/tls``, which has to exist: creating one cannot be limited to a name.

    Texts go in and out; the encoding stays here.
    """

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        self._object: Object = {}

    def read(self) -> dict[str, str]:
        """Its data.

        Raises:
            ClusterError: it is not there, is forbidden, or the API did not answer.
        """
        self._object = self._api.get(self._path)
        data = self._object.get("data") or {}
        return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}

    def write(self, data: Mapping[str, str]) -> None:
        """Replaces its data if it has not changed since it was read.

        Raises:
            ClusterError: another client wrote meanwhile, it is forbidden, or the API did not answer.
        """
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self._object = self._api.replace(self._path, {**self._object, "data": encoded})
