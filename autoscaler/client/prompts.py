"""Requests of an exact size: prompts of so many tokens, answers of so many."""

from __future__ import annotations

from random import Random
from typing import Any, Literal, NamedTuple

Form = Literal["completions", "chat"]

FIRST_ID, LAST_ID = 1_000, 31_999
"""Token ids that every current vocabulary has, and none of them special."""

_WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school")


class Body(NamedTuple):
    """A request's path and body."""

    path: str
    body: dict[str, Any]


class Prompts:
    """Bodies for one model. Random, so that no prefix cache answers; the same for the same seed.

    Completions carry token ids, so their length is exact. A chat has to carry text: common words, each
    of which is one token to most tokenizers, plus what the server's chat template adds.
    """

    def __init__(self, model: str, form: Form, seed: int) -> None:
        self._model = model
        self._form = form
        self._chance = Random(seed)

    def body(self, prompt_tokens: int, output_tokens: int) -> Body:
        """A request for exactly ``output_tokens``, whatever the model would generate."""
        asked = {"model": self._model, "max_tokens": output_tokens, "ignore_eos": True, "temperature": 0.0}
        if self._form == "completions":
            # randbytes is ten times as fast as a random number for each token.
            numbers = memoryview(self._chance.randbytes(2 * prompt_tokens)).cast("H")
            span = LAST_ID - FIRST_ID + 1
            return Body("/v1/completions", {**asked, "prompt": [FIRST_ID + n % span for n in numbers]})
        text = " ".join(self._chance.choices(_WORDS, k=prompt_tokens))
        return Body("/v1/chat/completions", {**asked, "messages": [{"role": "user", "content": text}]})
