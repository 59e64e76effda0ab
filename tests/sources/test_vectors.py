"""What a server's JSON becomes; the words are Prometheus' own."""

from __future__ import annotations

from math import inf, isnan, nan

from autoscaler.ports import Buckets, Point
from autoscaler.sources.connection import Result
from autoscaler.sources.vectors import exporters, pod_buckets, pod_points, query_points


def vector(*series: tuple[dict[str, str], str]) -> Result:
    return Result("vector", [{"metric": labels, "value": [5.5, text]} for labels, text in series])


def of(pod: str, **labels: str) -> dict[str, str]:
    return {"namespace": "chat", "pod": pod, **labels}


TIME = {"autoscaler_part": "time"}
OTHER_TIME = {"autoscaler_part": "time 1"}


def test_a_value_and_its_time_are_one_point():
    assert pod_points([vector((of("a"), "3"), (of("a", **TIME), "100.25"))]) == (
        Point(3, 100.25, "chat", "a"),
    )


def test_of_several_sources_the_oldest_time_counts():
    result = vector((of("a"), "3"), (of("a", **TIME), "100"), (of("a", **OTHER_TIME), "90"))
    assert [point.timestamp for point in pod_points([result])] == [90]


def test_a_value_without_a_time_and_a_time_without_a_value_are_no_sample():
    assert pod_points([vector((of("a"), "3"), (of("b", **TIME), "100"))]) == ()


def test_what_belongs_to_no_pod_is_left_out():
    nobody = {"namespace": "chat", "pod": ""}
    assert pod_points([vector((nobody, "3"), ({**nobody, **TIME}, "100"), ({}, "1"))]) == ()


def test_values_that_are_no_numbers_stay_what_they_are():
    result = vector((of("a"), "NaN"), (of("a", **TIME), "1"), (of("b"), "+Inf"), (of("b", **TIME), "1"))
    first, second = (point.value for point in pod_points([result]))
    assert isnan(first)
    assert second == inf


def test_an_exporter_is_no_value_and_no_time_of_one():
    there = {"autoscaler_part": "exporter"}
    result = vector(
        (of("a"), "3"), (of("a", **TIME), "100"), (of("a", **there), "90"), (of("b", **there), "95")
    )
    assert pod_points([result]) == (Point(3, 100, "chat", "a"),)
    assert exporters([result]) == (Point(1, 90, "chat", "a"), Point(1, 95, "chat", "b"))


def test_results_of_several_queries_are_one_answer():
    results = [vector((of(pod), "1"), (of(pod, **TIME), "2")) for pod in "ab"]
    assert [point.pod for point in pod_points(results)] == ["a", "b"]


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
    (point,) = query_points([Result("scalar", [7, "NaN"])])
    assert (isnan(point.value), point.timestamp) == (isnan(nan), 7)
