"""The table of scaling decisions, each with all its steps, and the holds by reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoscaler.decision.types import Decision, Proposal
from autoscaler.history.records import DecisionRecord
from simulator.number_formats import clock, share
from simulator.report.decision_groups import HoldReason, holds, scalings
from simulator.report.markup import Markup, element, join, table

MAX_SHOWN = 600  # of all runs together; one takes some 2 kB
_HEADINGS = ("Time", "Replicas", "Reason", "Message")


def decision_section(decisions: Sequence[DecisionRecord], shown: int, *, written: bool = True) -> Markup:
    """The decisions with their reasons: at most the first ``shown`` scalings, and the holds.

    ``written`` False: under the policy's mode no decision was carried out.
    """
    heading = element("h3", "Scaling decisions")
    if not decisions:
        return element(
            "section", heading, element("p", "The number of replicas was fixed: there are no decisions.")
        )
    changes = scalings(decisions)
    ups = sum(_rises(record.decision) for record in changes)
    totals = element(
        "p",
        f"{len(decisions):,} decisions: {ups:,} up, {len(changes) - ups:,} down, "
        f"{len(decisions) - len(changes):,} held{'' if written else '; none was written'}.",
    )
    return element(
        "section",
        heading,
        totals,
        _filters(changes),
        _scalings(changes, shown),
        _holds(holds(decisions), len(decisions)),
        class_="decisions",
    )


def _filters(changes: list[DecisionRecord]) -> Markup:
    reasons = sorted({str(record.decision.reason) for record in changes})
    directions = [("", "Every scaling"), ("up", "Up"), ("down", "Down"), ("holds", "Holds")]
    buttons = (
        element("button", title, type="button", data_show=show, aria_pressed="false" if show else "true")
        for show, title in directions
    )
    options = (element("option", reason, value=reason) for reason in reasons)
    every = element("option", "Every reason", value="")
    chosen = element("select", every, *options, aria_label="Show scalings with this reason")
    group = element("div", *buttons, class_="segments", role="group", aria_label="Show decisions")
    return element("div", group, chosen, class_="filters scripted")


def _scalings(changes: list[DecisionRecord], shown: int) -> Markup:
    if not changes:
        return element("p", "The replicas were never changed.", class_="scalings")
    rows = (_scaling(record) for record in changes[:shown])
    grid = table(_HEADINGS, rows, caption="Scaling decisions", class_="stacked")
    note = (
        element("p", f"The first {shown:,} of {len(changes):,}; --decisions writes all.", class_="note")
        if len(changes) > shown
        else ""
    )
    return element("div", grid, note, class_="scalings")


def _scaling(record: DecisionRecord) -> Markup:
    decision = record.decision
    steps = element(
        "details", element("summary", decision.message), _steps(decision), _proposals(decision.proposals)
    )
    return element(
        "tr",
        element("td", clock(record.now), class_="number"),
        element("td", _arrow(decision), class_="change"),
        element("td", element("code", str(decision.reason))),
        element("td", steps, class_="message"),
        data_direction="up" if _rises(decision) else "down",
        data_reason=str(decision.reason),
    )


def _arrow(decision: Decision) -> Markup:
    sign = "▲" if _rises(decision) else "▼"
    return join(
        (
            element("span", sign, class_="sign", aria_hidden="true"),
            f" {decision.current_replicas} → {decision.desired_replicas}",
        )
    )


def _steps(decision: Decision) -> Markup:
    rows = (
        element(
            "tr",
            element("td", step.stage),
            element("td", str(step.replicas), class_="number"),
            element("td", element("code", str(step.reason))),
            element("td", step.message),
        )
        for step in decision.steps
    )
    return table(("Stage", "Replicas", "Reason", "Message"), rows, caption="Steps of this decision")


def _proposals(proposals: Sequence[Proposal]) -> Markup:
    if not proposals:
        return Markup()
    headings = ("Metric", "Usage", "Target", "Replicas", "Pods", "Missing")
    rows = (element("tr", *_proposal(proposal)) for proposal in proposals)
    return table(headings, rows, caption="Replicas by metric")


def _proposal(proposal: Proposal) -> Iterator[Markup]:
    yield element("td", proposal.metric)
    yield element("td", _milli(proposal.usage_milli), class_="number")
    yield element("td", _milli(proposal.target_milli), class_="number")
    yield element("td", "-" if proposal.replicas is None else str(proposal.replicas), class_="number")
    yield element("td", str(proposal.used), class_="number")
    yield element("td", str(len(proposal.missing)), class_="number")


def _milli(value: int | None) -> str:
    return "-" if value is None else f"{value / 1000:,.10g}"


def _holds(found: list[HoldReason], decisions: int) -> Markup:
    rows = (
        element(
            "tr",
            element("td", element("code", hold.reason)),
            element("td", f"{hold.count:,}", class_="number"),
            element("td", share(hold.count / decisions), class_="number"),
            element("td", f"{clock(hold.first_s)} to {clock(hold.last_s)}", class_="number"),
            element("td", hold.message),
        )
        for hold in found
    )
    headings = ("Reason", "Holds", "Share", "When", "Last message")
    heading = element("h4", "Holds by reason")
    grid = table(headings, rows, caption="Holds by reason", class_="stacked")
    return element("div", heading, grid, class_="holds")


def _rises(decision: Decision) -> bool:
    return decision.desired_replicas > decision.current_replicas
