"""One OpenAI-compatible server: requests to it, whole or streamed, and what its failures mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from autoscaler.errors import RequestError, ServerError
from autoscaler.retry_after import retry_after_seconds

KEEP_ALIVE_S = 4.0
"""Idle connections go before the server closes them (uvicorn: after 5 s)."""
REFUSES_ALL = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
}
"""Refusals that say nothing about the request: a key, an address or a model is wrong."""
_TRY_AGAIN = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
_NOT_BEGUN = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_MESSAGE_LENGTH = 500


class Piece(NamedTuple):
    """One event of a stream.

    ``output``: whether it carries tokens (whose text may be empty). ``completion_tokens``: how many
    there were in all, where the server says.
    """

    output: bool
    completion_tokens: int | None


class Endpoint:
    """An open client: ``async with Endpoint(url) as endpoint``.

    ``url``: the server's, with or without the ``/v1`` at its end. ``timeout_s``: for one whole request.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 600.0) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 30.0))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # How many requests are in flight is the caller's decision alone.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=self._timeout, read_bufsize=2**20
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

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
            ServerError: overloaded, gone, too slow or broken; trying again may help.
        """
        async with self._request("POST", path, body) as response:
            return await _json(response)

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        """A request's answer in pieces, as they arrive; as ``post`` otherwise."""
        whole = {**body, "stream": True, "stream_options": {"include_usage": True}}
        async with self._request("POST", path, whole) as response:
            async for line in response.content:
                if not line.startswith(b"data:"):
                    continue
                data = line[len(b"data:") :].strip()
                if data == b"[DONE]":
                    return
                yield _piece(data)
        raise ServerError("the stream ended before its end was said")

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None, "open the endpoint with: async with"
        try:
            async with self._session.request(method, self.url + path, json=body) as response:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    raise await _failure(response)
                yield response
        except asyncio.TimeoutError:  # noqa: UP041 (aiohttp's is a subclass of its own, too)
            raise ServerError(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):  # localhost:8000 is the latter
            raise RequestError(f"{self.url!r} is no URL; write it like http://localhost:8000") from None
        except aiohttp.ClientConnectorError as error:
            raise ServerError(
                f"cannot reach {self.url}: {error.strerror or error}", unavailable=True
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerError(f"{type(error).__name__}: {error}") from None


async def _failure(response: aiohttp.ClientResponse) -> RequestError | ServerError:
    """What an error status means."""
    text = await response.text(errors="replace")
    try:
        document = json.loads(text)
        error = document.get("error", document)
        message = error if isinstance(error, str) else str(error.get("message", text))
    except (ValueError, AttributeError):
        message = text
    said = f"{response.status} {response.reason}: {' '.join(message.split())[:_MESSAGE_LENGTH]}"
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in _TRY_AGAIN:
        wait = retry_after_seconds(response.headers.get("Retry-After"))
        return ServerError(said, wait, unavailable=response.status in _NOT_BEGUN)
    return RequestError(said, response.status)


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        document = json.loads(await response.read())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServerError(f"{response.url.path} answered with something that is no JSON object")
    return document


def _piece(data: bytes) -> Piece:
    """One event, of a completion or of a chat; vLLM also says errors in the middle of a stream."""
    try:
        event = json.loads(data)
        if "error" in event:
            raise ServerError(f"in the stream: {event['error'].get('message', event['error'])}")
        usage = event.get("usage")
        output = any(map(_has_tokens, event["choices"]))
        return Piece(output, usage["completion_tokens"] if usage else None)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ServerError(f"the stream has an event that cannot be read: {data[:100]!r}") from None


def _has_tokens(choice: Mapping[str, Any]) -> bool:
    """Everything has, but the opening of a chat, which says who speaks."""
    delta = choice.get("delta")
    return delta is None or "role" not in delta or bool(delta.get("content"))
