"""Bodies of /v1/completions and /v1/chat/completions, checked as vLLM checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.emulator.serving import FinishReason
from simulator.emulator.tokens import MESSAGE_TOKENS, count_tokens

COMPLETION_MAX_TOKENS = 16
"""Tokens that /v1/completions generates without a limit of the client; a chat may fill the context."""

TokenIds = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1)]
Tokens = Annotated[int, Field(ge=1)]


class OpenAiError(Exception):
    """An answer that is an error, in OpenAI's form."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}
        super().__init__(message)


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class StreamOptions(_Body):
    """Token counts that a stream carries besides text."""

    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class Sampling(_Body):
    """Fields of both endpoints. All other fields (temperature, stop, tools…) are accepted and ignored."""

    model: str | None = None
    n: Literal[1] | None = 1
    max_tokens: Tokens | None = None
    min_tokens: Annotated[int, Field(ge=0)] = 0
    ignore_eos: bool = False
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    def limit(self) -> int | None:
        """The most tokens that the client allows; None without a limit."""
        return self.max_tokens

    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        raise NotImplementedError


class Completion(Sampling):
    """The body of /v1/completions; one prompt a request."""

    prompt: str | TokenIds | Annotated[list[str] | list[TokenIds], Field(min_length=1, max_length=1)]

    def limit(self) -> int:
        """``max_tokens``, which is 16 unless given."""
        return self.max_tokens or COMPLETION_MAX_TOKENS

    def prompt_tokens(self) -> int:
        """Tokens of the prompt: exact for token ids, estimated for text."""
        prompt = self.prompt
        if isinstance(prompt, list) and not isinstance(prompt[0], int):
            prompt = prompt[0]
        return count_tokens(prompt) if isinstance(prompt, str) else len(prompt)


class TextPart(_Body):
    """One part of a message's content."""

    type: Literal["text"]
    text: str


class Message(_Body):
    """One turn of a chat."""

    role: str
    content: str | list[TextPart] | None = None

    def tokens(self) -> int:
        """Estimated tokens, with those that the chat template adds."""
        parts = self.content or ""
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return MESSAGE_TOKENS + count_tokens(text)


class Chat(Sampling):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Tokens | None = None

    def limit(self) -> int | None:
        """``max_completion_tokens``, or its old name."""
        return self.max_completion_tokens or self.max_tokens

    def prompt_tokens(self) -> int:
        """Estimated tokens of all messages together."""
        return sum(message.tokens() for message in self.messages)


def read_body(kind: type[Completion] | type[Chat], body: bytes) -> Completion | Chat:
    """A body, parsed.

    Raises:
        OpenAiError: 400; the body is not valid JSON, or a field is missing or wrong.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OpenAiError(
            400, "BadRequestError", f"{place or 'body'}: {first['msg']}", place or None
        ) from None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request as the engine needs it: it will generate ``output`` tokens of ``max_tokens`` allowed."""

    prompt: int
    output: int
    max_tokens: int
    reason: FinishReason


class ServedModel:
    """The requests that the emulated model takes, and the lengths of its answers.

    Without ``ignore_eos`` an answer ends by itself after a number of tokens that is exponentially
    distributed around ``mean_output_tokens``. The same ``seed`` and order of requests give the same
    lengths.
    """

    def __init__(
        self, names: tuple[str, ...], max_model_len: int, mean_output_tokens: float, seed: str
    ) -> None:
        self.names = names
        self.max_model_len = max_model_len
        self._mean = mean_output_tokens
        self._chance = Random(seed)

    def read(self, body: Completion | Chat) -> GenerationRequest:
        """The engine's request for a body.

        Raises:
            OpenAiError: 404 for another model, 400 for more tokens than the context holds.
        """
        if body.model is not None and body.model not in self.names:
            raise OpenAiError(404, "NotFoundError", f"The model `{body.model}` does not exist.", "model")
        prompt = body.prompt_tokens()
        room = self.max_model_len - prompt
        limit = body.limit()
        max_tokens = room if limit is None else limit
        if max_tokens > room or room < 1:
            raise OpenAiError(400, "BadRequestError", self._too_long(prompt, limit))
        if body.min_tokens > max_tokens:
            message = f"min_tokens must be at most max_tokens={max_tokens}, got {body.min_tokens}."
            raise OpenAiError(400, "BadRequestError", message, "min_tokens")
        said = max_tokens
        if not body.ignore_eos:
            said = max(1 + int(self._chance.expovariate(1.0 / self._mean)), body.min_tokens)
        if said < max_tokens:
            return GenerationRequest(prompt, said, max_tokens, "stop")
        return GenerationRequest(prompt, max_tokens, max_tokens, "length")

    def _too_long(self, prompt: int, limit: int | None) -> str:
        asked = f"{limit} output tokens were asked for and " if limit else ""
        return (
            f"This model's maximum context length is {self.max_model_len} tokens; {asked}the prompt has"
            f" {prompt} input tokens. Ask for less, or shorten the prompt."
        )


def usage(prompt: int, completion: int) -> Mapping[str, object]:
    """OpenAI's count of tokens."""
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": None,
    }
