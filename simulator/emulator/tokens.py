"""Converts text to a number of tokens and back without a tokenizer: four bytes of UTF-8 are one token.

English takes about four bytes a token with the tokenizers of current models, so lengths and times are
about right; prompts given as token ids are exact.
"""

from __future__ import annotations

BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4
"""Tokens that a chat template adds to each message: its role, and the marks of its beginning and end."""

_WORDS = (" the", " and", " for", " are", " but", " not", " you", " all", " any", " can", " her", " was")


def count_tokens(text: str) -> int:
    """Estimated tokens of a text, at least 1."""
    return max(1, -(-len(text.encode()) // BYTES_PER_TOKEN))


def text_of(first: int, last: int) -> str:
    """The text of the tokens ``first`` to ``last - 1`` of any answer; ``count_tokens`` counts as many."""
    return "".join([_WORDS[number % len(_WORDS)] for number in range(first, last)])
