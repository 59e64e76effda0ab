"""The command line, parsed, and the runs that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from simulator.run.scenario import FixedScaling

if TYPE_CHECKING:
    from autoscaler.documents.policies import LoadedPolicy
    from simulator.world.cluster import Routing

DEFAULT_POLICY = "chat"
STDOUT = Path("-")
FOR_POLICIES = {
    "initial_replicas": "--replicas says how many there are",
    "decisions_file": "about fixed replicas nothing is decided",
    "startup": "fixed replicas are ready at 0",
    "startup_spread": "fixed replicas are ready at 0",
    "scrape_interval": "for fixed replicas nothing is scraped",
    "metrics_lag": "for fixed replicas nothing is scraped",
    "clock_start": "fixed replicas have no schedule",
}
"""Options that do nothing where no policy is run, and why."""


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """The command line; ``defaults`` names what the user left out."""

    trace: str
    policies: tuple[str, ...]
    fixed: tuple[int, ...]
    profile: str
    prefix_caching: Literal["on", "off"] | None
    hash_block_tokens: int
    startup: str
    startup_spread: Literal["on", "off"]
    nodes: int | None
    warm_nodes: int
    node_idle: float
    price: str | None
    routing: Routing
    rate_scale: float
    start: float
    span: float | None
    bad_rows: Literal["stop", "skip"]
    slo: Mapping[str, float]
    scrape_interval: float
    metrics_lag: float
    initial_replicas: int | Literal["auto", "min"]
    goal: float
    count: Literal["avoidable", "all"]
    baseline: Literal["on", "off"]
    bound: Literal["on", "off"]
    check: bool
    clock_start: float
    series: Mapping[str, Path]
    seed: int
    json_file: Path | None
    html_file: Path | None
    requests_file: Path | None
    timeline_file: Path | None
    timeline_interval: float | None
    decisions_file: Path | None
    defaults: tuple[str, ...]

    @property
    def only_fixed(self) -> bool:
        """Whether no policy is run."""
        return bool(self.fixed) and not self.policies

    @property
    def names_scaling(self) -> bool:
        """Whether the user said what scales; otherwise the default policy does."""
        return bool(self.policies or self.fixed)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One of the runs that are compared: a policy, or a fixed number of replicas."""

    label: str
    scaling: LoadedPolicy | FixedScaling

    @property
    def policy(self) -> LoadedPolicy | None:
        """The policy, if it is one."""
        return None if isinstance(self.scaling, FixedScaling) else self.scaling
