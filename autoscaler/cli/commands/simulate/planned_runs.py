"""The runs that a command line asks for: each policy, and each fixed number of replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoscaler.cli.commands.simulate.options import DEFAULT_POLICY, SimulateOptions
from simulator.number_formats import counted
from simulator.run.scenario import FixedScaling

if TYPE_CHECKING:
    from autoscaler.documents.policies import LoadedPolicy


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One of the runs that are compared: a policy, or a fixed number of replicas."""

    label: str
    scaling: LoadedPolicy | FixedScaling

    @property
    def policy(self) -> LoadedPolicy | None:
        """The policy, if it is one."""
        return None if isinstance(self.scaling, FixedScaling) else self.scaling


def planned_runs(options: SimulateOptions) -> list[PlannedRun]:
    """All of them, in the order of the command line.

    Raises:
        PolicyError: a policy cannot be read.
    """
    return _labelled([*_policies(options), *map(FixedScaling, options.fixed)])


def _policies(options: SimulateOptions) -> Iterator[LoadedPolicy]:
    names = options.policies if options.names_scaling else (DEFAULT_POLICY,)
    if not names:
        return
    # A fixed number of replicas needs no validators, which are most of the time to start.
    from autoscaler.documents.library import find_policy
    from autoscaler.exchange.convert import load_any

    for name in names:
        policies, remarks = load_any(find_policy(name))
        for remark in remarks:
            click.echo(str(remark), err=True)
        yield from policies


def _labelled(scalings: Sequence[LoadedPolicy | FixedScaling]) -> list[PlannedRun]:
    """A label for each run: policies of one name have their files beside it, what is left is numbered."""
    names = [_name(scaling) for scaling in scalings]
    for index, (name, scaling) in enumerate(zip(tuple(names), scalings, strict=True)):
        others = [one for one in scalings if not isinstance(one, FixedScaling) and _name(one) == name]
        if not isinstance(scaling, FixedScaling) and len({one.file for one in others}) > 1:
            names[index] = f"{name} ({Path(scaling.file).name})"
    seen: Counter[str] = Counter()
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return [PlannedRun(label, scaling) for label, scaling in zip(labels, scalings, strict=True)]


def _name(scaling: LoadedPolicy | FixedScaling) -> str:
    return (
        counted(scaling.replicas, "replica")
        if isinstance(scaling, FixedScaling)
        else scaling.policy.metadata.name
    )
