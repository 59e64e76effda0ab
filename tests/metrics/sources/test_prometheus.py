"""Faults of a server and of the way to it: each ends as an answer, in time, with a reason."""

from __future__ import annotations

import gzip
import json
import socket
from datetime import timedelta
from threading import Thread

import pytest
import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError

from autoscaler.api.models import Signal
from autoscaler.metrics.promql import MAX_NAMESPACES_CHARACTERS, Area
from autoscaler.metrics.readings import questions
from autoscaler.metrics.sources.bounded_queries import RetryPolicy
from autoscaler.metrics.sources.connection import PrometheusConnection
from autoscaler.metrics.sources.prometheus import PrometheusSource
from autoscaler.metrics.sources.sessions import GoogleSession
from autoscaler.ports.metrics import Answer, PromqlQuestion, Question, SignalQuestion
from tests.decision.builders import metric, policy
from tests.servers.eventually import eventually
from tests.servers.managed_prometheus import (
    NOTHING,
    Fault,
    IssuedCredentials,
    ManagedPrometheus,
    google_error,
)
from tests.servers.process import free_port

FREE = PromqlQuestion("sum(load)")
QUICK = RetryPolicy(deadline=5.0, attempt=2.0, first_wait=0.01, longest_wait=0.05)
IMPATIENT = RetryPolicy(deadline=1.5, attempt=1.0, first_wait=0.01, longest_wait=0.02)


@pytest.fixture
def server():
    with ManagedPrometheus() as proxy:
        yield proxy


def source_of(server: ManagedPrometheus, pace: RetryPolicy = QUICK, session: requests.Session | None = None):
    return PrometheusSource(
        PrometheusConnection(server.url, session or requests.Session()), Area("prod"), pace
    )


def ask(
    server: ManagedPrometheus, *faults: Fault, pace: RetryPolicy = QUICK, question: Question = FREE
) -> Answer:
    server.faults.extend(faults)
    source = source_of(server, pace)
    try:
        return source.answers([question], ["chat"])[question]
    finally:
        source.close()


def vector(*series: dict[str, object], **more: object) -> bytes:
    return json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": series}, **more}
    ).encode()


ONE = {"metric": {"pod": "vllm-0"}, "value": [1_800_000_000.5, "3"]}


# What comes back


def test_an_answer_has_values_times_and_pods(server):
    (point,) = ask(server, Fault(body=vector(ONE))).points
    assert (point.value, point.timestamp, point.namespace, point.pod) == (3, 1_800_000_000.5, None, "vllm-0")


def test_a_compressed_answer_is_an_answer(server):
    packed = Fault(body=gzip.compress(vector(ONE)), headers={"Content-Encoding": "gzip"})
    assert len(ask(server, packed).points) == 1


def test_the_servers_warnings_make_the_answer_partial_and_its_remarks_do_not(server):
    info = "PromQL info: metric might not be a counter"
    body = vector(ONE, warnings=["store-2: timeout", info], infos=["may be no counter"])
    told = ask(server, Fault(body=body))
    assert told.warnings == ("store-2: timeout",)
    assert told.remarks == (info, "may be no counter")
    assert len(told.points) == 1


def test_a_part_of_victoria_metrics_is_partial(server):
    told = ask(server, Fault(body=vector(ONE, isPartial=True)))
    assert told.warnings == ("isPartial: a part of the storage did not answer",)
    assert ask(server, Fault(body=vector(ONE, isPartial=False))).warnings == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"status":"success","data":{"resultType":"matrix","result":[]}}', "gives a matrix"),
        (b'{"status":"success","data":{"resultType":"string","result":[1,"x"]}}', "gives a string"),
        (vector({"metric": {}, "histogram": [1, {}]}), "native histograms"),
        (b"<html>Sign in</html>", "is not a Prometheus API"),
        (b'{"kind":"Status"}', "is not a Prometheus API"),
        (b"[]", "is not a Prometheus API"),
        (b"[" * 100_000, "is not a Prometheus API"),
        (b"", "is not a Prometheus API"),
        (vector({"value": [5, "7"]}), "malformed: KeyError('metric')"),
        (vector({"metric": {}, "value": [5, "seven"]}), "malformed: ValueError"),
        (b'{"status":"success","data":{"resultType":"vector","result":7}}', "malformed: TypeError"),
    ],
)
def test_what_is_no_instant_vector_is_an_error(server, body, reason):
    assert reason in str(ask(server, Fault(body=body)).error)


def test_warnings_and_waits_in_another_form_are_none(server):
    assert len(ask(server, Fault(body=vector(ONE, warnings=5))).points) == 1
    odd = Fault(503, b"", {"Retry-After": "\u00b2"})
    assert len(ask(server, odd, Fault(body=vector(ONE))).points) == 1


# What is refused is not tried again


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (
            Fault(400, b'{"status":"error","errorType":"bad_data","error":"unclosed left parenthesis"}'),
            "HTTP 400, bad_data: unclosed left parenthesis",
        ),
        (
            Fault(403, google_error(403, "PERMISSION_DENIED", "needs monitoring.timeSeries.list")),
            "HTTP 403, PERMISSION_DENIED: needs monitoring.timeSeries.list",
        ),
        (Fault(404, b"<html>"), "HTTP 404 Not Found"),
        (
            Fault(422, b'{"status":"error","errorType":"execution","error":"many-to-many"}'),
            "HTTP 422, execution: many-to-many",
        ),
        (
            Fault(302, b"", {"Location": "https://login.example"}),
            "HTTP 302 Found: redirects to https://login.example; use that address",
        ),
        (Fault(400, b'{"error":"\\u001b[31m' + b"x" * 1000 + b'"}'), f"HTTP 400, error: [31m{'x' * 296}…"),
    ],
)
def test_a_refusal_is_told_in_one_line_and_not_repeated(server, fault, error):
    assert ask(server, fault).error == error
    assert server.requests == 1


# What is temporary is tried again


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(server, status):
    assert ask(server, Fault(status), Fault(status), Fault(body=vector(ONE))).error is None
    assert server.requests == 3


def test_trouble_that_lasts_ends_at_the_deadline_with_its_reason(server):
    limited = Fault(429, google_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for time series queries"))
    told = ask(server, *[limited] * 1000, pace=IMPATIENT)
    assert str(told.error).startswith("HTTP 429, RESOURCE_EXHAUSTED: Quota exceeded for time series queries")
    assert str(told.error).endswith(" tries)")
    assert 1 < server.requests < 1000


def test_a_pause_that_the_server_asks_for_is_kept_across_rounds(server):
    source = source_of(server)
    server.faults.append(Fault(429, headers={"Retry-After": "60"}))
    assert "HTTP 429" in str(source.answers([FREE], ["chat"])[FREE].error)
    told = source.answers([FREE, SignalQuestion(Signal.WAITING)], ["chat"])
    assert all("asked for a pause" in str(answer.error) for answer in told.values())
    assert server.requests == 1
    source.close()


@pytest.mark.parametrize("header", ["1", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
def test_a_short_past_or_senseless_pause_does_not_stop_the_next_try(server, header):
    assert ask(server, Fault(503, headers={"Retry-After": header})).error is None
    assert server.requests == 2


def test_a_server_that_is_too_slow_is_given_up_and_asked_again(server):
    slow = RetryPolicy(deadline=5.0, attempt=0.2, first_wait=0.01)
    assert ask(server, Fault(delay=1.0), Fault(body=vector(ONE)), pace=slow).error is None


def test_a_server_that_says_a_byte_now_and_then_does_not_hold_us(server):
    told = ask(server, *[Fault(drip=0.1)] * 20, pace=IMPATIENT)
    assert "in time" in str(told.error)


def test_nobody_there_is_told_with_the_address():
    port = free_port()
    source = PrometheusSource(
        PrometheusConnection(f"http://127.0.0.1:{port}", requests.Session()), Area(), IMPATIENT
    )
    error = str(source.answers([FREE], ["chat"])[FREE].error)
    source.close()
    assert error.startswith(f"cannot reach 127.0.0.1:{port}: Connection refused (")


# How much is asked


def test_equal_queries_are_asked_once_and_different_ones_at_once_but_not_all(server):
    source = source_of(server, RetryPolicy(concurrency=3))
    server.faults.extend([Fault(delay=0.1)] * 12)
    asked = [PromqlQuestion(f"q{number}") for number in range(12)] * 2
    assert len(source.answers(asked, ["chat"])) == 12
    source.close()
    assert server.requests == 12
    assert server.most_at_once <= 3


@pytest.mark.parametrize("count", [1, 300])
def test_a_tick_is_as_many_requests_for_one_policy_as_for_many(server, count):
    """Two signals, three of guards, and a query that all have: one request each."""
    metrics = (metric(10, signal="running+waiting"), metric(1, "Value", signal="ttft"), metric(7, query="up"))
    policies = [
        (f"team-{number % 40}", policy(*metrics, maxReplicas=number + 1).spec) for number in range(count)
    ]
    asked = {question for _, one in policies for question in questions(one)}
    source = source_of(server)
    told = source.answers(asked, {namespace for namespace, _ in policies})
    source.close()
    assert all(answer.error is None for answer in told.values())
    assert server.requests == 6


def test_many_namespaces_are_asked_in_parts_and_a_failed_part_makes_the_answer_partial(server):
    names = [f"{'n' * 40}-{number:04}" for number in range(2 * MAX_NAMESPACES_CHARACTERS // 40)]
    question = SignalQuestion(Signal.WAITING)
    source = source_of(server)
    parts = {}, {"autoscaler_part": "time"}
    series = [{"metric": {"namespace": "n", "pod": "p", **part}, "value": [5, "7"]} for part in parts]
    server.faults.extend([Fault(400), *[Fault(body=vector(*series))] * 2])
    told = source.answers([question], names)[question]
    source.close()
    assert server.requests == 3
    assert [point.value for point in told.points] == [7]
    assert told.warnings == ("HTTP 400 Bad Request",)


def test_without_a_namespace_there_is_nothing_to_ask(server):
    source = source_of(server)
    question = SignalQuestion(Signal.WAITING)
    assert source.answers([question], []) == {question: Answer()}
    source.close()
    assert server.requests == 0


def test_after_the_end_nothing_waits(server):
    source = source_of(server, RetryPolicy(deadline=30.0, first_wait=20.0, longest_wait=20.0))
    server.faults.extend([Fault(503)] * 50)
    thread = Thread(target=source.answers, args=([FREE], ["chat"]))
    thread.start()
    eventually(lambda: server.requests)
    source.close()
    thread.join(10)
    assert not thread.is_alive()


def test_after_the_end_a_try_that_hangs_is_left_behind():
    told = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = PrometheusConnection(f"http://127.0.0.1:{silent.getsockname()[1]}", requests.Session())
        source = PrometheusSource(connection, Area(), RetryPolicy(deadline=60.0, attempt=60.0))
        thread = Thread(target=lambda: told.append(source.answers([FREE], ["chat"])))
        thread.start()
        asked, _ = silent.accept()
        source.close()
        thread.join(10)
        asked.close()
    assert told == [{FREE: Answer(error="the source was closed")}]


# Logging in


def test_one_fresh_token_serves_all_threads(server):
    credentials = IssuedCredentials(server)
    source = source_of(server, session=GoogleSession(credentials))
    asked = [PromqlQuestion(f"q{number}") for number in range(16)]
    assert all(answer.error is None for answer in source.answers(asked, ["chat"]).values())
    source.close()
    assert credentials.refreshes == 1


def test_a_token_that_expires_is_renewed_before_it_is_used(server):
    credentials = IssuedCredentials(server, lifetime=timedelta(seconds=1))
    source = source_of(server, session=GoogleSession(credentials))
    for _ in range(2):
        assert source.answers([FREE], ["chat"])[FREE].error is None
    source.close()
    assert credentials.refreshes >= 2


def test_a_token_that_is_revoked_is_renewed_when_the_server_says_so(server):
    credentials = IssuedCredentials(server)
    source = source_of(server, session=GoogleSession(credentials))
    source.answers([FREE], ["chat"])
    server.tokens = set()
    assert source.answers([FREE], ["chat"])[FREE].error is None
    source.close()
    assert credentials.refreshes == 2


class NoToken(Credentials):
    """The metadata server is away."""

    tries = 0

    def refresh(self, _request: object) -> None:
        self.tries += 1
        raise RefreshError("metadata server unavailable")


def test_without_a_token_the_reason_is_told_and_nothing_is_sent(server):
    credentials = NoToken()
    source = source_of(server, IMPATIENT, GoogleSession(credentials))
    asked = [PromqlQuestion(f"q{number}") for number in range(8)]
    told = source.answers(asked, ["chat"])
    source.close()
    assert {str(answer.error).partition(" (")[0] for answer in told.values()} == {
        "no token from Google: metadata server unavailable"
    }
    assert (server.requests, credentials.tries) == (0, 1)


def test_nothing_found_is_no_error(server):
    assert ask(server, Fault(body=NOTHING)) == Answer()
