"""Signals asked of a real Prometheus, through what Managed Prometheus demands of a client.

Samples come with explicit times, as one scrape of an exporter may bring them. Prometheus keeps such
series without staleness, so a pod that is gone lingers here as it does in Managed Prometheus.
"""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from math import isnan
from pathlib import Path

import pytest
import requests

from autoscaler.api.models import Metric, Signal
from autoscaler.api.signals import GATEWAY_QUEUE
from autoscaler.decision.types import Pod, Reading
from autoscaler.metrics.promql import Area
from autoscaler.metrics.readings import question, reading
from autoscaler.metrics.sources.connection import PrometheusConnection
from autoscaler.metrics.sources.prometheus import PrometheusSource
from autoscaler.metrics.sources.sessions import GoogleSession
from autoscaler.ports.metrics import Answer, PromqlQuestion, SignalQuestion
from tests.decision.builders import decide, metric, observe, policy
from tests.servers.eventually import eventually
from tests.servers.exporter import Exporter
from tests.servers.managed_prometheus import IssuedCredentials, ManagedPrometheus
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.e2e

SCRAPE = Path(__file__).parents[2] / "data" / "vllm_0.26.0_metrics.txt.gz"


def sample(name: str, value: float, age: float = 0.0, /, **labels: str) -> str:
    """One line of exposition; ``age``: seconds before ``start``, which is filled in then."""
    inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value} @{age}"


AGES: tuple[float, ...] = (40, 30, 20, 10, 0)


def growing(name: str, per_second: float, ages: tuple[float, ...] = AGES, **labels: str) -> list[str]:
    """A counter that began at 0 long ago, in the order of time."""
    return [sample(name, per_second * (1000 - age), age, **labels) for age in ages]


def pod(
    name: str, *lines: str, namespace: str = "chat", cluster: str = "prod", **more: str
) -> tuple[dict[str, str], str]:
    """A target and what it says; ``more``: labels of its scrape."""
    labels = {"namespace": namespace, "pod": name, "cluster": cluster, **more}
    return labels, "\n".join(lines) + "\n"


def busy(running: float, waiting: float, cache: float, **labels: str) -> list[str]:
    """What one engine of a model says of its load, in gauges and a counter."""
    own = {"model_name": "a", "engine": "0", **labels}
    values = {"num_requests_running": running, "num_requests_waiting": waiting, "kv_cache_usage_perc": cache}
    return [
        *(sample(f"vllm:{name}", value, **own) for name, value in values.items()),
        *growing("vllm:prompt_tokens_total", running, AGES, **own),
    ]


def requests_of(value: float, **labels: str) -> str:
    return sample("vllm:num_requests_running", value, **labels)


def histogram(name: str, per_second: Mapping[str, float]) -> list[str]:
    lines = [line for le, rate in per_second.items() for line in growing(f"{name}_bucket", rate, le=le)]
    return lines + growing(f"{name}_count", per_second["+Inf"])


DCGM = "DCGM_FI_DEV_GPU_UTIL"
NEW_QUEUE, OLD_QUEUE = GATEWAY_QUEUE
TTFT = "vllm:time_to_first_token_seconds"
TARGETS = [
    # Two models in one pod; two GPUs' caches in another.
    pod(
        "two-models",
        requests_of(3, model_name="a"),
        requests_of(4, model_name="b"),
        sample("vllm:num_requests_waiting", 5, model_name="a"),
        sample("vllm:num_requests_waiting", 0, model_name="b"),
        sample("vllm:kv_cache_usage_perc", 0.2, engine="0"),
        sample("vllm:kv_cache_usage_perc", 0.6, engine="1"),
    ),
    # Only one of the two series that running+waiting needs.
    pod("no-queue", requests_of(6)),
    # vLLM 0.6's name, and 0.9's both.
    pod("old-vllm", sample("vllm:gpu_cache_usage_perc", 0.5)),
    pod("both-names", sample("vllm:gpu_cache_usage_perc", 0.3), sample("vllm:kv_cache_usage_perc", 0.3)),
    pod("slow-scrape", requests_of(7, engine="0"), sample("vllm:num_requests_running", 1, 50, engine="1")),
    pod("not-a-number", requests_of(float("nan"))),
    pod("elsewhere", requests_of(99), namespace="other"),
    pod("elsewhere", requests_of(99), cluster="staging"),
    # Counters: 2 + 3 requests/s, and one with a single sample.
    pod(
        "counting",
        *growing("vllm:request_success_total", 2, finished_reason="stop"),
        *growing("vllm:request_success_total", 3, finished_reason="length"),
    ),
    pod("first-sample", sample("vllm:request_success_total", 5000)),
    # Refused requests, by limit and without an engine.
    pod(
        "refusing",
        *growing("vllm:admission_rejections_total", 2, model_name="m", reason="max_num_queued_reqs"),
        *growing("vllm:admission_rejections_total", 1, model_name="m", reason="max_num_queued_tokens"),
    ),
    pod("new", sample("vllm:admission_rejections_total", 0, model_name="m", reason="max_num_queued_reqs")),
    pod("quick", *histogram(TTFT, {"0.1": 9, "0.5": 10, "+Inf": 10})),
    pod("tardy", *histogram(TTFT, {"0.1": 0, "0.5": 9, "+Inf": 10})),
    pod("idle", *histogram(TTFT, {"0.1": 0, "0.5": 0, "+Inf": 0})),
    # DCGM: the exporter's own labels, which a scrape renames; and with honor_labels it does not.
    pod(
        "dcgm-exporter-x",
        sample(DCGM, 40, gpu="0", pod="gpu-0", namespace="chat"),
        sample(DCGM, 60, gpu="1", pod="gpu-0", namespace="chat"),
        sample(DCGM, 90, gpu="2"),
        sample("DCGM_FI_DEV_FB_USED", 1000, gpu="0", pod="gpu-0", namespace="chat"),
        sample("DCGM_FI_DEV_FB_USED", 2000, gpu="1", pod="gpu-0", namespace="chat"),
        sample(DCGM, 99, gpu="3", pod="gpu-9", namespace="other"),
        namespace="gpu-operator",
    ),
    pod("gpu-1", sample("dcgm_fi_dev_gpu_util", 30, gpu="0")),
    # The exporter began anew: both of its pods tell of the same GPU.
    pod(
        "dcgm-exporter-a",
        sample(DCGM, 10, 45, gpu="0", pod="gpu-2", namespace="chat"),
        namespace="gpu-operator",
    ),
    pod(
        "dcgm-exporter-b", sample(DCGM, 20, gpu="0", pod="gpu-2", namespace="chat"), namespace="gpu-operator"
    ),
    pod("epp-0", sample(OLD_QUEUE, 4, inference_pool="a", priority="0")),
    # Pickers in which no request has waited yet: one tells of its pool, the other of nothing that is known.
    pod("gw-epp-7c9", sample("inference_pool_ready_pods", 3, name="a"), namespace="quiet"),
    pod("epp-1", sample("go_goroutines", 9), namespace="silent"),
    pod("chat-0", requests_of(0), namespace="no-picker"),
    pod("epp", sample(OLD_QUEUE, 40, inference_pool="b"), namespace="old-picker"),
    pod("epp", sample(NEW_QUEUE, 40, inference_pool="b"), namespace="new-picker"),
    pod(
        "epp",
        *(sample(name, 40, inference_pool=pool) for name in (OLD_QUEUE, NEW_QUEUE) for pool in "bc"),
        namespace="both-pickers",
    ),
    # Scraped twice: by two Services, on the sidecar's merged port, by two equal servers, under odd labels.
    *(pod("services", *busy(10, 2, 0.4), namespace="twice", service=name) for name in ("vllm", "headless")),
    *(
        pod("sidecar", *busy(10, 2, 0.4), namespace="twice", container=name)
        for name in ("vllm", "istio-proxy")
    ),
    *(pod("replicas", *busy(10, 2, 0.4), namespace="twice", prometheus_replica=name) for name in "01"),
    pod("odd-labels", *busy(10, 2, 0.4), namespace="twice", team="a", app="vllm"),
    pod("odd-labels", *busy(9, 2, 0.4), namespace="twice"),
    # Two engines, of which one is seen by both scrapes; two containers with a model each; an unknown label.
    pod("engines", *busy(10, 2, 0.4), *busy(6, 1, 0.2, engine="1"), namespace="twice", service="vllm"),
    pod("engines", *busy(10, 2, 0.4), namespace="twice", service="headless"),
    *(pod("models", *busy(5, 1, 0.4, model_name=name), namespace="twice", container=name) for name in "ab"),
    pod("unknown", *busy(5, 1, 0.4, shard="0"), *busy(5, 1, 0.4, shard="1"), namespace="twice"),
    pod("negative", *busy(4, -1, 0.3), namespace="odd"),
    pod("full", *busy(4, 1, 63.5), namespace="odd"),
    pod(
        "dcgm-exporter-x",
        sample(DCGM, 55, gpu="0", pod="half-blank", namespace="odd"),
        sample(DCGM, 9223372036854775794, gpu="1", pod="half-blank", namespace="odd"),
        sample(DCGM, 20, gpu="0", UUID="GPU-0", pod="two-exporters", namespace="odd"),
        namespace="gpu-operator",
    ),
    pod(
        "dcgm-exporter-y",
        sample(DCGM, 20, gpu="0", UUID="GPU-0", pod="two-exporters", namespace="odd"),
        sample(DCGM, 40, gpu="1", UUID="GPU-1", pod="two-exporters", namespace="odd"),
        namespace="gpu-operator",
    ),
    pod("many", *(f'scraped{{n="{n}"}} 1' for n in range(2))),
    *(pod(f"crowd-{n:03}", requests_of(n), namespace="crowd") for n in range(150)),
]


@pytest.fixture(scope="module")
def start() -> float:
    """When the samples are from. Not the import's time: other modules' tests may take long."""
    return time.time()


def stamped(text: str, start: float) -> str:
    """Samples with their times."""
    return re.sub(
        r"@([\d.]+)$", lambda age: str(round((start - float(age[1])) * 1000)), text, flags=re.MULTILINE
    )


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory, start: float) -> Iterator[ManagedPrometheus]:
    """Prometheus with all of TARGETS scraped, behind the proxy."""
    with ExitStack() as stack:
        server = stack.enter_context(Prometheus(tmp_path_factory.mktemp("prometheus"), interval=1.0))
        exporters = [
            (stack.enter_context(Exporter(stamped(text, start))), labels) for labels, text in TARGETS
        ]
        server.scrape([{"targets": [one.address], "labels": labels} for one, labels in exporters])
        eventually(lambda: server.query("count(up == 1)") == [({}, len(TARGETS))], within=30)
        yield stack.enter_context(ManagedPrometheus(server.url))


@pytest.fixture
def source(managed: ManagedPrometheus) -> Iterator[PrometheusSource]:
    """Google's credentials, fresh for each test."""
    session = GoogleSession(IssuedCredentials(managed))
    found = PrometheusSource(PrometheusConnection(managed.url, session), Area(cluster="prod"))
    yield found
    found.close()


def asked(source: PrometheusSource, signal: Signal, *namespaces: str, window: int = 60) -> Answer:
    asked = SignalQuestion(signal, window_seconds=window)
    answer = source.answers([asked], namespaces or ("chat",))[asked]
    assert answer.error is None
    return answer


def values(answer: Answer) -> dict[str | None, object]:
    return {point.pod: pytest.approx(point.value) for point in answer.points}


# Values


def test_series_of_one_pod_are_reduced_as_the_catalogue_says(source):
    assert values(asked(source, Signal.RUNNING))["two-models"] == 7
    assert values(asked(source, Signal.KV_CACHE_USAGE))["two-models"] == 0.4


def test_a_sum_of_two_metrics_is_there_only_where_both_are(source):
    found = values(asked(source, Signal.RUNNING_WAITING))
    assert found["two-models"] == 12
    assert "no-queue" not in found


def test_each_pod_is_read_by_the_name_that_its_version_has(source):
    found = values(asked(source, Signal.KV_CACHE_USAGE))
    assert (found["old-vllm"], found["both-names"]) == (0.5, 0.3)


def test_a_value_is_as_old_as_its_oldest_series(source, start):
    found = {point.pod: point.timestamp for point in asked(source, Signal.RUNNING).points}
    assert found["two-models"] == pytest.approx(start, abs=0.01)
    assert found["slow-scrape"] == pytest.approx(start - 50, abs=0.01)


def test_other_clusters_and_namespaces_are_not_seen(source):
    here = asked(source, Signal.RUNNING)
    assert "elsewhere" not in values(here)
    assert {point.namespace for point in here.points} == {"chat"}
    assert values(asked(source, Signal.RUNNING, "other")) == {"elsewhere": 99}


def test_all_workloads_are_one_query_however_many_pods(source, managed):
    before = len(managed.queries)
    answer = asked(source, Signal.RUNNING, "chat", "crowd", "none")
    assert len(managed.queries) == before + 1
    crowd = {point.pod: point.value for point in answer.points if point.namespace == "crowd"}
    assert crowd == {f"crowd-{n:03}": n for n in range(150)}


def test_rates_add_up_and_a_single_sample_is_no_rate(source):
    found = values(asked(source, Signal.REQUESTS_RATE, window=900))
    plain = PromqlQuestion('sum(rate(vllm:request_success_total{pod="counting"}[900s]))')
    (expected,) = source.answers([plain], [])[plain].points
    assert found["counting"] == pytest.approx(expected.value, rel=0.05)
    assert expected.value > 0
    assert "first-sample" not in found


def test_gpus_of_a_pod_in_both_label_layouts(source):
    found = values(asked(source, Signal.GPU_UTILIZATION))
    assert (found["gpu-0"], found["gpu-1"]) == (0.5, 0.3)
    assert values(asked(source, Signal.GPU_MEMORY_USED)) == {"gpu-0": 3000}
    assert values(asked(source, Signal.GPU_UTILIZATION, "other")) == {"gpu-9": 0.99}


def test_an_exporter_that_began_anew_is_no_error_and_its_old_series_shows_its_age(source, start):
    (point,) = (point for point in asked(source, Signal.GPU_UTILIZATION).points if point.pod == "gpu-2")
    assert point.timestamp == pytest.approx(start - 45, abs=0.01)


def test_a_gateways_queue_is_found(source):
    assert values(asked(source, Signal.GATEWAY_QUEUE)) == {"epp-0": 4}


def test_refused_requests_are_added_up_and_a_counter_without_a_rate_is_known_to_be_there(source):
    answer = asked(source, Signal.REJECTED_RATE, window=900)
    plain = PromqlQuestion('sum(rate(vllm:admission_rejections_total{pod="refusing"}[900s]))')
    (expected,) = source.answers([plain], [])[plain].points
    assert values(answer) == {"refusing": pytest.approx(expected.value, rel=0.05)}
    assert expected.value > 0
    assert answer.unrated == {("chat", "new")}


@pytest.mark.parametrize(("namespace", "picker"), [("quiet", "gw-epp-7c9"), ("silent", "epp-1")])
def test_a_picker_in_which_no_request_has_waited_is_there_by_other_series_or_by_up(source, namespace, picker):
    answer = asked(source, Signal.GATEWAY_QUEUE, namespace)
    assert answer.points == ()
    assert {one.pod for one in answer.exporters} == {picker}
    gateway = Metric.model_validate(metric(10, "AverageValue", signal="gatewayQueue"))
    told = reading(gateway, answer, namespace, (), time.time())
    assert told == Reading("gatewayQueue", idle=f"no request has waited in {picker} yet")


def test_servers_alone_are_no_picker(source):
    answer = asked(source, Signal.GATEWAY_QUEUE, "no-picker")
    assert (answer.points, answer.exporters) == ((), ())


@pytest.mark.parametrize(
    ("namespace", "queue"), [("old-picker", 40), ("new-picker", 40), ("both-pickers", 80)]
)
def test_a_queue_has_an_old_and_a_new_name_which_are_never_added_up(source, namespace, queue):
    assert values(asked(source, Signal.GATEWAY_QUEUE, namespace)) == {"epp": queue}


TWICE = {
    "services": 10,
    "sidecar": 10,
    "replicas": 10,
    "odd-labels": 10,
    "engines": 16,
    "models": 10,
    "unknown": 10,
}


def test_a_pod_that_is_scraped_twice_counts_once_and_its_engines_and_models_all_count(source):
    assert values(asked(source, Signal.RUNNING, "twice")) == TWICE
    both = {pod: running + 2 for pod, running in TWICE.items()} | {"engines": 19}
    assert values(asked(source, Signal.RUNNING_WAITING, "twice")) == both
    assert values(asked(source, Signal.KV_CACHE_USAGE, "twice")) == dict.fromkeys(TWICE, 0.4) | {
        "engines": 0.3
    }


def test_so_it_does_in_rates(source):
    """All counters grow by their running requests a second; not the whole window is in sight."""
    points = asked(source, Signal.PROMPT_TOKENS_RATE, "twice", window=900).points
    (once,) = (point.value for point in points if point.pod == "services")
    assert {point.pod: pytest.approx(10 * point.value / once) for point in points} == TWICE


def test_what_cannot_be_is_the_pods_value_and_is_refused(source):
    assert values(asked(source, Signal.RUNNING_WAITING, "odd")) == {"negative": -1, "full": 5}
    assert values(asked(source, Signal.KV_CACHE_USAGE, "odd"))["full"] == 63.5
    gpus = values(asked(source, Signal.GPU_UTILIZATION, "odd"))
    assert gpus == {"half-blank": 92233720368547757.94, "two-exporters": 0.3}


def test_every_signal_of_vllm_is_found_in_a_real_scrape(tmp_path):
    """The scrape of a loaded server: running and waiting are 0 there, and all counters stand still."""
    text = gzip.decompress(SCRAPE.read_bytes()).decode()
    with Exporter(text) as vllm, Prometheus(tmp_path, interval=0.2) as server:
        server.scrape([{"targets": [vllm.address], "labels": {"namespace": "chat", "pod": "vllm-0"}}])
        source = PrometheusSource(PrometheusConnection(server.url, requests.Session()), Area())
        asked = [SignalQuestion(signal, window_seconds=60) for signal in Signal if signal not in _NOT_IN_IT]
        eventually(lambda: all(one.points or one.buckets for one in source.answers(asked, ["chat"]).values()))
        source.close()


_NOT_IN_IT = {Signal.GPU_UTILIZATION, Signal.GPU_MEMORY_USED, Signal.GATEWAY_QUEUE, Signal.REJECTED_RATE}


# Joined with the live pods


def read(source: PrometheusSource, fields: dict[str, object], *names: str) -> Reading:
    wanted = Metric.model_validate(fields)
    answer = source.answers([question(wanted)], ["chat"])[question(wanted)]
    return reading(wanted, answer, "chat", [Pod(name) for name in names], time.time(), 900.0)


RUNNING = metric(10, signal="running")
MEDIAN = metric(1, "Value", signal="ttft", quantile=0.5, windowSeconds=900)


def test_a_dead_pod_that_lingers_does_not_count(source):
    assert [sample.value for sample in read(source, RUNNING, "two-models").samples] == [7]


def test_nan_is_refused_with_its_reason_and_never_zero(source):
    names = ("two-models", "no-queue", "slow-scrape", "not-a-number")
    told = read(source, RUNNING, *names)
    (odd,) = (sample.value for sample in told.samples if sample.pod == "not-a-number")
    assert isnan(odd)
    idle = policy(metric(100, signal="running"), guards={"remainingCapacity": {"enabled": False}})
    decision = decide(idle, observe(4, told, pods_=tuple(map(Pod, names))), now=time.time())
    assert (decision.desired_replicas, decision.reason) == (4, "IncompleteData")
    assert decision.proposals[0].rejected == ("not-a-number: not a number",)


def test_a_division_by_zero_is_refused_too(source):
    wanted = Metric.model_validate(metric(10, "Value", query="sum(vllm:num_requests_running) * 0 / 0"))
    told = reading(wanted, source.answers([question(wanted)], [])[question(wanted)], "chat", [], time.time())
    assert [isnan(sample.value) for sample in told.samples] == [True]


def test_one_quantile_over_the_live_pods_is_what_prometheus_says_of_them(source, start):
    told = read(source, MEDIAN, "quick", "tardy", "idle")
    pods = 'namespace="chat", pod=~"quick|tardy|idle"'
    query = f"histogram_quantile(0.5, sum by (le) (rate({TTFT}_bucket{{{pods}}}[900s])))"
    (expected,) = source.answers([PromqlQuestion(query)], [])[PromqlQuestion(query)].points
    assert told.samples[0].value == pytest.approx(expected.value)
    assert 0.1 < told.samples[0].value < 0.5
    assert told.missing == ()
    assert told.samples[0].timestamp == pytest.approx(start, abs=0.01)


def test_a_dead_pods_latencies_do_not_count_and_a_pod_without_any_is_missing(source):
    told = read(source, MEDIAN, "quick", "absent")
    assert told.samples[0].value == pytest.approx(0.1 * 5 / 9)
    assert told.missing == ("absent",)


def test_while_nobody_asks_there_is_no_latency(source):
    assert read(source, MEDIAN, "idle").samples == ()


# What people write themselves


def test_a_bare_selector_has_the_samples_own_times(source, start):
    own = PromqlQuestion('vllm:num_requests_running{pod="slow-scrape"}')
    found = {(point.pod, point.value): point.timestamp for point in source.answers([own], [])[own].points}
    assert found["slow-scrape", 1] == pytest.approx(start - 50, abs=0.01)
    assert found["slow-scrape", 7] == pytest.approx(start, abs=0.01)


def test_any_other_query_has_the_time_of_its_evaluation_and_keeps_its_pods(source):
    own = PromqlQuestion("sum by (pod) (vllm:num_requests_running)")
    points = source.answers([own], [])[own].points
    assert {point.pod for point in points} >= {"two-models", "elsewhere", "crowd-007"}
    assert all(abs(time.time() - point.timestamp) < 60 for point in points)


def test_a_scalar_is_a_value_without_a_pod(source):
    own = PromqlQuestion("40 + 2")
    assert [(point.value, point.pod) for point in source.answers([own], [])[own].points] == [(42, None)]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("sum(", "bad_data"),
        ("load[5m]", "bad_data|gives a matrix"),
        ('"text"', "gives a string"),
        ("vllm:num_requests_running * on (namespace) vllm:num_requests_running", "execution"),
        ('{__name__=~"vllm:.*"}', "metric names must match exactly"),
    ],
)
def test_a_wrong_query_is_told_in_the_servers_words(source, query, reason):
    error = source.answers([PromqlQuestion(query)], [])[PromqlQuestion(query)].error
    assert any(part in str(error) for part in reason.split("|")), error


def test_a_wrong_query_spoils_no_other_question(source):
    wrong, right = PromqlQuestion("sum("), SignalQuestion(Signal.RUNNING)
    told = source.answers([wrong, right], ["chat"])
    assert told[wrong].error
    assert told[right].points
