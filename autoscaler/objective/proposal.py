"""The replicas that an objective asks for, with figures that an operator can check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ObjectiveReason(StrEnum):
    """Why the objective asks for what it asks for."""

    MORE = "MissesCostMore"
    FEWER = "ReplicasCostMore"
    ENOUGH = "EnoughReplicas"
    HOLDING = "HoldingReplicas"
    PARTIAL_DATA = "PartialData"
    NO_DATA = "NoData"
    UNREACHABLE = "ObjectiveUnreachable"


@dataclass(frozen=True, slots=True)
class Figures:
    """The reasons of a proposal in figures. Shares of requests, between 0 and 1.

    ``load`` of a replica and the load that it holds (``full``) are of the ``index`` that explains misses
    best, as are the forecasts, in full replicas. ``misses``: the share to expect with the proposal; with one
    replica more, and with one less.
    """

    budget: float
    attained: float
    unavoidable: float
    index: str
    load: float
    full: float
    median: float
    high: float
    horizon_s: float
    misses: float
    with_one_more: float
    with_one_less: float
    learned_s: float
    learned_requests: float

    @property
    def lines(self) -> tuple[str, ...]:
        """In words."""
        return (
            f"{_percent(self.attained)} of the last day's avoidable requests met the objective; "
            f"{_percent(self.budget)} may miss",
            f"a replica has a load of {self.load:.2f} and holds {self.full:.2f} ({self.index})",
            f"in {self.horizon_s:.0f} s the demand will fill {self.median:.1f} replicas (p50), "
            f"{self.high:.1f} (p95)",
            f"{_percent(self.misses)} of the requests are expected to miss; one replica more would make it "
            f"{_percent(self.with_one_more)}, one less {_percent(self.with_one_less)}",
            f"{_percent(self.unavoidable)} of the requests would miss on an idle replica as well",
            f"learned from {self.learned_requests:,.0f} requests in {self.learned_s / 3600.0:.1f} h",
        )


@dataclass(frozen=True, slots=True)
class ObjectiveProposal:
    """The replicas that the objective asks for. ``figures`` None: there were no data."""

    replicas: int
    reason: ObjectiveReason
    message: str
    figures: Figures | None = None


def _percent(share: float) -> str:
    return f"{100.0 * share:.2f} %"
