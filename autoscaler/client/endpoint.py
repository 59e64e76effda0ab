"""One OpenAI-compatible server: requests to it, whole or streamed, and what its failures mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.http import HttpProcessingError

from autoscaler.client.completions import Piece, StreamReader, check_complete
from autoscaler.client.connections import Connections
from autoscaler.client.failures import status_failure
from autoscaler.errors import RequestError, ServerError

KEEP_ALIVE_S = 4.0
"""Idle connections go before the server closes them (uvicorn: after 5 s)."""


class Endpoint:
    """An open client: ``async with Endpoint(url) as endpoint``.

    ``url``: the server's, with or without the ``/v1`` at its end. ``timeout_s``: for one whole request.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 600.0) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 30.0))
        self._connections: Connections | None = None

    async def __aenter__(self) -> Self:
        self._connections = Connections(self._open_session)
        return self

    def _open_session(self) -> aiohttp.ClientSession:
        # How many requests are in flight is the caller's decision alone.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
        return aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=self._timeout, read_bufsize=2**20
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connections is not None:
            await self._connections.close()

    async def model(self) -> str:
        """The first model that the server lists.

        Raises:
            ServerError: it does not answer, or lists none; trying again may help.
            RequestError: it refuses.
        """
        async with self._request("GET", "/v1/models", None) as response:
            document = await _json(response)
        try:
            return str(document["data"][0]["id"])
        except (LookupError, TypeError):
            raise ServerError(f"{self.url}/v1/models lists no model") from None

    async def metrics(self) -> str:
        """The server's ``/metrics``; raises as ``post``."""
        async with self._request("GET", "/metrics", None) as response:
            return await response.text(errors="replace")

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request's whole answer.

        Raises:
            RequestError: refused; the same request will be refused again.
            ServerError: overloaded, gone, too slow, broken, or the answer was aborted; trying again may help.
        """
        async with self._request("POST", path, body) as response:
            answer = await _json(response)
            check_complete(answer)
            return answer

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        """A request's answer in pieces, as they arrive; as ``post`` otherwise."""
        whole = {**body, "stream": True, "stream_options": {"include_usage": True}}
        reader = StreamReader()
        async with self._request("POST", path, whole) as response:
            try:
                async for line in response.content:
                    if not line.startswith(b"data:"):
                        continue
                    data = line[len(b"data:") :].strip()
                    if data == b"[DONE]":
                        reader.end()
                        return
                    yield reader.read(data)
            except (ValueError, HttpProcessingError):  # the former before aiohttp 3.14
                raise ServerError("the stream has an event that is too long", kind="broken") from None
            raise ServerError("the stream ended before [DONE]", kind="broken")

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._connections is not None, "open the endpoint with: async with"
        async with self._connections.session() as session:
            with self._failures():
                async with session.request(method, self.url + path, json=body) as response:
                    if response.status >= HTTPStatus.BAD_REQUEST:
                        text = await response.text(errors="replace")
                        raise status_failure(response.status, response.reason, text, response.headers)
                    yield response

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns the HTTP client's exceptions into this project's."""
        try:
            yield
        except asyncio.TimeoutError:  # noqa: UP041 (aiohttp's is a subclass of its own, too)
            raise ServerError(f"no answer within {self._timeout.total:g} s", kind="timeout") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):  # localhost:8000 is the latter
            raise RequestError(f"{self.url!r} is not a URL; write it like http://localhost:8000") from None
        except aiohttp.ClientConnectorError as error:
            message = f"cannot reach {self.url}: {error.strerror or error}"
            raise ServerError(message, kind="unreachable") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerError(f"{type(error).__name__}: {error}", kind="broken") from None


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    data = await response.read()
    try:
        document = json.loads(data)
    except ValueError:
        what = "a body that is not valid JSON" if data.strip() else "an empty body"
        raise ServerError(f"{response.url.path} answered with {what}", kind="broken") from None
    if not isinstance(document, dict):
        message = f"{response.url.path} answered with JSON that is not an object"
        raise ServerError(message, kind="broken")
    return document
