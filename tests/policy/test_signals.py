from __future__ import annotations

from autoscaler.policy.models import CLUSTER_SIGNALS, FRACTION_SIGNALS, QUANTILE_SIGNALS, Signal
from autoscaler.signals import CATALOGUE, REMOVED_METRICS, RENAMED_METRICS, Kind, Reduction, Scope


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
