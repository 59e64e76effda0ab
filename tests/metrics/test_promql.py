"""The PromQL of the signals: what it names, how it is scoped, and how many queries there are."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import QUANTILE_SIGNALS, Signal
from autoscaler.metrics.promql import (
    MAX_NAMESPACES_CHARACTERS,
    SCRAPE_LABELS,
    Area,
    render,
    render_query,
    text,
)
from autoscaler.metrics.readings import questions
from tests.decision.builders import metric, policy

PROD = Area(cluster="prod", location="europe-west4", project="models")
SCRAPE = Path(__file__).parents[1] / "data" / "vllm_0.26.0_metrics.txt.gz"


def one(signal: Signal, *namespaces: str, area: Area = PROD) -> str:
    (query,) = render(signal, 60, area, namespaces or ("chat",))
    return query


def test_a_gauge_is_one_value_and_one_time_for_each_pod():
    assert one(Signal.KV_CACHE_USAGE, area=Area()).count("or on (namespace, pod)") == 2
    assert one(Signal.WAITING, area=Area()) == (
        "max by (namespace, pod, model_name, engine) (sum by (namespace, pod, model_name, engine, "
        f"{', '.join(SCRAPE_LABELS)}) "
        '(vllm:num_requests_waiting{namespace="chat"}))\n'
        'or label_replace(min by (namespace, pod) (timestamp(vllm:num_requests_waiting{namespace="chat"})), '
        '"autoscaler_part", "time", "", "")'
    )


@pytest.mark.parametrize("signal", Signal)
def test_every_selector_is_scoped_to_the_cluster_and_the_namespaces(signal: Signal):
    selectors = re.findall(r"\{[^}]*\}", one(signal, "chat", "code"))
    assert selectors
    for selector in selectors:
        assert 'cluster="prod", location="europe-west4", project_id="models", ' in selector
        assert 'namespace=~"chat|code"' in selector


@pytest.mark.parametrize("signal", Signal)
def test_metric_names_are_matched_exactly(signal: Signal):
    assert "__name__" not in one(signal)


def test_labels_of_the_cluster_that_are_not_given_need_not_match():
    assert "cluster" not in one(Signal.WAITING, area=Area())


# Names, against the whole /metrics of a real vLLM 0.26.0


def exported() -> dict[str, str]:
    """Families of the scrape and their types."""
    lines = gzip.decompress(SCRAPE.read_bytes()).decode().splitlines()
    words = [line.split() for line in lines if line.startswith("# TYPE ")]
    return {name: kind for _, _, name, kind in words}


SINCE_THEN = {"vllm:admission_rejections_total"}  # 0.32
OF_VLLM = [
    source
    for signal in Signal
    for source in signal.info.sources
    if source.names[0].startswith("vllm:") and source.names[0] not in SINCE_THEN
]


@pytest.mark.parametrize("source", OF_VLLM, ids=lambda source: source.names[0])
def test_a_signals_newest_name_is_what_vllm_exports_and_of_that_kind(source):
    assert exported()[source.names[0]] == source.kind


def test_names_of_older_versions_stand_behind_the_newer_ones():
    query = one(Signal.KV_CACHE_USAGE)
    assert query.index("vllm:kv_cache_usage_perc") < query.index("vllm:gpu_cache_usage_perc")


def test_histograms_are_asked_by_bucket_and_counters_as_rates_over_the_window():
    assert one(Signal.TTFT).startswith("sum by (namespace, pod, le) (max by (namespace, pod, le, ")
    assert "(rate(vllm:time_to_first_token_seconds_bucket{" in one(Signal.TTFT)
    (rate,) = render(Signal.REQUESTS_RATE, 300, Area(), ["chat"])
    assert 'rate(vllm:request_success_total{namespace="chat"}[300s])' in rate


def test_a_label_of_the_scrape_is_none_of_the_exporters():
    """Else a pod that is scraped twice would count twice, or two of its engines once."""
    labels = {label for signal in Signal for source in signal.info.sources for label in source.labels}
    assert labels.isdisjoint(SCRAPE_LABELS)
    series = gzip.decompress(SCRAPE.read_bytes()).decode().splitlines()
    for source in OF_VLLM:
        found = [line for line in series if re.match(rf"{source.names[0]}(_bucket|_count)?{{", line)]
        names = {name for line in found for name in re.findall(r"(\w+)=", line)} - {"le"}
        assert names == set(source.labels)


# Text in queries

SPECIAL = r"\.+*?()|[]{}^$"


@given(st.text(alphabet=SPECIAL + 'ab"\n', min_size=1, max_size=8))
def test_a_name_with_special_characters_matches_itself_and_nothing_else(name: str):
    """RE2 and Python agree on what these escapes mean; both match the whole label."""
    query = one(Signal.WAITING, name, "other")
    literal = re.search(r'namespace=~("(?:\\.|[^"\\])*")', query)
    assert literal is not None
    pattern = literal[1][1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
    assert re.fullmatch(pattern, name)
    assert not re.fullmatch(pattern, name + "x")


def test_text_cannot_leave_its_quotes():
    assert text('a"} or up{x="\\\n') == '"a\\"} or up{x=\\"\\\\\\n"'


@pytest.mark.parametrize(
    "query",
    ["load", " vllm:num_requests_running ", 'load{a="}", b=~"x|y"}', "load{}", "load{a='b'} "],
)
def test_of_a_bare_selector_the_samples_times_are_asked_as_well(query: str):
    assert f"timestamp({query})" in render_query(query)


@pytest.mark.parametrize(
    "query",
    [
        "sum(load)",
        "load + 1",
        "load[5m]",
        "load offset 5m",
        "a or b",
        "1",
        "load # all",
        'load{a="b"} + load{a="c"}',
    ],
)
def test_any_other_query_is_asked_as_it_is(query: str):
    assert render_query(query) == query


# How many queries


def spec_of(signals: list[Signal], target: int, window: int):
    kinds = {signal: "Value" if signal in QUANTILE_SIGNALS else "AverageValue" for signal in signals}
    kinds |= {Signal.KV_CACHE_USAGE: "PodsAverage", Signal.GPU_UTILIZATION: "PodsAverage"}
    metrics = [metric(target, kinds[signal], signal=signal, windowSeconds=window) for signal in signals]
    return policy(*metrics).spec


policies = st.lists(
    st.tuples(
        st.lists(st.sampled_from(list(Signal)), min_size=1, unique=True),
        st.integers(1, 100),
        st.sampled_from([60, 300]),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=60,
)


@given(policies)
def test_queries_grow_with_signals_and_windows_and_not_with_policies_or_namespaces(given_policies):
    asked = {
        question
        for signals, target, window, _ in given_policies
        for question in questions(spec_of(signals, target, window))
    }
    namespaces = {f"team-{number}" for *_, number in given_policies}
    queries = {
        query
        for question in asked
        for query in render(question.signal, question.window_seconds, PROD, namespaces)
    }
    windowed = sum(not signal.info.is_gauge for signal in Signal)
    assert len(queries) <= len(Signal) - windowed + 2 * windowed


@given(st.integers(1, 300), st.integers(3, 63))
def test_namespaces_are_split_only_where_they_would_be_too_long_and_none_is_lost(count: int, length: int):
    names = {f"{number:0{length}}" for number in range(min(count, 10**length))}
    queries = render(Signal.RUNNING, 60, Area(), names)
    found = [set(re.findall(r"\d{3,}", query)) for query in queries]
    assert set.union(*found) == names
    assert sum(map(len, found)) == len(names)
    most = MAX_NAMESPACES_CHARACTERS // (length + 1)
    assert len(queries) == -(-len(names) // most) or len(queries) == -(-len(names) // (most + 1))


def test_no_namespace_is_no_query():
    assert render(Signal.RUNNING, 60, PROD, []) == ()
