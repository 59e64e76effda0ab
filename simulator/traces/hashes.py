"""The content of prompts as a trace names it: one id for each piece of a prompt, the same in all formats.

Two prompts with equal ids at one place are equal up to the end of that piece.
"""

from __future__ import annotations

import json

from simulator.traces.formats import BadValueError, shorten

COLUMN = "hash_ids"
_MOST = 2**63 - 1


def hash_ids(value: object, prompt_tokens: int, piece: int) -> tuple[int, ...]:
    """The ids of a prompt, from a JSON list or from a CSV field with spaces between them.

    ``piece``: the tokens that an id stands for. The last piece needs an id only if it is full.

    Raises:
        BadValueError: the value is not a list of such ids, or their number is not that of the pieces.
    """
    shown = shorten(value if isinstance(value, str) else json.dumps(value))
    ids = _ids(value)
    if ids is None:
        raise BadValueError(
            f"{shown} is not a list of ids; ids are whole numbers from 0 on: [0, 1] in JSON, 0 1 in CSV"
        )
    if len(ids) not in (prompt_tokens // piece, -(-prompt_tokens // piece)):
        raise BadValueError(
            f"{len(ids):,} ids for {prompt_tokens:,} tokens; one id for each {piece:,} tokens makes "
            f"{-(-prompt_tokens // piece):,} (--hash-block-tokens sets the tokens of an id)"
        )
    return ids


def _ids(value: object) -> tuple[int, ...] | None:
    if isinstance(value, str):
        words = value.split()
        if not all(word.isascii() and word.isdigit() and len(word) < 20 for word in words):
            return None
        return _small(tuple(map(int, words)))
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        return None
    return _small(tuple(value))


def _small(ids: tuple[int, ...]) -> tuple[int, ...] | None:
    return ids if max(ids, default=0) <= _MOST else None
