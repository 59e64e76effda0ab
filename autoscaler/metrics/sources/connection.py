"""One instant query to a Prometheus-compatible server, with everything that the server said.

prometheus-api-client's own ``custom_query`` drops warnings, Retry-After and the body of an error,
and sends long queries in the URL; this subclass keeps its set-up and asks by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from google.auth.exceptions import GoogleAuthError
from prometheus_api_client import PrometheusConnect
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util.retry import Retry

from autoscaler.errors import QueryError, SourceError
from autoscaler.metrics.sources.notes import said
from autoscaler.retry_after import retry_after_seconds

CONNECT_SECONDS = 5.0
MAX_BODY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16
_MAX_CHARACTERS = 300
_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An instant query's result: its type, and its series as the server's JSON has them.

    ``warnings``: what the server says by which something may be missing; ``remarks``: what else it says.
    """

    kind: str
    series: Any
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class PrometheusConnection(PrometheusConnect):  # type: ignore[misc]  # it comes without types
    """Asks one server. Safe to use from several threads."""

    def __init__(
        self, url: str, session: requests.Session, auth: requests.auth.AuthBase | None = None
    ) -> None:
        """``session`` brings TLS and, for Google, the credentials; trying again is the caller's business."""
        super().__init__(
            url.rstrip("/"), session=session, auth=auth, retry=Retry(0, read=False), method="POST"
        )

    def instant(self, query: str, seconds: float) -> QueryResult:
        """The value of ``query`` now, within ``seconds``.

        Raises:
            SourceError: the server did not answer properly or not in time, or it asks to come back later.
            QueryError: it refuses the query, is not trusted, or the login cannot be read.
        """
        deadline = time.monotonic() + seconds
        try:
            with self._session.post(
                f"{self.url}/api/v1/query",
                data={"query": query, "timeout": f"{seconds:.3f}"},
                auth=self.auth,
                verify=self._session.verify,
                timeout=(min(CONNECT_SECONDS, seconds), seconds),
                allow_redirects=False,  # tokens and queries go to the configured server only
                stream=True,
            ) as response:
                return _result(response, _body(response, deadline))
        except (requests.Timeout, ReadTimeoutError, TimeoutError) as error:
            raise SourceError(f"no answer from {self.prometheus_host} in time") from error
        except GoogleAuthError as error:
            raise SourceError(f"no token from Google: {_short(str(error))}") from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Exception:
        if isinstance(error, requests.exceptions.SSLError):
            return QueryError(f"no trust between {self.prometheus_host} and us: {_cause(error)}")
        if isinstance(error, OSError) and error.filename is not None:  # a file of the login
            return QueryError(f"{error.filename}: {error.strerror}")
        return SourceError(f"cannot reach {self.prometheus_host}: {_cause(error)}")


def _body(response: requests.Response, deadline: float) -> bytes:
    """The whole body; a server that sends it in drips does not hold us beyond the deadline."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise QueryError(
                f"the answer is longer than {MAX_BODY_BYTES >> 20} MiB: the query matches too much"
            )
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _result(response: requests.Response, body: bytes) -> QueryResult:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if response.status_code != requests.codes.ok:
        raise _failure(response, answer if isinstance(answer, dict) else {})
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or not {"resultType", "result"} <= data.keys():
        kind = response.headers.get("Content-Type", "something without a type")
        raise QueryError(f"{response.url} is not a Prometheus API: it answers with {_short(kind)}")
    notes = said(answer)
    missing, remarks = (tuple(map(_short, texts)) for texts in (notes.missing, notes.remarks))
    return QueryResult(data["resultType"], data["result"], missing, remarks)


def _failure(response: requests.Response, answer: Mapping[str, Any]) -> Exception:
    status = response.status_code
    message = f"HTTP {status}{_describe_error(response, answer)}"
    if response.is_redirect:
        return QueryError(f"{message}: redirects to {_short(response.headers['Location'])}; use that address")
    if status not in _TEMPORARY_STATUS:
        return QueryError(message)
    return SourceError(message, retry_after_seconds(response.headers.get("Retry-After")))


def _describe_error(response: requests.Response, answer: Mapping[str, Any]) -> str:
    """The reason in the words of Prometheus, of Google's APIs, or of HTTP."""
    error = answer.get("error")
    if isinstance(error, dict):
        return f", {error.get('status', 'error')}: {_short(str(error.get('message', '')))}"
    if error:
        return f", {answer.get('errorType', 'error')}: {_short(str(error))}"
    return f" {response.reason}" if response.reason else ""


def _cause(error: BaseException) -> str:
    """The innermost reason: requests and urllib3 wrap it in their own objects' names."""
    while inner := _inside(error):
        error = inner
    return _short(str(getattr(error, "strerror", None) or error) or type(error).__name__)


def _inside(error: BaseException) -> BaseException | None:
    for inner in (getattr(error, "reason", None), *error.args[-1:], error.__cause__):
        if isinstance(inner, BaseException):
            return inner
    return None


def _short(text: str) -> str:
    """One line of bounded length, whatever the server wrote."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MAX_CHARACTERS else f"{line[:_MAX_CHARACTERS]}…"
