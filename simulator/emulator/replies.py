"""The JSON of answers, whole and as server-sent events, in the shapes of vLLM 0.26."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from simulator.emulator.openai_requests import StreamOptions, usage
from simulator.emulator.tokens import text_of

DONE = b"data: [DONE]\n\n"


class Form(NamedTuple):
    """The names that one of the two endpoints uses."""

    id_prefix: str
    whole: str
    chunk: str
    is_chat: bool


COMPLETION = Form("cmpl-", "text_completion", "text_completion", False)
CHAT = Form("chatcmpl-", "chat.completion", "chat.completion.chunk", True)


class Reply:
    """One answer on its way to the client. ``created``: epoch seconds."""

    def __init__(self, form: Form, model: str, prompt_tokens: int, created: int) -> None:
        self._form = form
        self._prompt_tokens = prompt_tokens
        self._head = {"id": form.id_prefix + uuid4().hex, "created": created, "model": model}

    def whole(self, tokens: int, reason: str) -> Mapping[str, Any]:
        """The complete answer in one object."""
        content = text_of(0, tokens)
        said: dict[str, Any] = {"text": content}
        if self._form.is_chat:
            said = {"message": {"role": "assistant", "content": content, "tool_calls": []}}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason, "stop_reason": None}
        return {
            **self._head,
            "object": self._form.whole,
            "choices": [choice],
            "usage": usage(self._prompt_tokens, tokens),
        }

    def opening(self) -> bytes:
        """The first event of a chat, which names the role; a completion has none."""
        if not self._form.is_chat:
            return b""
        return self._event([self._choice({"delta": {"role": "assistant", "content": ""}}, None)])

    def piece(self, first: int, last: int, reason: str | None, options: StreamOptions | None) -> bytes:
        """The event with the tokens ``first`` to ``last - 1``; ``reason`` with the last piece."""
        text = text_of(first, last)
        said = {"delta": {"content": text}} if self._form.is_chat else {"text": text}
        counts = None
        if options is not None and options.continuous_usage_stats:
            counts = usage(self._prompt_tokens, last)
        return self._event([self._choice(said, reason)], counts)

    def closing(self, tokens: int, options: StreamOptions | None) -> bytes:
        """Usage, if the client asked for it, and the end of the stream."""
        if options is None or not options.include_usage:
            return DONE
        return self._event([], usage(self._prompt_tokens, tokens)) + DONE

    def _choice(self, said: Mapping[str, Any], reason: str | None) -> Mapping[str, Any]:
        return {"index": 0, **said, "logprobs": None, "finish_reason": reason, "stop_reason": None}

    def _event(self, choices: list[Mapping[str, Any]], counts: Mapping[str, object] | None = None) -> bytes:
        chunk = {**self._head, "object": self._form.chunk, "choices": choices}
        if counts is not None:
            chunk["usage"] = counts
        return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
