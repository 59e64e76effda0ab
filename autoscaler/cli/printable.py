"""Texts of files and servers for the terminal: a line stays one line, and cannot control the terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """A text with its line breaks and control characters spelled out."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
