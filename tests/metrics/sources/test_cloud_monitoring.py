"""Time series over gRPC, asked with Google's own client."""

from __future__ import annotations

from typing import get_args

import grpc
import pytest
from google.api.distribution_pb2 import Distribution
from google.cloud.monitoring_v3 import Aggregation, TimeSeries
from google.rpc.status_pb2 import Status

from autoscaler.api.models import CloudMonitoring as Fields
from autoscaler.api.models import Metric
from autoscaler.metrics.readings import question, reading
from autoscaler.metrics.sources.bounded_queries import RetryPolicy
from autoscaler.metrics.sources.cloud_monitoring import LOOKBACK_SECONDS, MAX_SERIES, CloudMonitoringSource
from autoscaler.ports.metrics import Answer, CloudQuestion
from tests.servers.cloud_monitoring import PROJECT, CloudMonitoring, series

NOW = 1_800_000_000.0
BACKLOG = "pubsub.googleapis.com/subscription/num_undelivered_messages"
FILTER = f'metric.type="{BACKLOG}" AND resource.labels.subscription_id="jobs"'
QUICK = RetryPolicy(deadline=5.0, attempt=2.0, first_wait=0.01, longest_wait=0.05)
IMPATIENT = RetryPolicy(deadline=1.5, attempt=1.0, first_wait=0.01, longest_wait=0.05)


def cloud(filter_: str = FILTER, window: int = 60, **more: str) -> Metric:
    return Metric.model_validate(
        {
            "cloudMonitoring": {"filter": filter_, **more},
            "windowSeconds": window,
            "target": {"type": "AverageValue", "averageValue": 10},
        }
    )


def ask(
    server: CloudMonitoring, metric: Metric | None = None, pace: RetryPolicy = QUICK, project: str = PROJECT
) -> Answer:
    asked = question(metric or cloud())
    source = CloudMonitoringSource(project, server.client(), pace, clock=lambda: NOW)
    try:
        return source.answers([asked], ["chat"])[asked]
    finally:
        source.close()


def found(*many: TimeSeries, **fields: int) -> CloudMonitoring:
    return CloudMonitoring(*many, **fields)


def test_each_series_counts_with_its_newest_point_at_its_own_time():
    one = series(BACKLOG, (NOW - 130.5, 7), (NOW - 190, 99), topic="a")
    other = series(BACKLOG, (NOW - 100, 2.5), topic="b")
    with found(one, other) as server:
        answer = ask(server)
    assert [(point.value, point.timestamp) for point in answer.points] == [(7, NOW - 130.5), (2.5, NOW - 100)]
    told = reading(cloud(), answer, "chat", (), NOW)
    assert [sample.value for sample in told.samples] == [7, 2.5]


def test_only_what_the_filter_and_the_time_ask_for_is_requested():
    with found() as server:
        assert ask(server) == Answer()
        (request,) = server.requests
    assert (request.name, request.filter) == (f"projects/{PROJECT}", FILTER)
    assert request.interval.end_time.timestamp() == NOW
    assert request.interval.start_time.timestamp() == NOW - LOOKBACK_SECONDS
    assert not request.aggregation


def test_aligners_and_reducers_are_googles():
    metric = cloud(window=300, perSeriesAligner="ALIGN_RATE", crossSeriesReducer="REDUCE_SUM")
    with found(series(BACKLOG, (NOW - 60, 4.0))) as server:
        assert [point.value for point in ask(server, metric).points] == [4]
        (request,) = server.requests
    assert request.aggregation.per_series_aligner == Aggregation.Aligner.ALIGN_RATE
    assert request.aggregation.cross_series_reducer == Aggregation.Reducer.REDUCE_SUM
    assert request.aggregation.alignment_period.total_seconds() == 300
    assert request.interval.start_time.timestamp() == NOW - LOOKBACK_SECONDS - 300


def test_every_aligner_and_reducer_of_a_policy_is_one_of_googles():
    aligners = get_args(Fields.model_fields["per_series_aligner"].annotation)
    reducers = get_args(Fields.model_fields["cross_series_reducer"].annotation)
    assert set(aligners) <= {one.name for one in Aggregation.Aligner}
    assert set(reducers) <= {one.name for one in Aggregation.Reducer}


def test_a_window_is_part_of_the_question_only_where_series_are_aligned():
    assert question(cloud(window=300)) == question(cloud(window=60))
    aligned = {"perSeriesAligner": "ALIGN_MEAN"}
    assert question(cloud(window=300, **aligned)) != question(cloud(window=60, **aligned))


def test_all_pages_are_read_up_to_a_limit():
    many = [series(BACKLOG, (NOW - 60, number)) for number in range(MAX_SERIES + 1)]
    with found(*many[:25], page_size=10) as server:
        assert len(ask(server).points) == 25
        assert len(server.requests) == 3
    with found(*many, page_size=600) as server:
        assert "set crossSeriesReducer" in str(ask(server).error)


def test_a_partial_answer_says_so():
    with found(series(BACKLOG, (NOW - 60, 1))) as server:
        server.execution_errors = [Status(code=14, message="us-east1 did not answer")]
        assert ask(server).warnings == ("us-east1 did not answer",)


def test_a_pod_that_is_scraped_twice_counts_once_and_its_models_all_count():
    kind = "prometheus.googleapis.com/vllm:num_requests_waiting/gauge"
    found_ = [
        series(kind, (NOW - 60, 7), pod="vllm-0", model_name="a", job="one", instance="vllm-0:8000"),
        series(kind, (NOW - 50, 9), pod="vllm-0", model_name="a", job="two", instance="vllm-0:http"),
        series(kind, (NOW - 60, 2), pod="vllm-0", model_name="b", job="one", instance="vllm-0:8000"),
        series(kind, (NOW - 60, 4), pod="vllm-1", model_name="a", job="one", instance="vllm-1:8000"),
        series(kind, (NOW - 60, 1), job="one", instance="somewhere:1"),
        series(kind, (NOW - 60, 1), job="one", instance="somewhere:2"),
    ]
    with found(*found_) as server:
        points = ask(server).points
    assert [point.value for point in points] == [9, 2, 4, 1, 1]
    assert points[0].timestamp == NOW - 60


def test_a_series_without_a_recent_point_is_no_sample():
    with found(series(BACKLOG, (NOW - LOOKBACK_SECONDS - 1, 7))) as server:
        assert ask(server) == Answer()


@pytest.mark.parametrize(
    ("value", "reason"),
    [(Distribution(count=3), "is a distribution: set perSeriesAligner"), ("text", "is a text, not a number")],
)
def test_what_is_no_number_is_an_error(value, reason):
    with found(series(BACKLOG, (NOW - 60, value))) as server:
        assert (
            ask(server).error
            == f"{BACKLOG} {reason}{', e.g. ALIGN_PERCENTILE_95' if 'set' in reason else ''}"
        )


def test_a_truth_is_one():
    with found(series(BACKLOG, (NOW - 60, True))) as server:
        assert [point.value for point in ask(server).points] == [1]


def test_refusals_are_told_in_googles_words_and_not_repeated():
    with found() as server:
        assert ask(server, project="other").error == "PERMISSION_DENIED: Permission denied on projects/other"
        assert ask(server, cloud("resource.type=1")).error == (
            "INVALID_ARGUMENT: The filter must name a metric.type"
        )
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL]
)
def test_trouble_is_tried_again(status):
    with found(series(BACKLOG, (NOW - 60, 7))) as server:
        server.faults.extend([(status, "later", 0.0)] * 2)
        assert [point.value for point in ask(server).points] == [7]
        assert len(server.requests) == 3


def test_trouble_that_lasts_ends_at_the_deadline_with_its_reason():
    with found() as server:
        server.faults.extend([(grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded", 0.0)] * 1000)
        assert "RESOURCE_EXHAUSTED: Quota exceeded" in str(ask(server, pace=IMPATIENT).error)


def test_nobody_there_is_an_answer_too():
    with found() as server:
        pass
    assert "UNAVAILABLE" in str(ask(server, pace=IMPATIENT).error)


def test_questions_are_asked_at_once():
    asked = [CloudQuestion(cloud(f"{FILTER} AND x={number}").cloud_monitoring) for number in range(6)]
    with found(series(BACKLOG, (NOW - 60, 7))) as server:
        source = CloudMonitoringSource(PROJECT, server.client(), QUICK, clock=lambda: NOW)
        assert all(len(answer.points) == 1 for answer in source.answers(asked * 2, []).values())
        source.close()
        assert len(server.requests) == 6
