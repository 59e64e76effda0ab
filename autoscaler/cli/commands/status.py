"""``autoscale status``: every policy of a cluster in a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count

import click

from autoscaler.api.status import PolicyStatus, read_status
from autoscaler.api.vocabulary import Action
from autoscaler.cli.options.declared import Options, group, option, takes
from autoscaler.cli.options.kubernetes import ClusterOptions
from autoscaler.errors import ClusterError
from autoscaler.history.decision_status import LOOKING_ON, remarks_of
from autoscaler.kube.client.api import connect
from autoscaler.kube.watched_policies import read_policies
from autoscaler.ports.policies import AnyPolicy, RefusedPolicy

HEAD = ("POLICY", "TARGET", "MIN", "MAX", "CURRENT", "READY", "DESIRED", "MODE", "LAST DECISION")
_NUMBERS = frozenset({2, 3, 4, 5, 6})


class StatusOptions(Options):
    """The command line."""

    cluster: ClusterOptions = group(ClusterOptions)
    watch: bool = option(is_flag=True, help="Refresh until Ctrl-C.")
    interval: float = option(type=click.FloatRange(0.5), default=2.0, show_default=True, metavar="S")


@click.command()
@takes(StatusOptions)
def status(options: StatusOptions) -> None:
    """Show all policies: the target, its bounds and replicas, and the last decision.

    What is wrong with a policy stands below it, and who scales the target that it only looks at.

    \b
    autoscale status
    autoscale status -n chat --watch
    """  # noqa: D301 (click wants the character, not a backslash)
    api = connect(options.cluster.kubeconfig, options.cluster.context)
    for turn in count():
        try:
            policies = read_policies(api, options.cluster.namespaces)
            lines = list(table(policies, time.time()))
        except ClusterError as error:
            if not options.watch or not turn:
                raise
            lines = [str(error)]
        if options.watch and sys.stdout.isatty():
            click.clear()
        elif turn:
            click.echo()
        click.echo("\n".join(lines))
        if not options.watch:
            return
        time.sleep(options.interval)


def table(policies: Sequence[AnyPolicy], now: float) -> Iterator[str]:
    """The lines of the table; ``now`` is what ages are counted from."""
    rows = [(_row(policy, read_status(policy.status), now), _remarks(policy)) for policy in policies]
    if not rows:
        yield "no policies"
        return
    widths = [
        max(len(row[column]) for row in [HEAD, *(row for row, _ in rows)]) for column in range(len(HEAD))
    ]
    yield _line(HEAD, widths)
    for row, remarks in rows:
        yield _line(row, widths)
        yield from remarks


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _row(policy: AnyPolicy, status: PolicyStatus | None, now: float) -> tuple[str, ...]:
    name = f"{policy.namespace}/{policy.name}"
    if isinstance(policy, RefusedPolicy):
        if status is None or status.last_decision is None:
            return (name, "-", "-", "-", "-", "-", "-", "-", "refused")
        return (name, "-", "-", "-", *_numbers(status), "-", _last(status, now))
    spec = policy.policy.spec
    ref = spec.scale_target_ref
    seen = status or PolicyStatus(mode=spec.mode)
    bounds = str(spec.min_replicas), str(spec.max_replicas)
    return (name, f"{ref.kind}/{ref.name}", *bounds, *_numbers(seen), str(spec.mode), _last(seen, now))


def _numbers(status: PolicyStatus) -> tuple[str, ...]:
    return tuple(map(_number, (status.current_replicas, status.ready_replicas, status.desired_replicas)))


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)


def _last(status: PolicyStatus, now: float) -> str:
    """The last decision, and since when it holds."""
    last = status.last_decision
    if last is None:
        return "none yet"
    since = status.past_decisions[-1].since if status.past_decisions else last.time
    word = "" if last.action is Action.HELD else f" ({last.action})"
    return f"{last.reason}{word}, {_age(now - since)}"


def _age(seconds: float) -> str:
    """As kubectl shows ages: ``45s``, ``12m``, ``5h``, ``3d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _remarks(policy: AnyPolicy) -> Iterator[str]:
    """Conditions that are not as they should be, and why; beside whom a policy looks on, uncoloured."""
    status = read_status(policy.status)
    told = set()
    for one in remarks_of(status) if status else ():
        told.add(one.message)
        line = f"  {one.type} {one.status}: {one.reason}: {one.message}"
        yield line if one.reason == LOOKING_ON else _warning(line)
    if policy.problem is not None and policy.problem not in told:
        yield _warning(f"  Accepted False: {policy.problem}")


def _warning(line: str) -> str:
    return click.style(line, fg="yellow")
