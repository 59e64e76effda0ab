"""A command's options as the fields of a class: each is declared once, where its type is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast, dataclass_transform

import click
from click.core import ParameterSource

_Decorator: TypeAlias = Callable[[Any], Any]
_Given: TypeAlias = Mapping[str, Any]
_Options = TypeVar("_Options", bound="Options")
_Result = TypeVar("_Result")


class _Declared:
    """The class attribute of a field: makes its click parameters, and its value of what click has read."""

    def __init__(
        self, parameters: Callable[[str], Iterable[_Decorator]], value: Callable[[str, _Given], Any]
    ) -> None:
        self.parameters = parameters
        self.value = value


def option(*flags: str, **attributes: Any) -> Any:
    """A field that is an option, with what ``click.option`` takes.

    Without ``flags`` it is called as the field: ``dcgm_port`` is ``--dcgm-port``.
    """
    return _parameter(
        lambda name: click.option(*(flags or (f"--{name.replace('_', '-')}",)), name, **attributes)
    )


def argument(**attributes: Any) -> Any:
    """A field that is an argument, with what ``click.argument`` takes."""
    return _parameter(lambda name: click.argument(name, **attributes))


def _parameter(declare: Callable[[str], _Decorator]) -> _Declared:
    return _Declared(lambda name: [declare(name)], lambda name, given: given[name])


def group(options: type[_Options]) -> _Options:
    """A field that holds options which several commands share."""
    declared = _Declared(lambda _: _parameters(options), lambda _, given: _filled(options, given))
    return cast("_Options", declared)


def left_out() -> Any:
    """A field with the options that the command line does not have, each with the default that was taken."""

    def defaults(_name: str, _given: _Given) -> _Given:
        context = click.get_current_context()
        source = context.get_parameter_source
        return {
            name: value for name, value in context.params.items() if source(name) is ParameterSource.DEFAULT
        }

    return _Declared(lambda _: (), defaults)


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(option, argument, group, left_out)
)
class Options:
    """The base of a command's options.

    To mypy it is a frozen dataclass. A real one compiles its methods, which ``--help`` would wait for.
    """

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def takes(options: type[_Options]) -> Callable[[Callable[[_Options], _Result]], Callable[..., _Result]]:
    """Adds the options to a click command, which is called with them as one value."""

    def decorate(command: Callable[[_Options], _Result]) -> Callable[..., _Result]:
        @wraps(command)
        def call(**given: Any) -> _Result:
            return command(_filled(options, given))

        for add in reversed(_parameters(options)):  # click lists the decorator first that was added last
            add(call)
        return call

    return decorate


def _parameters(options: type[Options]) -> list[_Decorator]:
    """In the order of the fields, a group's where it stands."""
    return [one for name, declared in _fields(options) for one in declared.parameters(name)]


def _filled(options: type[_Options], given: _Given) -> _Options:
    return options(**{name: declared.value(name, given) for name, declared in _fields(options)})


def _fields(options: type[Options]) -> list[tuple[str, _Declared]]:
    every = (item for part in reversed(options.__mro__) for item in vars(part).items())
    return [(name, one) for name, one in every if isinstance(one, _Declared)]
