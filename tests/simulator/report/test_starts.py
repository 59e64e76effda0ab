"""Where a start's seconds went: in the table, in the plot's data, and in the summary."""

from __future__ import annotations

from simulator.report.phases import start_edges
from simulator.report.start_section import start_section
from simulator.report.summary import start_means
from simulator.run.billing import pending_remark
from simulator.startup.replica_life import ReplicaLife, StartPhases

FIRST = ReplicaLife("a", 0.0, 0.0, None, 500.0)
QUICK = ReplicaLife("b", 10.0, 110.0, None, 500.0, StartPhases(0.0, 50.0, 10.0, 20.0, 20.0))
SLOW = ReplicaLife("c", 20.0, 320.0, None, 500.0, StartPhases(100.0, 50.0, 10.0, 120.0, 20.0))
NEVER = ReplicaLife("d", 30.0, None, None, 60.0, StartPhases(waiting_s=30.0))


def test_means_are_over_the_starts_that_came_to_their_end():
    assert start_means([FIRST, QUICK, SLOW, NEVER]) == {
        "count": 2,
        "waiting_s": 50.0,
        "node_s": 50.0,
        "image_s": 10.0,
        "weights_s": 70.0,
        "engine_s": 20.0,
    }
    assert start_means([FIRST, NEVER])["weights_s"] is None


def test_the_table_has_mean_slowest_and_share_of_every_phase():
    html = start_section([FIRST, QUICK, SLOW, NEVER])
    assert "2 completed starts." in html
    for row in (
        ("Waiting for a node", "50.00 s", "100 s", "25.00%"),
        ("Weights", "70.00 s", "120 s", "35.00%"),
        ("All", "200 s", "300 s", "100%"),
    ):
        cells = "".join(f'<td class="number">{cell}</td>' for cell in row[1:])
        assert f'<th scope="row">{row[0]}</th>{cells}' in html


def test_without_starts_there_is_no_table():
    assert start_section([FIRST]) == ""


def test_pods_that_waited_for_a_node_are_told_also_where_none_started():
    told = "2 pods waited for a node, up to 100 s; 1 never got one"
    assert pending_remark([FIRST, QUICK, SLOW, NEVER]) == told
    assert f"2 completed starts. Pending: {told}." in start_section([FIRST, QUICK, SLOW, NEVER])
    assert "0 completed starts. Pending: 1 pod waited" in start_section([FIRST, NEVER])
    assert pending_remark([FIRST, QUICK]) == ""


def test_the_plot_knows_when_each_phase_ended():
    assert start_edges(FIRST) is None
    assert start_edges(SLOW) == [120.0, 170.0, 180.0, 300.0, 320.0]
