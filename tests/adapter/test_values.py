"""Which values are served, and which are absent: never 0, never older than they seem."""

import math

import pytest

from autoscaler.adapter.values import Value, values
from autoscaler.ports.metrics import Answer, Point

from .world import NOW, TTFT, WAITING, Fleet, buckets, export, points, policy, served


def only(declared, resource="pods", name="num_requests_waiting"):
    (measure,) = declared.find("chat", resource, name)
    return measure


def per_pod(answer, fleet, **fields):
    measure = only(served(exports=[export({**WAITING, **fields})]))
    return values(measure, answer, list(fleet.pods_.values()), NOW).by_name


FLEET = Fleet().add("a", "b", "c")


def test_each_pod_has_its_own_value_and_time():
    answer = Answer(points=(Point(3.0, NOW - 20, "chat", "a"), Point(0.0, NOW - 5, "chat", "b")))
    assert per_pod(answer, FLEET) == {"a": Value(3.0, NOW - 20), "b": Value(0.0, NOW - 5)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_absent(value):
    assert per_pod(points({"a": value, "b": 1}), FLEET) == {"b": Value(1, NOW)}


def test_a_negative_load_is_absent_and_a_query_may_mean_one():
    assert per_pod(points({"a": -5, "b": 1}), FLEET) == {"b": Value(1, NOW)}
    free = only(served(exports=[export({"name": "m", "query": "x"})]), name="m")
    assert values(free, points({"a": -5}), list(FLEET.pods_.values()), NOW).by_name == {"a": Value(-5, NOW)}


def test_a_share_that_cannot_be_is_absent():
    declared = served(exports=[export({"name": "gpu", "signal": "gpuUtilization"})])
    found = values(only(declared, name="gpu"), points({"a": 0.5, "b": 9e16}), list(FLEET.pods_.values()), NOW)
    assert found.by_name == {"a": Value(0.5, NOW)}


def test_a_stale_value_is_absent_and_so_is_one_from_the_future():
    assert per_pod(points({"a": 1}, at=NOW - 91), FLEET) == {}
    assert per_pod(points({"a": 1}, at=NOW - 89), FLEET) == {"a": Value(1, NOW - 89)}
    assert per_pod(points({"a": 1}, at=NOW + 61), FLEET) == {}
    assert per_pod(points({"a": 1}, at=math.nan), FLEET) == {}
    assert per_pod(points({"a": 1}, at=NOW - 40), FLEET, maxAgeSeconds=30) == {}
    assert per_pod(points({"a": 1}, at=NOW + 31), FLEET, maxAgeSeconds=30) == {}


def test_a_pod_that_is_gone_or_leaves_has_no_value_however_long_it_lingers():
    fleet = Fleet().add("a").add("b", deleting=True)
    assert per_pod(points({"a": 1, "b": 2, "gone": 3}), fleet) == {"a": Value(1, NOW)}


def test_another_namespaces_pod_of_the_same_name_is_another():
    assert per_pod(points({"a": 7}, namespace="other"), FLEET) == {}


def test_no_answer_is_no_value():
    assert per_pod(Answer(error="connection refused"), FLEET) == {}


@pytest.mark.parametrize(
    ("series", "expected"), [("Single", None), ("Sum", 5), ("Mean", 2.5), ("Max", 4), ("Min", 1)]
)
def test_several_series_of_a_pod_become_one_as_declared_and_not_by_accident(series, expected):
    answer = Answer(points=(Point(1.0, NOW - 30, "chat", "a"), Point(4.0, NOW, "chat", "a")))
    measure = only(served(exports=[export({"name": "m", "query": "x", "series": series})]), name="m")
    found = values(measure, answer, list(FLEET.pods_.values()), NOW)
    assert found.by_name == ({} if expected is None else {"a": Value(expected, NOW - 30)})


def of_policy(metric, answer, fleet, **spec):
    declared = served(policy(metric, **spec))
    measure = only(declared, "deployments.apps", metric.get("signal", "query"))
    return values(measure, answer, list(fleet.pods_.values()), NOW)


TOTAL = {"signal": "waiting", "target": {"type": "AverageValue", "averageValue": 10}}


def test_a_total_is_the_sum_over_the_targets_pods_and_as_old_as_its_oldest_part():
    answer = Answer(
        points=(Point(3.0, NOW - 20, "chat", "a"), Point(1, NOW, "chat", "b"), Point(2, NOW, "chat", "c"))
    )
    assert of_policy(TOTAL, answer, FLEET).by_name == {"vllm": Value(6.0, NOW - 20)}


def test_a_part_never_passes_for_the_total():
    found = of_policy(TOTAL, points({"a": 3, "b": 1}), FLEET)
    assert found.by_name == {}
    assert found.reason == "incomplete: no value of c"


def test_a_pod_that_is_not_ready_may_be_silent():
    fleet = Fleet().add("a", "b").add("c", ready=False)
    assert of_policy(TOTAL, points({"a": 3, "b": 1}), fleet).by_name == {"vllm": Value(4, NOW)}


def test_one_bad_part_spoils_the_total():
    assert of_policy(TOTAL, points({"a": 3, "b": math.nan, "c": 1}), FLEET).by_name == {}
    assert of_policy(TOTAL, points({"a": 3, "b": 2, "c": 1}, at=NOW - 91), FLEET).by_name == {}


def test_a_quantile_is_one_value_over_the_live_pods():
    found = of_policy({**TTFT, "quantile": 0.5}, buckets("a", "b", "c", "gone", at=NOW - 9), FLEET)
    assert found.by_name == {"vllm": Value(0.75, NOW - 9)}


def test_a_quantile_without_one_of_the_pods_is_absent():
    assert of_policy(TTFT, buckets("a", "b"), FLEET).by_name == {}


def test_a_server_that_leaves_something_out_gives_no_total():
    answer = Answer(points=points({"a": 3, "b": 1, "c": 1}).points, warnings=("partial",))
    assert of_policy(TOTAL, answer, FLEET).by_name == {}


def test_hpa_semantics_has_an_age_limit_here_because_the_hpa_itself_has_none():
    fresh = of_policy(TOTAL, points({"a": 1, "b": 1, "c": 1}, at=NOW - 299), FLEET, semantics="HPA")
    stale = of_policy(TOTAL, points({"a": 1, "b": 1, "c": 1}, at=NOW - 301), FLEET, semantics="HPA")
    assert (len(fresh.by_name), len(stale.by_name)) == (1, 0)
