"""Shell completion of an argument that takes a bundled name, or a file of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _or_file(names: Callable[[], Iterable[str]]) -> _Complete:
    """The names that fit, and files. Files go first: at them bash's script empties its list."""

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        fitting = [CompletionItem(name) for name in names() if name.startswith(begun)]
        return [CompletionItem(begun, type="file"), *fitting]

    return complete


def _policies() -> Iterable[str]:
    from autoscaler.documents.library import library_names

    return library_names()


def _profiles() -> Iterable[str]:
    from simulator.vllm.profile import profile_names

    return profile_names()


def _traces() -> Iterable[str]:
    from simulator.traces.trace import trace_names

    return trace_names()


complete_policy = _or_file(_policies)
complete_profile = _or_file(_profiles)
complete_trace = _or_file(_traces)


def complete_library(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The library's policies, and no files."""
    return [name for name in _policies() if name.startswith(begun)]


def complete_startup(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The names of a start's components and presets, each after a ``+`` too."""
    from simulator.startup.choices import component_names

    before, plus, last = begun.rpartition("+")
    names = (name for phase in component_names().values() for name in phase)
    return [f"{before}{plus}{name}" for name in names if name.startswith(last)]
