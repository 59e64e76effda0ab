"""Options that several commands share, as one decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[Any], Any]


def option_group(*options: _Decorator) -> _Decorator:
    """Adds click options to a command, which lists them in this order in its help."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
