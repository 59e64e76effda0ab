"""Error statuses and error objects of OpenAI's API as exceptions: refused for good, or worth another try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from autoscaler.errors import RequestError, ServerError
from autoscaler.retry_after import retry_after_seconds

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
_REFUSED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_MESSAGE_LENGTH = 500


def status_failure(
    status: int, reason: str | None, text: str, headers: Mapping[str, str]
) -> RequestError | ServerError:
    """The exception for an HTTP status from 400 up; ``text``: the body."""
    try:
        document = json.loads(text)
        error = document.get("error", document)
        message = error if isinstance(error, str) else str(error.get("message", text))
    except (ValueError, AttributeError):
        message = text
    said = f"{status} {reason}: {_short(message)}"
    return _classify(status, said, retry_after_seconds(headers.get("Retry-After")))


def error_in(answer: Mapping[str, Any]) -> RequestError | ServerError | None:
    """The exception for an error object inside an answer with status 200; None where there is none.

    vLLM reports errors so once a stream has begun. A ``code`` counts as the status that it repeats.
    """
    error = answer.get("error")
    if answer.get("object") == "error":  # vLLM's older form: the whole answer is the error
        error = answer
    if error is None:
        return None
    if not isinstance(error, Mapping):
        error = {"message": error}
    said = f"200 with an error: {_short(str(error.get('message', error)))}"
    code = str(error.get("code"))
    status = int(code) if code.isascii() and code.isdecimal() else HTTPStatus.INTERNAL_SERVER_ERROR
    return _classify(status if status in _ERRORS else HTTPStatus.INTERNAL_SERVER_ERROR, said, None)


_ERRORS = range(400, 600)


def _classify(status: int, said: str, wait_s: float | None) -> RequestError | ServerError:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_AGAIN:
        return ServerError(said, wait_s, kind="refused" if status in _REFUSED else "failed")
    return RequestError(said, status)


def _short(message: str) -> str:
    return " ".join(message.split())[:_MESSAGE_LENGTH]
