"""The verdict of a goal on a run, as the part ``verdict`` of its JSON summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from simulator.number_formats import rounded
from simulator.run.billing import SECONDS_PER_HOUR, cost_usd, replica_seconds
from simulator.run.result import RunResult
from simulator.verdict.fixed import FixedReplicas
from simulator.verdict.goal import Verdict

if TYPE_CHECKING:  # findings need the decision engine, which fixed replicas do without
    from simulator.verdict.findings import Finding


@dataclass(frozen=True, slots=True)
class Review:
    """A verdict with its reasons, and alternatives that would have held.

    ``baseline``: the fewest fixed replicas that hold, None where they were not looked for or where
    none do (``baseline_sought`` distinguishes the two). ``bound_replica_hours``: the replica-hours
    that a known future would have needed.
    """

    verdict: Verdict
    findings: Sequence[Finding] = ()
    baseline: FixedReplicas | None = None
    baseline_sought: bool = False
    bound_replica_hours: float | None = None


def verdict_document(review: Review, result: RunResult) -> dict[str, Any]:
    """JSON-ready. ``margin``: attainment less the goal.

    ``regret``: replica-hours over the bound's; None for a run that misses: it spent less and served less.
    """
    verdict = review.verdict
    attainment = verdict.attainment
    hours = replica_seconds(result.replicas) / SECONDS_PER_HOUR
    bound = review.bound_replica_hours
    return {
        "goal": verdict.goal.attainment,
        "count": verdict.goal.count,
        "holds": verdict.holds,
        "attainment": rounded(attainment),
        "attainment_of_avoidable": rounded(verdict.attainment_of_avoidable),
        "margin": rounded(None if attainment is None else attainment - verdict.goal.attainment),
        "missed": verdict.missed,
        "unavoidable": verdict.unavoidable,
        "baseline_sought": review.baseline_sought,
        "cheapest_fixed": _fixed(review.baseline, result),
        "bound_replica_hours": rounded(bound),
        "regret": rounded(hours / bound if bound and verdict.holds else None),
        "findings": [asdict(finding) for finding in review.findings],
    }


def _fixed(fixed: FixedReplicas | None, result: RunResult) -> dict[str, Any] | None:
    if fixed is None:
        return None
    billed_s = fixed.replica_hours * SECONDS_PER_HOUR + fixed.idle_node_s
    return {
        "replicas": fixed.replicas,
        "attainment": rounded(fixed.attainment),
        "replica_hours": rounded(fixed.replica_hours),
        "gpu_hours": rounded(fixed.replica_hours * result.gpus_per_replica),
        "cost_usd": rounded(cost_usd(result, billed_s)),
    }
