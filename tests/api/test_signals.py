from __future__ import annotations

import re
from pathlib import Path

from autoscaler.api.signals import REMOVED_METRICS, RENAMED_METRICS, Kind, Scope, Signal
from autoscaler.api.vocabulary import CLUSTER_SIGNALS, FRACTION_SIGNALS, QUANTILE_SIGNALS, named


def test_a_quantile_is_of_histograms_over_all_pods_and_a_rate_is_of_counters():
    for signal in Signal:
        kinds = {source.kind for source in signal.info.sources}
        assert (kinds == {Kind.COUNTER}) == signal.info.unit.endswith("/s")
        assert (kinds == {Kind.HISTOGRAM}) == (signal in QUANTILE_SIGNALS)
    assert all(signal.info.scope is Scope.CLUSTER for signal in QUANTILE_SIGNALS)
    assert all(signal.info.scope is Scope.POD for signal in FRACTION_SIGNALS)


def test_a_signal_that_exists_at_0_replicas_is_of_no_pod():
    assert {signal for signal in Signal if signal.info.exists_at_zero} <= CLUSTER_SIGNALS


def test_signals_are_named_in_the_order_of_the_catalogue():
    assert named([Signal.ITL]) == "itl"
    assert named([Signal.ITL, Signal.TTFT]) == "ttft and itl"
    assert named([Signal.ITL, Signal.TTFT, Signal.WAITING]) == "waiting, ttft and itl"


def test_a_renamed_metric_is_known_by_both_names_where_a_signal_reads_it():
    sources = [source for signal in Signal for source in signal.info.sources]
    for old, new in RENAMED_METRICS.items():
        assert all(old in source.names for source in sources if source.name == new)
    newest = {source.name for source in sources}
    assert newest.isdisjoint(RENAMED_METRICS)
    assert newest.isdisjoint(REMOVED_METRICS)


def test_the_bounds_in_the_guide_are_the_catalogues():
    guide = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = guide.partition("### What a value can be")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(str(signal), signal.info.unit, str(signal.info.bounds)) for signal in Signal]


def test_a_share_may_pass_1_by_a_little_and_nothing_is_negative():
    for signal in Signal:
        share, bounds = signal in FRACTION_SIGNALS, signal.info.bounds
        told = [bounds.hold(value) for value in (-0.01, 0.0, 1.05, 1.06, float("nan"), float("inf"))]
        assert told == [False, True, True, not share, False, False]
