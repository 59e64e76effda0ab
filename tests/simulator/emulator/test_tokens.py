"""Tokens without a tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.emulator.tokens import count_tokens, text_of


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("a", 1), ("four", 1), ("fives", 2), ("Zürich", 2), ("日本語", 3)]
)
def test_four_bytes_are_a_token(text, tokens):
    assert count_tokens(text) == tokens


@given(st.integers(0, 50), st.integers(1, 500))
def test_what_is_said_has_the_tokens_that_it_is_counted_with(first, tokens):
    assert count_tokens(text_of(first, first + tokens)) == tokens


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_pieces_join_to_the_whole(a, b, c):
    first, middle, last = sorted((a, b, c))
    assert text_of(first, middle) + text_of(middle, last) == text_of(first, last)
