"""The lines before a simulation: every default, and the components of a start."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from autoscaler.cli.commands.simulate.options import DEFAULT_POLICY, FOR_POLICIES, SimulateOptions
from simulator.number_formats import goal as goal_text
from simulator.run.scenario import Scenario
from simulator.verdict.fixed import MOST_REPLICAS, FixedReplicas

if TYPE_CHECKING:
    from autoscaler.api.models import Spec


def defaults_text(options: SimulateOptions) -> str:
    """The options that were left out, and the values taken for them."""
    shown = [
        f"{name.replace('_', '-')}={_shown(name, value)}"
        for name, value in options.defaults.items()
        if name not in _NOTHING_BY_DEFAULT and not (options.only_fixed and name in FOR_POLICIES)
    ]
    if not options.names_scaling:
        shown.insert(0, f"policy={DEFAULT_POLICY}")
    return textwrap.fill(
        f"Defaults: {', '.join(shown) or 'none'}", 80, subsequent_indent="  ", break_on_hyphens=False
    )


def _shown(name: str, value: object) -> str:
    if name == "goal" and isinstance(value, float):
        return goal_text(value)
    if isinstance(value, Mapping):
        return ",".join(f"{name.removesuffix('_s')}={seconds:g}s" for name, seconds in value.items())
    if name == "clock_start" and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).isoformat()
    if value is None:
        return _UNSET[name]
    return f"{value:g}" if isinstance(value, float) else str(value)


def beginning_text(begun: Mapping[str, int], fewest: FixedReplicas | None, goal: float) -> str:
    """How many replicas each policy's run begins with, and why."""
    numbers = set(begun.values())
    shown = str(numbers.pop()) if len(numbers) == 1 else ", ".join(f"{n} ({run})" for run, n in begun.items())
    if fewest is None:
        why = "minReplicas: the first ten minutes have no request that can meet the SLO"
    else:
        why = f"{fewest.replicas} is the fewest that reach {goal_text(goal)} for ten minutes"
        if fewest.attainment is not None and fewest.attainment < goal:
            why = f"no number reaches {goal_text(goal)} for ten minutes, and {fewest.replicas} is the fewest "
            why += f"that do as well as {MOST_REPLICAS}"
        if set(begun.values()) != {fewest.replicas}:
            why += ", and each policy's bounds and the nodes limit it"
    return textwrap.fill(f"Runs begin with {shown} ready: {why}", 80, subsequent_indent="  ")


def unwritten_text(label: str, spec: Spec) -> str:
    """A note that ``--check`` judges a policy whose mode writes nothing; empty where it writes."""
    if spec.mode == "Active":
        return ""
    text = (
        f"--check: {label} has mode: {spec.mode}, so none of its decisions is carried out: judged are the "
        "replicas that it begins with. Set mode: Active to check the policy"
    )
    return textwrap.fill(text, 80, subsequent_indent="  ")


PIPE_TEXT = "A pipe is read once: no baseline is sought, and runs begin with minReplicas"
"""Steps that read the trace before and after the runs are left out."""


def startup_text(scenario: Scenario) -> str:
    """The components of a start, those that go without saying among them."""
    startup = scenario.startup
    text = f"Start-up of {startup.total_s(scenario.profile):.0f} s"
    if startup.components:
        text += f" in the median: {'+'.join(startup.components)}"
    return textwrap.fill(text, 80, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


_UNSET = {
    "span": "all",
    "prefix_caching": "profile's",
    "timeline_interval": "every sync (1 with --replicas)",
    "nodes": "unlimited",
    "price": "list price",
}
"""The text shown for an option that was left out and has no default value."""

_NOTHING_BY_DEFAULT = frozenset(
    {
        *("trace", "policies", "fixed", "series", "warm_nodes", "node_idle", "hash_block_tokens"),
        *("json_file", "html_file", "requests_file", "timeline_file", "decisions_file", "check"),
    }
)
"""Options that do nothing unless they are given (and the policy, which is named first)."""
