"""The Kubernetes API as JSON: the official client's configuration, credentials and connections.

Its generated models are left out. They cost milliseconds for what ``json.loads`` does in
microseconds, and refuse answers that are fine.

Nothing is retried here, so that a timeout is one: who calls knows whether trying again is safe. The
exception is a read that the server puts off: a busy one does, and so does one that begins to serve a
definition, whose objects ("storage is (re)initializing") cannot be listed for a moment.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import urlencode

import urllib3
from kubernetes import config as kube_config
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException

from autoscaler import __version__
from autoscaler.errors import ClusterError
from autoscaler.retry_after import retry_after_seconds

READ_TIMEOUT_SECONDS = 10.0
"""For each attempt to read, and for how long attempts follow each other where the server asks for it."""
SHORTEST_PAUSE_SECONDS = 0.1
WRITE_TIMEOUT_SECONDS = 4.0
"""For each call that changes something, connecting included."""
CONNECT_TIMEOUT_SECONDS = 3.0

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
"""The metadata of an object, or of a list, from a server that can; whole objects from any other."""

MAX_CONNECTIONS = 256
"""Kept open for the next call: one for each watch and each thread that decides."""
FIELD_MANAGER = "vllm-autoscaler"

Query: TypeAlias = Mapping[str, str | int]
Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, or any other JSON object that the API gives."""


class ApiError(ClusterError):
    """The API refused a request. ``status`` is HTTP's, ``reason`` Kubernetes'."""

    def __init__(
        self, status: int, reason: str, message: str, retry_after_seconds: float | None = None
    ) -> None:
        self.status = status
        self.reason = reason
        super().__init__(message, retry_after_seconds)


class Api:
    """Calls to one API server. Threads may share it.

    ``read_seconds`` and ``write_seconds``: how long each attempt may take. Who holds a lease counts on
    the latter.
    """

    def __init__(
        self,
        configuration: Configuration,
        read_seconds: float = READ_TIMEOUT_SECONDS,
        write_seconds: float = WRITE_TIMEOUT_SECONDS,
    ) -> None:
        configuration.retries = False
        configuration.connection_pool_maxsize = MAX_CONNECTIONS
        self._configuration = configuration
        self._read_seconds = read_seconds
        self.write_seconds = write_seconds
        self._client = ApiClient(configuration)

    @property
    def server(self) -> str:
        """The server's URL."""
        return str(self._configuration.host)

    def get(self, path: str, query: Query | None = None, *, metadata_only: bool = False) -> Object:
        """Reads a path; tries again if the server asks for that (429 with Retry-After) and the wait is short.

        Raises:
            ApiError: the API says no.
            ClusterError: it did not answer, or not in time; so do all methods.
        """
        last_start = time.monotonic() + self._read_seconds
        while True:
            try:
                accept = METADATA_LIST if metadata_only else JSON
                return self._call("GET", path, query, self._read_seconds, accept=accept)
            except ApiError as error:
                if error.status != 429 or error.retry_after_seconds is None:
                    raise
                pause = max(error.retry_after_seconds, SHORTEST_PAUSE_SECONDS)
                if time.monotonic() + pause > last_start:
                    raise
            time.sleep(pause)

    def create(self, path: str, body: Object) -> Object:
        """Posts an object to its collection."""
        return self._call("POST", path, None, self.write_seconds, body)

    def replace(self, path: str, body: Object) -> Object:
        """Puts an object; its resourceVersion, where it has one, must be the current one."""
        return self._call("PUT", path, None, self.write_seconds, body)

    def patch(self, path: str, body: object, content_type: str = MERGE_PATCH) -> Object:
        """Changes part of an object, under our name as its field manager."""
        query = {"fieldManager": FIELD_MANAGER}
        return self._call("PATCH", path, query, self.write_seconds, body, content_type)

    def watch(
        self, path: str, query: Query, silence_seconds: float, *, metadata_only: bool = False
    ) -> EventStream:
        """Opens a watch; it breaks when nothing comes for ``silence_seconds``."""
        timeout = (CONNECT_TIMEOUT_SECONDS, silence_seconds)
        accept = METADATA if metadata_only else JSON
        return EventStream(self._send("GET", path, {**query, "watch": "1"}, timeout, accept=accept))

    def close(self) -> None:
        """Closes the idle connections."""
        self._client.close()

    def _call(
        self,
        method: str,
        path: str,
        query: Query | None,
        timeout: float,
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Object:
        response = self._send(method, path, query, timeout, body, content_type, accept)
        try:
            data = json.loads(response.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _no_answer(method, path, error) from None
        except ValueError:
            raise ClusterError(f"{method} {path}: the answer is not valid JSON") from None
        finally:
            response.release_conn()
        if not isinstance(data, dict):
            raise ClusterError(f"{method} {path}: the answer is not a JSON object")
        return data

    def _send(
        self,
        method: str,
        path: str,
        query: Query | None,
        timeout: float | tuple[float, float],
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.server}{path}{'?' + urlencode(query) if query else ''}"
        try:
            headers = self._headers(content_type if body is not None else None, accept)
            response: urllib3.BaseHTTPResponse = self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            ).response
            if not 200 <= response.status <= 299:
                raise _refusal(method, path, response)
        except (urllib3.exceptions.HTTPError, ApiException, ConfigException, OSError) as error:
            raise _no_answer(method, path, error) from None
        return response

    def _headers(self, content_type: str | None, accept: str) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": f"{FIELD_MANAGER}/{__version__}"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        token = self._configuration.auth_settings().get("BearerToken")  # renews it, if that is due
        if token is not None:
            headers["Authorization"] = str(token["value"])
        return headers


class EventStream:
    """The events of one watch, as JSON objects. Another thread may close it."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[Object]:
        """Yields ``{"type": …, "object": …}`` until the server ends the watch.

        Raises:
            ClusterError: the connection broke, was silent for too long or sent invalid JSON.
        """
        rest = b""
        try:
            for chunk in self._response.stream(1 << 16, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield json.loads(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ClusterError(f"the watch broke: {_cause(error)}") from None
        finally:
            self._response.close()

    def close(self) -> None:
        """Ends the watch, even while a reader waits for it; closing the response would wait for that."""
        connection = getattr(self._response, "connection", None)
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


def connect(kubeconfig: str | None = None, context: str | None = None) -> Api:
    """The API of a kubeconfig's context; the defaults are kubectl's.

    That is ``$KUBECONFIG``, else the cluster that this process runs in, else ~/.kube/config.

    Raises:
        ClusterError: there is no such file or context, or it does not name the server.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and context is None and _is_inside():
            kube_config.load_incluster_config(configuration)
        else:
            kube_config.load_kube_config(
                kubeconfig, context, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        raise ClusterError(f"no cluster to talk to: {_place(kubeconfig)}{error}") from None
    return Api(configuration)


def _place(kubeconfig: str | None) -> str:
    """The place of a configuration, for a message."""
    if kubeconfig is not None or (kubeconfig := os.environ.get("KUBECONFIG")):
        return f"{kubeconfig}: "
    return "" if _is_inside() else "~/.kube/config (--kubeconfig or $KUBECONFIG name another): "


def _is_inside() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ


def _refusal(method: str, path: str, response: urllib3.BaseHTTPResponse) -> ApiError:
    try:
        status = json.loads(response.read())
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        status = None  # a proxy's page, say
    finally:
        response.release_conn()
    told = status if isinstance(status, dict) else {}
    message = told.get("message") or f"{method} {path}: HTTP {response.status}"
    pause = retry_after_seconds(response.headers.get("Retry-After"))
    return ApiError(response.status, str(told.get("reason", "")), str(message), pause)


def _no_answer(method: str, path: str, error: Exception) -> ClusterError:
    return ClusterError(f"{method} {path}: the Kubernetes API did not answer: {_cause(error)}")


def _cause(error: Exception) -> str:
    """The cause of an error, without urllib3's names of objects."""
    if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    return str(error).rpartition(": ")[2] or type(error).__name__
