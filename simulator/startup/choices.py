"""Parses a start-up such as ``hyperdisk-ml+secondary-boot-disk``: one component of each phase."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from autoscaler.errors import Diagnostic, ProfileError
from simulator.startup.components import (
    Component,
    EnginePart,
    ImagePart,
    ImportsPart,
    LoaderPart,
    NodePart,
    WeightsPart,
    components,
)
from simulator.startup.plan import Spread, StartupModel

DEFAULT_NODE = "warm-node"
DEFAULT_WEIGHTS = "gcsfuse-parallel"
DEFAULT_IMPORTS = "slow-imports"
MAX_SECONDS = 86400.0
_OPTION = "--startup"

Part = TypeVar("Part", bound=Component)


class Choice(NamedTuple):
    """One component of every phase."""

    node: NodePart
    image: ImagePart
    weights: WeightsPart
    loader: LoaderPart
    imports: ImportsPart
    engine: EnginePart


def load_startup(name_or_seconds: str) -> StartupModel:
    """The start-up of components and a preset joined by ``+``, or of seconds of loading, never Pending.

    Raises ``ProfileError``: a name does not exist, or two are of one phase.
    """
    if (seconds := _seconds(name_or_seconds)) is not None:
        return StartupModel(name=name_or_seconds, engine_s=seconds)
    return assemble(name_or_seconds, choose(name_or_seconds))


def component_names() -> dict[str, tuple[str, ...]]:
    """The names of every phase, presets last."""
    known = components()
    return {
        "node": tuple(part.name for part in known.nodes),
        "image": tuple(part.name for part in known.images),
        "weights": tuple(part.name for part in known.weights),
        "loader": tuple(part.name for part in known.loaders),
        "imports": tuple(part.name for part in known.imports),
        "engine": tuple(part.name for part in known.engines),
        "preset": tuple(known.presets),
    }


def choose(text: str, usual_node: str = DEFAULT_NODE, argument: str = _OPTION) -> Choice:
    """The components that a list names. A phase that it leaves out takes its preset's, or the usual one.

    ``argument``: where the user wrote the list.

    Raises ``ProfileError``: a name does not exist, or two are of one phase.
    """
    known = components()
    names = [name.strip() for name in text.split("+")]
    presets = [name for name in names if name in known.presets]
    named = [name for name in names if name not in known.presets]
    if problem := _problem(named, presets):
        raise _refusal(text, problem, argument)
    # The first that fits a phase is taken: components that are named go before those of a preset.
    names = named + [part for preset in presets for part in known.presets[preset].split("+")]
    node = _named(known.nodes, names, usual_node)
    weights = _named(known.weights, names, DEFAULT_WEIGHTS)
    return Choice(
        node=node,
        image=_named(known.images, names, node.image),
        weights=weights,
        loader=_named(known.loaders, names, weights.loader),
        imports=_named(known.imports, names, DEFAULT_IMPORTS),
        engine=_named(known.engines, names, node.engine),
    )


def assemble(name: str, choice: Choice, image_gb: float | None = None) -> StartupModel:
    """The start-up of these components; ``image_gb``: the size of an unusual image."""
    known = components()
    image_s = choice.image.seconds
    if choice.image.gb_per_s is not None:
        image_s = (image_gb or known.image_gb) / choice.image.gb_per_s
    return StartupModel(
        name=name,
        node_s=choice.node.seconds,
        image_s=image_s,
        weights_gb_per_s=_rate(choice.weights, choice.loader),
        shared_gb_per_s=choice.weights.shared_gb_per_s,
        engine_s=choice.imports.seconds + choice.engine.seconds,
        engine_model_s=choice.engine.model_seconds,
        spread=Spread(
            node=choice.node.p95_over_p50,
            image=choice.image.p95_over_p50,
            weights=choice.weights.p95_over_p50,
            engine=choice.engine.p95_over_p50,
        ),
        components=tuple(part.name for part in choice),
        sources={part.name: part.source for part in choice},
    )


def _rate(weights: WeightsPart, loader: LoaderPart) -> float:
    """GB a second of storage and loader: the lesser rate if both work at once, else their times add up."""
    if weights.then_reads:
        return 1.0 / (1.0 / weights.gb_per_s + 1.0 / loader.gb_per_s)
    return min(weights.gb_per_s, loader.gb_per_s)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        return None
    if not 0.0 <= seconds <= MAX_SECONDS:
        raise _refusal(text, f"must be from 0 to {MAX_SECONDS:g} seconds")
    return seconds


def _named(parts: Sequence[Part], names: Sequence[str], usual: str) -> Part:
    """The named part, else the usual one."""
    by_name = {part.name: part for part in parts}
    return next((by_name[name] for name in names if name in by_name), by_name[usual])


def _problem(names: Sequence[str], presets: Sequence[str]) -> str | None:
    """The first thing that is wrong with a list of names."""
    if len(presets) > 1:
        return f"{presets[0]} and {presets[1]} are both presets: choose one"
    phases = component_names()
    phase_of = {name: phase for phase, options in phases.items() if phase != "preset" for name in options}
    for name in names:
        if name not in phase_of:
            return f"{name!r} is not known{_likely(name, phases)}: {_wanted(phases)}"
    taken: dict[str, str] = {}
    for name in names:
        first = taken.setdefault(phase_of[name], name)
        if first != name:
            return f"{first} and {name} are both {phase_of[name]} components: choose one"
    return None


def _likely(name: str, phases: dict[str, tuple[str, ...]]) -> str:
    close = difflib.get_close_matches(name, [option for options in phases.values() for option in options], 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _wanted(phases: dict[str, tuple[str, ...]]) -> str:
    options = "; ".join(f"{phase} {', '.join(names)}" for phase, names in phases.items())
    return f"must be names joined by +, at most one of each ({options})"


def _refusal(text: str, message: str, argument: str = _OPTION) -> ProfileError:
    return ProfileError([Diagnostic(text, None, argument, message)])
