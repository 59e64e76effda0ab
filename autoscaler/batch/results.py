"""Results of a batch's rows: the whole answer, and the part of it that most readers want as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from autoscaler.batch.request_builder import BatchRequest
from autoscaler.client.completions import INCOMPLETE

T = TypeVar("T", str, int)

ANSWERS = ("choices", "data", "results")
"""Lists that hold the answer: of completions, of embeddings and scores, of a reranking."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """Outcome of one row.

    ``output``: the text of the first choice; None where it has none (a tool call, reasoning alone, an
    embedding). ``error``: why there is no answer, after all attempts. ``response``: the answer as in
    OpenAI's batch files (``status_code``, ``request_id``, ``body``); None for an error, and in results of
    versions that kept the text alone.
    """

    row: int
    id: str
    key: str
    output: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    attempts: int
    error: str | None
    response: Mapping[str, Any] | None = None

    @property
    def lost(self) -> bool:
        """True if this counts as success and holds no answer.

        Earlier versions took an aborted answer for a whole one, and kept nothing of one without text.
        """
        if self.error is not None:
            return False
        return self.finish_reason in INCOMPLETE or (self.output is None and self.response is None)


FIELDS = tuple(RowResult.__dataclass_fields__)


def failed(ask: BatchRequest, attempts: int, error: str) -> RowResult:
    """The result of a row that has no answer."""
    return RowResult(ask.row, ask.id, ask.key, None, None, None, None, attempts, " ".join(error.split()))


def answered(ask: BatchRequest, attempts: int, answer: Mapping[str, Any]) -> RowResult:
    """The result of a row with an answer, which is kept whole even in an unknown form."""
    choices = answer.get("choices")
    first = choices[0] if choices else {}
    known = any(isinstance(answer.get(name), list) and answer[name] for name in ANSWERS)
    return RowResult(
        row=ask.row,
        id=ask.id,
        key=ask.key,
        output=_text(first),
        finish_reason=_of(str, first.get("finish_reason")),
        prompt_tokens=_tokens(answer, "prompt_tokens"),
        completion_tokens=_tokens(answer, "completion_tokens"),
        attempts=attempts,
        error=None if known else f"the answer has none of {', '.join(ANSWERS)}",
        response={"status_code": int(HTTPStatus.OK), "request_id": answer.get("id"), "body": answer},
    )


def _text(choice: Mapping[str, Any]) -> str | None:
    message = choice.get("message")
    return _of(str, message.get("content") if isinstance(message, Mapping) else choice.get("text"))


def _tokens(answer: Mapping[str, Any], name: str) -> int | None:
    usage = answer.get("usage")
    return _of(int, usage.get(name)) if isinstance(usage, Mapping) else None


def _of(kind: type[T], value: object) -> T | None:
    """A value where it has its kind, as the columns of a table must."""
    return value if isinstance(value, kind) else None
