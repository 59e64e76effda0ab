"""The real Prometheus that tests start does what the tests rely on."""

from __future__ import annotations

import pytest
import requests

from tests.servers.eventually import eventually
from tests.servers.exporter import Exporter
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.e2e


@pytest.fixture
def prometheus(tmp_path):
    with Prometheus(tmp_path / "prometheus", interval=0.2) as server:
        yield server


def running(value: float) -> str:
    return f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running {value}\n"


def values(prometheus: Prometheus, promql: str = "vllm:num_requests_running") -> dict[str, float]:
    return {labels["pod"]: value for labels, value in prometheus.query(promql)}


def target(pod: str, exporter: Exporter) -> dict[str, object]:
    return {"targets": [exporter.address], "labels": {"pod": pod}}


def test_what_exporters_say_is_what_queries_find(prometheus):
    with Exporter(running(3)) as first, Exporter(running(4)) as second:
        prometheus.scrape([target("vllm-0", first), target("vllm-1", second)])
        eventually(lambda: values(prometheus) == {"vllm-0": 3, "vllm-1": 4})
        second.text = running(9)
        eventually(lambda: values(prometheus) == {"vllm-0": 3, "vllm-1": 9})


def test_a_target_that_is_no_longer_named_becomes_stale(prometheus):
    with Exporter(running(3)) as first, Exporter(running(4)) as second:
        prometheus.scrape([target("vllm-0", first), target("vllm-1", second)])
        eventually(lambda: len(values(prometheus)) == 2)
        prometheus.scrape([target("vllm-0", first)])
        eventually(lambda: values(prometheus) == {"vllm-0": 3})


def test_an_exporter_that_fails_or_is_slow_is_down(prometheus):
    with Exporter(running(3)) as exporter:
        prometheus.scrape([target("vllm-0", exporter)])
        eventually(lambda: values(prometheus, "up") == {"vllm-0": 1})
        exporter.status = 500
        eventually(lambda: values(prometheus, "up") == {"vllm-0": 0})
        exporter.status = 200
        eventually(lambda: values(prometheus, "up") == {"vllm-0": 1})
        exporter.delay = 1.0
        eventually(lambda: values(prometheus, "up") == {"vllm-0": 0})


def test_stopped_paused_and_restarted_it_keeps_its_data_and_its_port(prometheus):
    with Exporter(running(3)) as exporter:
        prometheus.scrape([target("vllm-0", exporter)])
        eventually(lambda: values(prometheus) == {"vllm-0": 3})
        prometheus.stop()
        with pytest.raises(requests.ConnectionError):
            prometheus.query("up")
        exporter.status = 500
        prometheus.start()
        assert values(prometheus, "last_over_time(vllm:num_requests_running[10m])") == {"vllm-0": 3}
    prometheus.pause()
    with pytest.raises(requests.ReadTimeout):
        requests.get(prometheus.url, timeout=0.5)
    prometheus.resume()
    assert eventually(prometheus.ready)


def test_a_server_that_cannot_start_says_why(tmp_path):
    broken = Prometheus(tmp_path, flags=["--no-such-flag"])
    with pytest.raises(AssertionError, match="unknown long flag '--no-such-flag'"):
        broken.start()
