"""The proxy in front of Prometheus changes answers as scripted and passes the others on."""

from __future__ import annotations

import json

import pytest
import requests

from autoscaler.metrics.promql import PART, TIME
from tests.servers.loopback import LoopbackServer
from tests.servers.prometheus_proxy import PrometheusProxy, says

VALUE = {"metric": {"pod": "a"}, "value": [1000.0, "7"]}
SEEN_AT = {"metric": {"pod": "a", PART: TIME}, "value": [1000.0, "999.5"]}


@pytest.fixture
def proxy():
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [VALUE, SEEN_AT]}})

    def answer(request):
        assert (request.path, request.body()) == ("/api/v1/query", b"query=x")
        request.reply(200, "application/json", body.encode())

    with LoopbackServer(answer) as upstream, PrometheusProxy(f"http://127.0.0.1:{upstream.port}") as started:
        yield started


def asked(proxy):
    answer = requests.post(f"{proxy.url}/api/v1/query", {"query": "x"}, timeout=10).json()
    value, time = (one["value"][1] for one in answer["data"]["result"])
    return value, time, answer


def test_without_a_lie_the_answer_is_the_servers(proxy):
    assert asked(proxy)[:2] == ("7", "999.5")


@pytest.mark.parametrize(
    ("lie", "value", "time"),
    [
        (says(), "7", "999.5"),
        (says(0), "0", "999.5"),
        (says(timestamp=1055.0), "7", "1055.0"),
        (says(0, 1055.0), "0", "1055.0"),
    ],
)
def test_a_lie_changes_values_and_the_times_of_samples(proxy, lie, value, time):
    proxy.lie = lie
    assert asked(proxy)[:2] == (value, time)


def test_a_lie_says_more_beside_the_data(proxy):
    proxy.lie = says(isPartial=True, warnings=["x"])
    answer = asked(proxy)[2]
    assert (answer["isPartial"], answer["warnings"], answer["status"]) == (True, ["x"], "success")
