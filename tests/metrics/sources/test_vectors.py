"""What a server's JSON becomes; the words are Prometheus' own."""

from __future__ import annotations

from math import inf, isnan, nan

from autoscaler.api.models import Signal
from autoscaler.metrics.sources.connection import QueryResult
from autoscaler.metrics.sources.vectors import exporters, pod_buckets, pod_points, query_points, unrated
from autoscaler.ports.metrics import Buckets, Point


def vector(*series: tuple[dict[str, str], str]) -> QueryResult:
    return QueryResult("vector", [{"metric": labels, "value": [5.5, text]} for labels, text in series])


def of(pod: str, **labels: str) -> dict[str, str]:
    return {"namespace": "chat", "pod": pod, **labels}


def points(results: list[QueryResult], signal: Signal = Signal.RUNNING) -> tuple[Point, ...]:
    return pod_points(signal.info, results)


def values(*texts: str, signal: Signal) -> list[float]:
    """The value of a pod whose engines, models or GPUs say ``texts``."""
    series = [(of("a", engine=str(number)), text) for number, text in enumerate(texts)]
    return [point.value for point in points([vector(*series, (of("a", **TIME), "9"))], signal)]


TIME = {"autoscaler_part": "time"}
OTHER_TIME = {"autoscaler_part": "time 1"}


def test_a_value_and_its_time_are_one_point():
    assert points([vector((of("a"), "3"), (of("a", **TIME), "100.25"))]) == (Point(3, 100.25, "chat", "a"),)


def test_of_several_sources_the_oldest_time_counts():
    result = vector((of("a"), "3"), (of("a", **TIME), "100"), (of("a", **OTHER_TIME), "90"))
    assert [point.timestamp for point in points([result])] == [90]


def test_the_series_of_a_pod_become_one_value_as_the_catalogue_says():
    assert values("3", "4", signal=Signal.RUNNING) == [7]
    assert values("0.25", "0.75", signal=Signal.KV_CACHE_USAGE) == [0.5]


def test_a_share_that_cannot_be_does_not_hide_in_a_mean():
    """DCGM's blank for one of two GPUs: the pod's value is the one that will be refused."""
    assert values("0.2", "92233720368547757.94", signal=Signal.GPU_UTILIZATION) == [92233720368547757.94]
    assert values("0.2", "1.4", signal=Signal.GPU_UTILIZATION) == [1.4]
    assert values("5", "-1", signal=Signal.RUNNING) == [-1]
    assert isnan(values("0.2", "NaN", signal=Signal.KV_CACHE_USAGE)[0])


def test_nor_does_a_negative_count_in_a_sum_of_sources():
    negative = {"autoscaler_part": "outside 1"}
    result = vector((of("a"), "3"), (of("a", **negative), "-1"), (of("a", **TIME), "9"))
    assert [point.value for point in points([result], Signal.RUNNING_WAITING)] == [-1]


def test_a_series_that_is_twice_in_an_answer_counts_once_with_its_larger_value():
    """10, then 0: the last one made 5 replicas 1."""
    result = vector(
        (of("a"), "10"), (of("a", **TIME), "9"), (of("a"), "0"), (of("a", **TIME), "5"), (of("b"), "0")
    )
    assert points([result]) == (Point(10, 5, "chat", "a"),)
    assert points([result, result]) == points([result])
    edges = vector((of("a", le="1"), "4"), (of("a", le="1.0"), "2"), (of("a", **TIME), "7"))
    assert pod_buckets([edges, edges]) == (Buckets((1.0,), (4.0,), 7.0, "chat", "a"),)
    for odd in (["NaN", "1"], ["1", "NaN"]):
        both = vector(*((of("a"), text) for text in odd), (of("a", **TIME), "9"))
        assert isnan(points([both])[0].value)
    for odd in (["-5", "0"], ["0", "-5"]):
        both = vector(*((of("a"), text) for text in odd), (of("a", **TIME), "9"))
        assert points([both])[0].value == -5  # which is refused, as a 0 would not be


def test_a_value_without_a_time_and_a_time_without_a_value_are_no_sample():
    assert points([vector((of("a"), "3"), (of("b", **TIME), "100"))]) == ()


def test_what_belongs_to_no_pod_is_left_out():
    nobody = {"namespace": "chat", "pod": ""}
    assert points([vector((nobody, "3"), ({**nobody, **TIME}, "100"), ({}, "1"))]) == ()


def test_values_that_are_no_numbers_stay_what_they_are():
    result = vector((of("a"), "NaN"), (of("a", **TIME), "1"), (of("b"), "+Inf"), (of("b", **TIME), "1"))
    first, second = (point.value for point in points([result]))
    assert isnan(first)
    assert second == inf


def test_an_exporter_is_no_value_and_no_time_of_one():
    there = {"autoscaler_part": "exporter"}
    result = vector(
        (of("a"), "3"), (of("a", **TIME), "100"), (of("a", **there), "90"), (of("b", **there), "95")
    )
    assert points([result]) == (Point(3, 100, "chat", "a"),)
    assert exporters([result]) == (Point(1, 90, "chat", "a"), Point(1, 95, "chat", "b"))


def test_a_counter_with_a_single_sample_is_there_without_a_rate():
    result = vector((of("a"), "3"), (of("a", **TIME), "100"), (of("b", **TIME), "100"))
    assert unrated([result]) == {("chat", "b")}


def test_results_of_several_queries_are_one_answer():
    results = [vector((of(pod), "1"), (of(pod, **TIME), "2")) for pod in "ab"]
    assert [point.pod for point in points(results)] == ["a", "b"]


def test_buckets_are_ordered_by_their_bounds_however_they_are_written():
    result = vector(
        (of("a", le="+Inf"), "4"), (of("a", le="10"), "3"), (of("a", le="2.0"), "1"), (of("a", **TIME), "7")
    )
    assert pod_buckets([result]) == (Buckets((2.0, 10.0, inf), (1.0, 3.0, 4.0), 7.0, "chat", "a"),)


def test_buckets_without_a_time_are_none():
    assert pod_buckets([vector((of("a", le="+Inf"), "4"))]) == ()


def test_a_querys_series_have_the_evaluations_time_or_their_own():
    result = vector(
        ({"__name__": "load", "pod": "a"}, "3"),
        ({"pod": "a", **TIME}, "100"),
        ({"__name__": "load", "pod": "b"}, "4"),
    )
    assert query_points([result]) == (Point(3, 100.0, None, "a"), Point(4, 5.5, None, "b"))


def test_a_scalar_is_a_point():
    (point,) = query_points([QueryResult("scalar", [7, "NaN"])])
    assert (isnan(point.value), point.timestamp) == (isnan(nan), 7)
