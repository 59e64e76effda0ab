"""The sentences that open a summary: each run's goal, distance and price, and the cheapest run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from simulator import number_formats as formats

Summary = dict[str, Any]

_DECIMALS = (2, 3, 4)
"""Of percentages, as few as show a difference: the figures of a summary have no more."""


def opening(summaries: Sequence[Summary]) -> list[str]:
    """One sentence a run and one on what is cheapest; none where no run was held to a goal."""
    if not summaries or summaries[0]["verdict"] is None or summaries[0]["slo_attainment"] is None:
        return []
    return [*(f"{_run_clause(summary)}." for summary in summaries), _cheapest(summaries)]


def _run_clause(summary: Summary) -> str:
    verdict = summary["verdict"]
    if verdict["attainment"] is None:
        return f"{summary['label']}: every request misses even on an idle replica, for {_spent(summary)}"
    how = "holds" if verdict["holds"] else "misses"
    judged = f"{summary['label']} {how} {formats.goal(verdict['goal'])}"
    return f"{judged}: {_reached(verdict)}, for {_spent(summary)}"


def _reached(verdict: dict[str, Any]) -> str:
    """The attainment and its distance from the goal, with as many digits as distinguish the two."""
    holds, points = verdict["holds"], 100 * abs(verdict["margin"])
    decimals = next((n for n in _DECIMALS if round(points, n)), _DECIMALS[-1])
    distance = f"{points:.{decimals}f}"
    if not round(points, decimals):
        is_goal = holds and verdict["attainment"] == verdict["goal"]
        decimals, distance = (2, "0.00") if is_goal else (decimals, f"<{10.0**-decimals:.{decimals}f}")
    return (
        f"{formats.share(verdict['attainment'], decimals)}, {distance} points {'above' if holds else 'below'}"
    )


def _spent(figures: Summary) -> str:
    hours = f"{formats.decimal(figures['gpu_hours'])} GPU-hours"
    cost = figures["cost_usd"]
    return hours if cost is None else f"{formats.dollars(cost)} ({hours})"


def _price(figures: Summary) -> float:
    """The price of a run: money, which includes idle nodes, or GPU-hours where no price is known."""
    price: float = figures["gpu_hours"] if figures["cost_usd"] is None else figures["cost_usd"]
    return price


def _cheapest(summaries: Sequence[Summary]) -> str:
    verdict = summaries[0]["verdict"]
    fixed = verdict["cheapest_fixed"]
    holding = [(_price(one), one["label"]) for one in summaries if one["verdict"]["holds"]]
    if fixed is not None:
        name = formats.counted(fixed["replicas"], "replica")
        fixed_text = f"The fewest fixed replicas that hold: {fixed['replicas']}, for {_spent(fixed)}. "
        candidates = [*holding, (_price(fixed), f"{name} fixed")]
    else:
        fixed_text = f"No fixed number of replicas{_within_nodes(summaries[0])} holds. "
        fixed_text = fixed_text if verdict["baseline_sought"] else ""
        candidates = holding
    if not candidates:
        return f"{fixed_text}None of the runs holds."
    least = min(price for price, _ in candidates)
    winners = list(dict.fromkeys(label for price, label in candidates if price == least))
    return f"{fixed_text}Cheapest that holds: {' and '.join(winners)}."


def _within_nodes(summary: Summary) -> str:
    nodes = summary["inputs"].get("nodes")
    return "" if nodes is None else f" within {formats.counted(nodes['most'], 'node')}"


def remarks(summary: Summary) -> Iterator[str]:
    """A run's unavoidable misses, and its regret where the bound is known."""
    verdict = summary["verdict"]
    if verdict is None:
        return
    if verdict["unavoidable"]:
        rest = verdict["attainment_of_avoidable"]
        without = f"without them {formats.share(rest)}, " if rest is not None else ""
        yield (
            f"Unavoidable: {verdict['unavoidable']:,} of {verdict['missed']:,} misses would have missed on "
            f"an idle replica too; {without}of all {formats.share(summary['slo_attainment'])}"
        )
    if verdict["bound_replica_hours"] is not None:
        bound = (
            f"the {formats.decimal(verdict['bound_replica_hours'])} replica-hours of the clairvoyant bound"
        )
        if verdict["regret"] is None:
            yield f"Regret: -, as the goal is missed; {bound} reach it"
        else:
            yield f"Regret: {verdict['regret']:.2f} times {bound}"


def findings(summary: Summary) -> Sequence[dict[str, str]]:
    """A run's findings, each with ``field`` and ``message``."""
    verdict = summary["verdict"]
    found: Sequence[dict[str, str]] = () if verdict is None else verdict["findings"]
    return found
