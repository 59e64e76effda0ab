"""Answers about everybody, joined with the pods of one target."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from autoscaler.api.models import Metric, Signal
from autoscaler.decision.types import Pod, PodPhase, Reading, Sample
from autoscaler.metrics.readings import by_metric, question, questions, reading, readings
from autoscaler.ports.metrics import Answer, Buckets, Point, PromqlQuestion, SignalQuestion
from tests.decision.builders import metric, policy

NOW = 1_800_000_000.0
PODS = (Pod("chat-0"), Pod("chat-1"))
PER_POD = Metric.model_validate(metric(10, signal="running+waiting"))
TTFT = Metric.model_validate(metric(1, "Value", signal="ttft", quantile=0.5))


def point(value: float, pod: str | None, namespace: str | None = "chat", at: float = NOW) -> Point:
    return Point(value, at, namespace, pod)


def latencies(pod: str, fast: float, slow: float, at: float = NOW, namespace: str = "chat") -> Buckets:
    """``fast`` requests a second below 1 s, ``slow`` ones between 1 and 2 s."""
    return Buckets((1.0, 2.0, inf), (fast, fast + slow, fast + slow), at, namespace, pod)


def read(metric: Metric, answer: Answer, pods: tuple[Pod, ...] = PODS, max_age: float = 90.0) -> Reading:
    return reading(metric, answer, "chat", pods, NOW, max_age)


# Questions


def test_policies_that_differ_in_targets_only_ask_the_same():
    here, there = policy(metric(10, signal="waiting")), policy(metric(99, "AverageValue", signal="waiting"))
    assert questions(here.spec) == questions(there.spec)


def test_a_window_is_part_of_the_question_for_rates_and_quantiles_only():
    gauge = Metric.model_validate(metric(10, signal="waiting", windowSeconds=300))
    rate = Metric.model_validate(metric(10, signal="requestsPerSecond", windowSeconds=300))
    assert question(gauge) == SignalQuestion(Signal.WAITING)
    assert question(rate) == SignalQuestion(Signal.REQUESTS_RATE, window_seconds=300)


def test_quantiles_of_one_histogram_ask_the_same():
    fields = [metric(1, "Value", signal="ttft", quantile=q) for q in (0.5, 0.99)]
    assert len({question(Metric.model_validate(one)) for one in fields}) == 1


def test_a_query_is_asked_as_it_is():
    free = Metric.model_validate(metric(10, "Value", query="sum(queue)", windowSeconds=300))
    assert question(free) == PromqlQuestion("sum(queue)")


def test_the_guards_questions_are_asked_too():
    asked = {one.signal for one in questions(policy(metric(10, signal="running")).spec)}
    assert asked == {Signal.RUNNING, Signal.KV_CACHE_USAGE, Signal.WAITING, Signal.REJECTED_RATE}


# Values of pods


def test_a_pod_has_its_own_value_at_its_own_time():
    answer = Answer(points=(point(3, "chat-0", at=NOW - 20), point(4, "chat-1", at=NOW - 5)))
    assert read(PER_POD, answer) == Reading(
        "running+waiting", (Sample(3, NOW - 20, "chat-0"), Sample(4, NOW - 5, "chat-1"))
    )


@pytest.mark.parametrize(
    "foreign",
    [
        point(99, "chat-gone"),
        point(99, "code-0"),
        point(99, "chat-0", namespace="other"),
        point(99, "chat-0", namespace=None),
        point(99, None),
    ],
    ids=["dead pod", "another workload", "another namespace", "no namespace", "no pod"],
)
def test_only_the_targets_own_pods_count(foreign: Point):
    assert read(PER_POD, Answer(points=(point(3, "chat-0"), foreign))).samples == (Sample(3, NOW, "chat-0"),)


def test_a_gateways_queue_is_that_of_the_namespace_whatever_pod_tells_it():
    gateway = Metric.model_validate(metric(10, "AverageValue", signal="gatewayQueue"))
    answer = Answer(points=(point(7, "epp-0"), point(9, "epp-0", namespace="other")))
    assert read(gateway, answer, pods=()).samples == (Sample(7, NOW, "epp-0"),)


def test_a_query_for_pods_keeps_to_the_targets_pods():
    free = Metric.model_validate(metric(10, query="sum by (pod) (load)"))
    points = (point(1, "chat-0", namespace=None), point(2, "code-0", namespace=None), point(3, None, None))
    assert [sample.pod for sample in read(free, Answer(points=points)).samples] == ["chat-0", None]


def test_any_other_query_says_itself_what_belongs_to_it():
    free = Metric.model_validate(metric(10, "Value", query="load"))
    points = (point(1, "chat-gone"), point(2, None, namespace="other"))
    assert [sample.value for sample in read(free, Answer(points=points)).samples] == [1, 2]


def test_a_failure_is_a_reading_with_its_reason():
    assert read(PER_POD, Answer(error="HTTP 503")) == Reading("running+waiting", error="HTTP 503")


def test_a_servers_warning_makes_the_reading_partial():
    told = read(PER_POD, Answer(points=(point(3, "chat-0"),), warnings=("store-2: timeout",)))
    assert told.missing == ("the rest (store-2: timeout)",)
    assert len(told.samples) == 1


@pytest.mark.parametrize(
    ("fields", "acts_on_it"),
    [({}, True), ({"semantics": "HPA"}, False), ({"metric": {"missingData": "Conservative"}}, False)],
    ids=["Hold", "HPA", "Conservative"],
)
def test_an_old_answer_stands_in_only_where_it_cannot_scale_down(
    fields: dict[str, Any], acts_on_it: bool
) -> None:
    asked = policy(
        metric(10, signal="running", **fields.get("metric", {})), semantics=fields.get("semantics", "LLM")
    )
    points = (point(1, "chat-0"), point(1, "chat-1"))
    old = Answer(points=points, warnings=("HTTP 503; the last answer is 30 s old",), outage="HTTP 503")
    answers = {metric.name: old for metric in asked.spec.inputs}
    first = readings(asked.spec, answers, "chat", PODS, NOW)[0]
    assert (len(first.samples), first.error) == ((2, None) if acts_on_it else (0, "HTTP 503"))


def test_a_partial_answer_fails_a_metric_that_would_not_hold_for_its_gap():
    warned = Answer(points=(point(1, "chat-0"),), warnings=("a store is away",))
    for semantics, error in (("LLM", None), ("HPA", "a partial answer: a store is away")):
        asked = policy(metric(10, signal="running"), semantics=semantics)
        answers = {metric.name: warned for metric in asked.spec.inputs}
        first = readings(asked.spec, answers, "chat", PODS, NOW)[0]
        assert first.error == error


# Quantiles over pods


def test_one_quantile_over_the_live_pods_as_old_as_its_oldest_part():
    answer = Answer(buckets=(latencies("chat-0", 3, 0, NOW - 30), latencies("chat-1", 0, 1, NOW - 10)))
    assert read(TTFT, answer) == Reading("ttft", (Sample(2 / 3, NOW - 30),))


@pytest.mark.parametrize(
    "foreign",
    [latencies("chat-gone", 0, 99), latencies("chat-1", 0, 99, namespace="other")],
    ids=["dead pod", "another namespace"],
)
def test_a_dead_pods_histogram_never_counts(foreign: Buckets):
    told = read(TTFT, Answer(buckets=(latencies("chat-0", 3, 0), foreign)), pods=PODS[:1])
    assert told == Reading("ttft", (Sample(0.5, NOW),))


@pytest.mark.parametrize(
    "unusable",
    [
        (),
        (latencies("chat-1", 0, 5, at=NOW - 91),),
        (latencies("chat-1", 0, 5, at=NOW + 61),),
        (latencies("chat-1", nan, 5),),
        (latencies("chat-1", -5, 5),),
    ],
    ids=["absent", "stale", "of the future", "not a number", "negative"],
)
def test_a_ready_pod_without_a_usable_histogram_is_missing(unusable: tuple[Buckets, ...]):
    told = read(TTFT, Answer(buckets=(latencies("chat-0", 3, 0), *unusable)))
    assert told == Reading("ttft", (Sample(0.5, NOW),), missing=("chat-1",))


def test_a_pod_that_starts_or_leaves_is_not_missed():
    leaving = (Pod("chat-1", deleting=True), Pod("chat-2", PodPhase.PENDING, ready=False))
    told = read(TTFT, Answer(buckets=(latencies("chat-0", 3, 0),)), pods=(PODS[0], *leaving))
    assert told.missing == ()


DRAINING = (PODS[0], Pod("chat-1", deleting=True))


def test_a_draining_pods_latencies_are_real_and_an_ended_pods_are_over():
    answer = Answer(buckets=(latencies("chat-0", 3, 0), latencies("chat-1", 0, 9)))
    assert read(TTFT, answer, pods=DRAINING).samples == (Sample(1 + 3 / 9, NOW),)
    ended = (PODS[0], Pod("chat-1", PodPhase.SUCCEEDED, ready=False, deleting=True))
    assert read(TTFT, answer, pods=ended).samples == (Sample(0.5, NOW),)


def test_a_draining_pod_alone_is_not_idle():
    assert read(TTFT, Answer(buckets=quiet("chat-1")), pods=DRAINING[1:]).idle is None
    both = Answer(buckets=quiet("chat-0", "chat-1"))
    assert read(TTFT, both, pods=DRAINING).idle == "no request in the last 60 s"


def quiet(*pods: str, at: float = NOW) -> tuple[Buckets, ...]:
    return tuple(latencies(pod, 0, 0, at) for pod in pods)


def test_histograms_that_are_there_and_did_not_grow_are_idle():
    answer = Answer(buckets=quiet("chat-0", "chat-1", "chat-gone"))
    assert read(TTFT, answer) == Reading("ttft", idle="no request in the last 60 s")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(buckets=quiet("chat-0")),
        Answer(buckets=(*quiet("chat-0"), *quiet("chat-1", at=NOW - 91))),
        Answer(buckets=(*quiet("chat-0"), latencies("chat-1", nan, 0))),
        Answer(buckets=quiet("chat-gone", "code-0")),
        Answer(buckets=quiet("chat-0", "chat-1"), warnings=("a store is away",)),
        Answer(buckets=tuple(Buckets((1.0,), (0.0,), NOW, "chat", pod.name) for pod in PODS)),
        Answer(buckets=tuple(Buckets((1.0, inf), (3.0, nan), NOW, "chat", pod.name) for pod in PODS)),
    ],
    ids=[
        "absent",
        "one is absent",
        "one is stale",
        "one is NaN",
        "dead pods",
        "partial",
        "no +Inf",
        "no number",
    ],
)
def test_a_histogram_that_is_missing_is_never_taken_for_an_idle_one(answer: Answer):
    told = read(TTFT, answer)
    assert (told.samples, told.idle) == ((), None)


def test_without_a_ready_pod_there_is_nothing_that_could_be_idle():
    starting = (Pod("chat-0", PodPhase.PENDING, ready=False),)
    assert read(TTFT, Answer(), pods=starting).idle is None
    assert read(TTFT, Answer(), pods=()).idle is None


# A queue that has no series before the first request waits

GATEWAY = Metric.model_validate(metric(10, "AverageValue", signal="gatewayQueue"))


def picker(age: float = 0.0, namespace: str = "chat") -> Point:
    return point(1.0, "epp-0", namespace, NOW - age)


def test_a_queue_without_a_series_is_empty_where_its_picker_is_there():
    told = read(GATEWAY, Answer(exporters=(picker(), picker(30))))
    assert told == Reading("gatewayQueue", idle="no request has waited in epp-0 yet")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(exporters=(picker(91),)),
        Answer(exporters=(picker(-61),)),
        Answer(exporters=(picker(namespace="other"),)),
        Answer(exporters=(picker(),), warnings=("a store is away",)),
        Answer(exporters=(picker(),), error="HTTP 503"),
    ],
    ids=["no picker", "stale", "of the future", "another namespace", "partial", "failed"],
)
def test_a_queue_without_a_series_is_missing_where_its_picker_is_not_known_to_be_there(answer: Answer):
    told = read(GATEWAY, answer)
    assert (told.samples, told.idle) == ((), None)


def test_a_queue_with_a_series_is_its_value():
    told = read(GATEWAY, Answer(points=(point(7, "epp-0"),), exporters=(picker(),)))
    assert (told.samples, told.idle) == ((Sample(7, NOW, "epp-0"),), None)


def test_a_counter_of_refused_requests_without_a_rate_is_missing_and_an_engine_without_it_is_not():
    refused = Metric.model_validate(metric(1, signal="rejectedPerSecond"))
    first_scrape = frozenset({("chat", "chat-0"), ("chat", "chat-gone"), ("other", "chat-1")})
    assert read(refused, Answer(unrated=first_scrape)).missing == ("chat-0",)
    assert read(refused, Answer(points=(point(0, "chat-0"),))) == Reading(
        "rejectedPerSecond", (Sample(0, NOW, "chat-0"),)
    )


def test_a_pods_own_metric_is_never_idle():
    assert read(PER_POD, Answer()).idle is None
    counter = Metric.model_validate(metric(1, signal="requestsPerSecond"))
    assert read(counter, Answer(unrated=frozenset({("chat", "chat-0")}))) == Reading("requestsPerSecond")


# All of a policy's metrics


def test_every_input_has_a_reading_and_none_is_invented():
    spec = policy(metric(10, signal="waiting")).spec
    answers = {SignalQuestion(Signal.WAITING): Answer(points=(point(3, "chat-0"),))}
    told = {one.metric: one for one in readings(spec, by_metric(spec, answers), "chat", PODS, NOW)}
    guards = {
        "remainingCapacity/waiting",
        "remainingCapacity/kvCacheUsage",
        "rejectedRequests/rejectedPerSecond",
    }
    assert set(told) == {"waiting", *guards}
    assert told["waiting"].samples == told["remainingCapacity/waiting"].samples
    assert told["remainingCapacity/kvCacheUsage"].error == "not asked"
