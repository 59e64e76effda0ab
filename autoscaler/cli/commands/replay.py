"""``autoscale replay FILE``: a decision log through the engine again, or through another policy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import ne
from pathlib import Path
from typing import TypeAlias

import click

from autoscaler.api.models import ScalingPolicy
from autoscaler.cli.commands.decision_diff import first_difference
from autoscaler.cli.options.declared import Options, argument, option, takes
from autoscaler.cli.options.shell_completion import complete_policy
from autoscaler.cli.options.times import TimeType
from autoscaler.cli.printable import printable
from autoscaler.decision.types import Decision
from autoscaler.documents.library import find_policy
from autoscaler.documents.policies import load_policies
from autoscaler.errors import Diagnostic, InputError, PolicyError
from autoscaler.history.explanation import shown_time, without_decision
from autoscaler.history.records import DecisionRecord, LogGap, LogLine, read_decisions_jsonl
from autoscaler.history.replay import Replayed, replay, replay_with, unrecorded

SHOWN = 40
Differ: TypeAlias = Callable[[Decision, Decision], bool]


class ReplayOptions(Options):
    """The command line."""

    file: Path = argument(type=click.Path(dir_okay=False, path_type=Path))
    policy: str | None = option(
        metavar="FILE|NAME",
        shell_complete=complete_policy,
        help="What this policy would have ordered instead.",
    )
    name: str | None = option(metavar="NAMESPACE/NAME", help="Only this policy of the log.")
    clock_start: float = option(
        type=TimeType(),
        default=0.0,
        metavar="TIME",
        help="With --policy: when second 0 of a simulator's log was, for schedules.",
    )
    show_all: bool = option("--all", is_flag=True, help=f"Show every difference, not only {SHOWN}.")


@click.command("replay")
@takes(ReplayOptions)
def replay_command(options: ReplayOptions) -> None:
    """Decide again what a decision log holds: FILE of `run --decision-log` or `simulate --decisions`.

    Without --policy every decision must come out as it was logged; exits with 1 if one does not. With
    --policy the other policy is asked in each recorded situation, which is not a forecast: the load
    stays as it was. `autoscale simulate` replays traffic.

    \b
    autoscale replay decisions.jsonl
    autoscale replay decisions.jsonl --name chat/vllm --policy other.yaml
    """  # noqa: D301 (click wants the character, not a backslash)
    file, tally = options.file, _Tally()
    records = _counting_gaps(_records(file, options.name), tally)
    if options.policy is None:
        _tell(replay(records), ne, options.show_all, tally)
        _require_one(tally, file)
        click.echo(tally.summary("as logged", "not"))
        sys.exit(1 if tally.different else 0)
    other = _load(options.policy)
    replayed = replay_with(_of_one(records, file, other), other, options.clock_start)
    _tell(replayed, _is_other_order, options.show_all, tally)
    _require_one(tally, file)
    click.echo(tally.summary("the same", "different"))
    click.echo(f"replicas wanted, on average: {tally.logged:.2f} logged, {tally.now:.2f} by {options.policy}")


def _require_one(tally: _Tally, file: Path) -> None:
    """Fails if no decision was made again: nothing was compared then."""
    if not tally.decided:
        message = (
            f"none of {tally.skipped} decisions can be decided again, as no line has a policy and its state: "
            "was the log's beginning cut off?"
        )
        raise InputError([Diagnostic(str(file), None, "", message)])


def _records(file: Path, name: str | None) -> Iterator[LogLine]:
    found = False
    others: set[str] = set()
    for record in read_decisions_jsonl(file):
        if isinstance(record, LogGap):
            yield record
        elif name in (None, record.policy_name):
            found = True
            yield record
        else:
            others.add(record.policy_name)
    if not found:
        raise InputError([Diagnostic(str(file), None, "", without_decision(name or "", others))])


def _counting_gaps(records: Iterable[LogLine], tally: _Tally) -> Iterator[LogLine]:
    for record in records:
        if isinstance(record, LogGap):
            tally.gaps += 1
            tally.lost += record.lost
        yield record


def _load(policy: str) -> ScalingPolicy:
    path = find_policy(policy)
    first, *more = load_policies(path)
    if more:
        raise PolicyError(
            [Diagnostic(str(path), more[0].line, "", "holds several policies: name a file of one")]
        )
    return first.policy


def _of_one(records: Iterable[LogLine], file: Path, other: ScalingPolicy) -> Iterator[LogLine]:
    """The records, as long as they are of one policy; says what the log cannot answer."""
    name: str | None = None
    for record in records:
        if isinstance(record, LogGap):
            yield record
            continue
        if name is not None and record.policy_name != name:
            message = f"holds {name} and {record.policy_name}: choose one with --name"
            raise InputError([Diagnostic(str(file), None, "", message)])
        name = record.policy_name
        if record.policy is not None:
            for metric in unrecorded(record.policy, other):
                click.echo(f"the log has no reading of {metric}: it counts as failed", err=True)
        yield record


@dataclass(slots=True)
class _Tally:
    """Result of a replay. ``logged`` and ``now``: mean replicas wanted; ``lost``: those in ``gaps``."""

    decided: int = 0
    different: int = 0
    skipped: int = 0
    gaps: int = 0
    lost: int = 0
    logged: float = 0.0
    now: float = 0.0
    names: set[str] = field(default_factory=set)

    def add(self, logged: Decision, now: Decision) -> None:
        """Counts a decision."""
        self.decided += 1
        self.logged += (logged.desired_replicas - self.logged) / self.decided
        self.now += (now.desired_replicas - self.now) / self.decided

    def summary(self, same: str, different: str) -> str:
        """One line for all."""
        policies = f" of {len(self.names)} policies" if len(self.names) > 1 else ""
        parts = [f"{self.decided - self.different} {same}"]
        parts += [f"{self.different} {different}"] if self.different else []
        parts += [f"{self.skipped} before the first line with a policy left out"] if self.skipped else []
        gaps = "a gap" if self.gaps == 1 else f"{self.gaps} gaps"
        parts += [f"{self.lost} more lost in {gaps} of the log"] if self.gaps else []
        return f"{self.decided + self.skipped} decisions{policies}: {', '.join(parts)}"


def _tell(replayed: Iterable[Replayed], differ: Differ, show_all: bool, tally: _Tally) -> None:
    """Prints the decisions that differ, and counts all."""
    for one in replayed:
        logged, now = one.record.decision, one.decision
        tally.names.add(one.record.policy_name)
        if now is None:
            tally.skipped += 1
            continue
        tally.add(logged, now)
        if differ(logged, now):
            tally.different += 1
            if show_all or tally.different <= SHOWN:
                click.echo(printable(_difference(one.record, now)))
    if tally.different > SHOWN and not show_all:
        click.echo(f"… and {tally.different - SHOWN} more (--all)")


def _is_other_order(logged: Decision, now: Decision) -> bool:
    return logged.desired_replicas != now.desired_replicas


def _difference(record: DecisionRecord, now: Decision) -> str:
    logged = record.decision
    name = f"{record.policy_name}  " if record.policy_name else ""
    finer = ""
    if (logged.desired_replicas, logged.reason) == (now.desired_replicas, now.reason):
        finer = f"; {first_difference(logged, now)}"
    return (
        f"{shown_time(record.now)}  {name}{logged.current_replicas} -> {logged.desired_replicas} "
        f"({logged.reason}), now -> {now.desired_replicas} ({now.reason}: {now.message}){finer}"
    )
