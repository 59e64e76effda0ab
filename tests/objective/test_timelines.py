"""Stories: what an objective asks for over minutes and hours, and what bad data do."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.objective.curve import LOADS
from autoscaler.objective.fleet_observation import ObservedPod
from autoscaler.objective.proposal import ObjectiveReason
from autoscaler.objective.propose import propose
from tests.objective.builders import (
    CURVE,
    EDGES,
    OBJECTIVE,
    PRIOR,
    SYNC_S,
    Fleet,
    counters,
    observed,
    scrape,
)


def no_scrape(_):
    return None


def not_a_number(fleet):
    return scrape(fleet.now, counters(nan))


def restarted(fleet):
    return scrape(fleet.now, counters(1e4 / fleet.now))  # again and again


BAD = {"no scrape": no_scrape, "not a number": not_a_number, "restarted": restarted}


def learning(state):
    """Everything that was learned, to compare."""
    return (
        state.curves.requests.tolist(),
        state.blend.loss.tolist(),
        state.ledger,
        state.price.log_price,
        len(state.history),
        state.lengths,
    )


def test_a_steady_load_is_served_by_what_it_needs():
    """8 requests a second are 4 replicas' worth of prompts."""
    fleet = Fleet(8)
    fleet.run(8.0, 2 * 3600.0)
    assert 5 <= fleet.replicas <= 7
    figures = fleet.proposal.figures
    assert figures.with_one_more <= figures.misses <= figures.with_one_less
    assert figures.misses < 0.02


def test_more_load_is_answered_at_once_and_less_after_the_holding_time():
    fleet = Fleet(8)
    fleet.run(8.0, 2 * 3600.0)
    before = fleet.replicas
    fleet.run(16.0, 120.0)
    assert fleet.replicas > before
    high = max(proposal.replicas for proposal in fleet.proposals[-8:])
    fleet.run(4.0, 780.0)
    assert fleet.replicas == high
    assert fleet.proposal.reason is ObjectiveReason.HOLDING
    fleet.run(4.0, 1800.0)
    assert fleet.replicas < before


@pytest.mark.parametrize("how", BAD)
def test_without_data_the_replicas_stay_and_nothing_is_learned(how):
    fleet = Fleet(8)
    fleet.run(8.0, 3600.0)
    replicas, known = fleet.replicas, learning(fleet.state)
    fleet.broken = dict.fromkeys(fleet.pods, BAD[how])
    fleet.sync(0.5)
    assert (fleet.replicas, learning(fleet.state)) == (replicas, known)
    assert fleet.proposal.reason is ObjectiveReason.NO_DATA
    assert fleet.proposal.message.startswith("pod-")


@pytest.mark.parametrize("how", BAD)
def test_with_data_of_some_pods_there_may_be_more_but_never_fewer(how):
    fleet = Fleet(8)
    fleet.run(8.0, 3600.0)
    replicas, known = fleet.replicas, learning(fleet.state)
    fleet.broken = {fleet.pods[0]: BAD[how]}
    fleet.run(0.5, 30.0)
    assert (fleet.replicas, learning(fleet.state)) == (replicas, known)
    assert fleet.proposal.reason is ObjectiveReason.PARTIAL_DATA
    fleet.run(24.0, 180.0)
    assert fleet.replicas > replicas


def test_the_holding_time_begins_again_after_a_gap():
    fleet = Fleet(8)
    fleet.run(8.0, 3600.0)
    fleet.run(2.0, 600.0)
    before = fleet.replicas
    fleet.broken = dict.fromkeys(fleet.pods, no_scrape)
    fleet.sync(2.0)
    fleet.broken = {}
    fleet.run(2.0, 840.0)
    assert fleet.replicas == before
    fleet.run(2.0, 300.0)
    assert fleet.replicas < before


def test_a_lost_hour_leaves_a_gap_in_the_history():
    fleet = Fleet(8)
    fleet.run(8.0, 3600.0)
    slots = len(fleet.state.history)
    fleet.now += 3600.0
    fleet.run(8.0, 120.0)
    assert len(fleet.state.history) == pytest.approx(slots + 60, abs=3)
    assert np.isnan(fleet.state.history.demand).any(axis=1).sum() == pytest.approx(60, abs=2)


def test_the_first_quarter_of_an_hour_scales_nothing_down():
    fleet = Fleet(20)
    fleet.run(2.0, 885.0)
    assert fleet.replicas == 20
    fleet.run(2.0, 60.0)
    assert fleet.replicas < 20


def test_a_profile_that_nothing_has_tried_orders_nothing_without_a_queue_or_misses():
    """The profile says that a replica holds a tenth of what it does."""
    low = tuple(float(np.interp(10.0 * load, LOADS, CURVE)) for load in LOADS)
    fleet = Fleet(6, prior=replace(PRIOR, curves=(low,) * 4))
    fleet.run(8.0, 285.0)
    assert fleet.replicas == 6
    fleet.run(8.0, 3600.0)
    assert fleet.replicas <= 9


def test_misses_at_the_start_are_answered_at_once():
    fleet = Fleet(3)
    fleet.run(8.0, 120.0)
    assert fleet.replicas > 4


def test_an_objective_that_an_idle_replica_misses_holds_the_replicas():
    """Every prompt is too long for the TTFT: no number of replicas would help."""
    fleet = Fleet(9, prior=replace(PRIOR, longest_prompt=10.0))
    fleet.run(8.0, 60.0)
    before = fleet.replicas
    fleet.run(16.0, 1800.0)
    assert fleet.replicas == before
    assert fleet.proposal.reason is ObjectiveReason.UNREACHABLE
    assert "idle replica" in fleet.proposal.message


def test_a_profile_that_misses_at_any_load_is_believed_until_counts_refute_it():
    fleet = Fleet(12, prior=replace(PRIOR, curves=((0.95,) * len(PRIOR.curves[0]),) * 4))
    fleet.run(1.0, 60.0)
    assert fleet.proposal.reason is ObjectiveReason.UNREACHABLE
    fleet.run(1.0, 3600.0)
    assert fleet.proposal.reason is not ObjectiveReason.UNREACHABLE


def test_misses_that_replicas_do_not_avoid_buy_none():
    """A fault makes a third of the requests miss, at any load: the price has a ceiling."""
    fleet = Fleet(6)
    fleet.run(8.0, 3600.0)
    for _ in range(480):
        for name in fleet.pods:
            fleet.totals[name] = fleet.totals[name] + counters(ttft=(0, 0, 0, 60.0 / len(fleet.pods)))
        fleet.sync(8.0)
    assert fleet.replicas <= 14


def test_start_ups_are_learned():
    fleet = Fleet(2)
    fleet.run(1.0, 60.0)
    pods = tuple(ObservedPod(name, scrape=scrape(fleet.now + SYNC_S)) for name in fleet.pods)
    state = fleet.state
    for _ in range(3):
        _, state = propose(OBJECTIVE, PRIOR, observed(*pods, startups_s=(200.0,)), state, fleet.now)
    assert state.startups.seconds == pytest.approx(200.0)


def test_no_pod_holds_what_was_ordered():
    fleet = Fleet(2)
    proposal, _ = propose(OBJECTIVE, PRIOR, observed(ordered=5), fleet.state, 15.0)
    assert (proposal.replicas, proposal.reason) == (5, ObjectiveReason.NO_DATA)
    assert proposal.message == "no pod serves"


def test_figures_are_in_words():
    fleet = Fleet(8)
    fleet.run(8.0, 3600.0)
    text = "\n".join(fleet.proposal.figures.lines)
    assert "1.00 % may miss" in text
    assert "(p50)" in text
    assert "one replica more would make it" in text


def test_the_same_inputs_give_the_same_proposals():
    one, other = Fleet(4), Fleet(4)
    for rate in (2.0, 9.0, 4.0):
        one.run(rate, 900.0)
        other.run(rate, 900.0)
    assert one.proposals == other.proposals


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.sampled_from([None, *BAD])), min_size=1, max_size=25))
@settings(max_examples=25, deadline=None)
def test_whatever_happens_a_sync_without_good_data_never_asks_for_fewer(minutes):
    fleet = Fleet(6)
    for rate, how in minutes:
        fleet.broken = {fleet.pods[0]: BAD[how]} if how else {}
        ordered = fleet.replicas
        proposal = fleet.sync(rate)
        assert 1 <= proposal.replicas <= OBJECTIVE.max_replicas
        if how:
            assert proposal.replicas >= ordered


def test_edges_split_what_they_count():
    values = np.arange(float(EDGES.counters))
    assert [len(part) for part in EDGES.split(values)] == [3, 5, 4, 4]


def size_of(value, seen):
    """Bytes of arrays and of what holds them; what policies share is not counted."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value) and id(value) not in seen:
        seen.add(id(value))
        return sum(size_of(getattr(value, field.name), seen) + 64 for field in fields(value))
    if isinstance(value, dict):
        return sum(size_of(one, seen) + 100 for one in value.values())
    if isinstance(value, tuple):
        return sum(size_of(one, seen) + 56 for one in value)
    return 32


def test_a_full_day_of_history_stays_small():
    """0.7 MB a policy, so that a thousand fit into the shipped limit."""
    fleet = Fleet(8)
    fleet.run(8.0, 1800.0)
    fleet.state = replace(fleet.state, history=fleet.state.history.after_gap(1440))
    fleet.run(8.0, 600.0)
    assert len(fleet.state.history) == 1440
    assert size_of(fleet.state, set()) < 700_000
