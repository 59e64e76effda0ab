"""The request of each row: its body, and a key that changes when the request does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from autoscaler.batch.input_rows import InputRow, read_rows
from autoscaler.client.prompts import Form
from autoscaler.errors import Diagnostic, InputError

PATHS: Mapping[Form, str] = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}
OTHER_PATHS = (
    *("/v1/embeddings", "/pooling", "/classify"),
    *("/v1/score", "/score", "/v1/rerank", "/v2/rerank", "/rerank"),
)
"""Paths that only OpenAI's form of a row can name; their answers are JSON, too, and are kept whole."""


class BatchRequest(NamedTuple):
    """One request. ``row`` counts from 0; ``id`` is the row's own, else its number."""

    row: int
    id: str
    path: str
    body: dict[str, Any]
    key: str


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """How rows become requests.

    A row has a ``body`` (as in OpenAI's batch files, with its ``url``), or ``messages``, or its text in
    ``prompt_column``. ``parameters`` go into every body (the model, where one was chosen); a body's own win.
    """

    form: Form
    prompt_column: str
    parameters: Mapping[str, Any]

    def read(self, path: Path) -> Iterator[BatchRequest]:
        """Every row of a file as a request.

        Raises:
            InputError: while iterating; the file or a row is wrong.
        """
        for row in read_rows(path):
            where, body = self._body(path, row)
            whole = {**self.parameters, **body}
            text = json.dumps([where, whole], sort_keys=True, ensure_ascii=False)
            key = sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
            own_id = row.columns.get("custom_id", row.columns.get("id"))
            yield BatchRequest(row.number, str(row.number if own_id is None else own_id), where, whole, key)

    def _body(self, path: Path, row: InputRow) -> tuple[str, Mapping[str, Any]]:
        columns = row.columns
        if "body" in columns:
            return _whole_request(path, row)
        if "messages" in columns:
            if not isinstance(columns["messages"], list):
                raise _wrong(path, row, "messages", "must be a list of messages with role and content")
            return PATHS["chat"], {"messages": columns["messages"]}
        prompt = columns.get(self.prompt_column)
        if not isinstance(prompt, str):
            message = f"must be text, for every row; the row has {', '.join(columns) or 'no columns'}"
            raise _wrong(path, row, self.prompt_column, message)
        if self.form == "completions":
            return PATHS["completions"], {"prompt": prompt}
        return PATHS["chat"], {"messages": [{"role": "user", "content": prompt}]}


def _whole_request(path: Path, row: InputRow) -> tuple[str, Mapping[str, Any]]:
    """The url and the body of a row in OpenAI's form, whose answer can be kept."""
    columns = row.columns
    where, body = columns.get("url", PATHS["chat"]), columns["body"]
    if not isinstance(body, dict):
        raise _wrong(path, row, "body", "must be an object, like that of a request")
    known = (*PATHS.values(), *OTHER_PATHS)
    if where not in known:
        raise _wrong(path, row, "url", f"{where!r} is not a path of a batch; these are: {', '.join(known)}")
    if columns.get("method", "POST") != "POST":
        raise _wrong(path, row, "method", "must be POST, or left out")
    if body.get("stream"):
        raise _wrong(path, row, "body.stream", "a batch keeps whole answers: leave it out")
    return where, body


def _wrong(path: Path, row: InputRow, field: str, message: str) -> InputError:
    where = field if row.line is not None else f"row {row.number}: {field}"
    return InputError([Diagnostic(str(path), row.line, where, message)])
