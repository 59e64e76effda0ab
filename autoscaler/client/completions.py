"""Answers of OpenAI's API, whole or as the events of a stream: complete ones, and their tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from autoscaler.client.failures import error_in
from autoscaler.errors import FailureKind, ServerError

INCOMPLETE: Mapping[str, FailureKind] = {
    "abort": "aborted",
    "cancelled": "aborted",
    "timeout": "failed",
    "error": "failed",
}
"""finish_reason -> failure, with status 200. vLLM and SGLang abort what runs, and what comes later, when they
end; "cancelled" and "timeout" are TensorRT-LLM's, "error" is a gateway's."""

_TOKENS = ("content", "reasoning", "reasoning_content", "tool_calls", "function_call", "refusal")
"""Fields of a delta that hold generated tokens."""


class Piece(NamedTuple):
    """One event of a stream.

    ``output``: whether it carries tokens (whose text may be empty). ``completion_tokens``: how many
    there were in all, where the server says.
    """

    output: bool
    completion_tokens: int | None


def check_complete(answer: Mapping[str, Any]) -> None:
    """Looks for errors in an answer, or in one event of a stream, that came with status 200.

    Raises:
        ServerError: a choice was aborted, has failed or cannot be read, or there is an error object instead.
        RequestError: there is an error object whose code refuses the request.
    """
    error = error_in(answer)
    if error is not None:
        raise error
    try:
        reasons = [str(choice.get("finish_reason")) for choice in answer.get("choices") or ()]
    except (TypeError, AttributeError):
        raise ServerError("the answer has choices that cannot be read", kind="broken") from None
    for reason in reasons:
        if reason in INCOMPLETE:
            message = f"the answer is not complete: finish_reason {reason}"
            raise ServerError(message, kind=INCOMPLETE[reason])


class StreamReader:
    """Reads the events of one stream, and checks that it ends properly."""

    def __init__(self) -> None:
        self._finished: dict[int, bool] = {}

    def read(self, data: bytes) -> Piece:
        """One event, of a completion or of a chat.

        Raises:
            ServerError: it cannot be read; also as ``check_complete``.
            RequestError: as ``check_complete``.
        """
        try:
            event = json.loads(data)
            check_complete(event)
            for choice in event["choices"]:
                index = choice.get("index", 0)
                ended = choice.get("finish_reason") is not None
                self._finished[index] = self._finished.get(index, False) or ended
            usage = event.get("usage")
            output = any(map(_has_tokens, event["choices"]))
            return Piece(output, usage["completion_tokens"] if usage else None)
        except (ValueError, LookupError, TypeError, AttributeError):
            message = f"the stream has an event that cannot be read: {data[:100]!r}"
            raise ServerError(message, kind="broken") from None

    def end(self) -> None:
        """The stream says that it is over.

        Raises:
            ServerError: a choice has no finish_reason, so its answer may be cut off.
        """
        if not self._finished or not all(self._finished.values()):
            raise ServerError("the stream ended without a finish_reason", kind="broken")


def _has_tokens(choice: Mapping[str, Any]) -> bool:
    """True for every event, except one of a chat that has only a role, or is empty.

    Some servers name the speaker in each event, so the content decides there.
    """
    delta = choice.get("delta")
    return delta is None or "role" not in delta or any(delta.get(name) for name in _TOKENS)
