from __future__ import annotations

import re
from pathlib import Path

from autoscaler.api.models import CLUSTER_SIGNALS, FRACTION_SIGNALS, QUANTILE_SIGNALS, Signal
from autoscaler.metrics.signals import CATALOGUE, REMOVED_METRICS, RENAMED_METRICS, Kind, Reduction, Scope


def test_every_signal_is_in_the_catalogue() -> None:
    assert list(CATALOGUE) == list(Signal)


def test_the_catalogue_agrees_with_the_models_on_what_signals_share() -> None:
    assert {info.signal for info in CATALOGUE.values() if info.scope is Scope.CLUSTER} == CLUSTER_SIGNALS
    assert {info.signal for info in CATALOGUE.values() if info.unit.startswith("share")} == FRACTION_SIGNALS
    quantiles = {info.signal for info in CATALOGUE.values() if info.series is Reduction.QUANTILE}
    assert quantiles == QUANTILE_SIGNALS


def test_counters_and_histograms_are_read_as_rates_and_quantiles() -> None:
    for info in CATALOGUE.values():
        kinds = {source.kind for source in info.sources}
        assert (kinds == {Kind.COUNTER}) == info.unit.endswith("/s")
        assert (kinds == {Kind.HISTOGRAM}) == (info.signal in QUANTILE_SIGNALS)


def test_a_renamed_metric_is_known_by_both_names_where_a_signal_reads_it() -> None:
    names = {source.names for info in CATALOGUE.values() for source in info.sources}
    for old, new in RENAMED_METRICS.items():
        assert all(old in spellings for spellings in names if spellings[0] == new)
    newest = {spellings[0] for spellings in names}
    assert newest.isdisjoint(RENAMED_METRICS)
    assert newest.isdisjoint(REMOVED_METRICS)


def test_the_bounds_in_the_guide_are_the_catalogues():
    guide = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = guide.partition("### What a value can be")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(str(info.signal), info.unit, str(info.bounds)) for info in CATALOGUE.values()]


def test_a_share_may_pass_1_by_a_little_and_nothing_is_negative():
    for info in CATALOGUE.values():
        share = info.unit.startswith("share")
        told = [info.bounds.hold(value) for value in (-0.01, 0.0, 1.05, 1.06, float("nan"), float("inf"))]
        assert told == [False, True, True, not share, False, False]
