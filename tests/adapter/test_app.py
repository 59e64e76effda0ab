"""Requests over real TLS, as the aggregator, the HPA and strangers make them."""

import asyncio
import json
import threading
import time
from dataclasses import replace

import pytest
from yarl import URL

from autoscaler.adapter.app import PIECE
from autoscaler.adapter.server import GRACE_SECONDS
from autoscaler.ports.identity import User
from autoscaler.timestamps import from_rfc3339
from tests.adapter.test_authorizer import FRONT, TRUST

from .running import running
from .world import TTFT, WAITING, Judge, Trusted, buckets, export, points, policy, served

V2 = "/apis/custom.metrics.k8s.io/v1beta2"
PODS = f"{V2}/namespaces/chat/pods"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/chat"
TOKEN = {"Authorization": "Bearer hpa"}
DECLARED = served(policy(TTFT), exports=[export(WAITING)])


def judge():
    """One user may read, another is known and may not."""
    tokens = {"hpa": User("hpa"), "nobody": User("nobody")}
    return Judge(tokens=tokens, may=lambda user, _access: user.name == "hpa")


@pytest.fixture
async def world(tmp_path):
    async with running(tmp_path, DECLARED, judge(), Trusted(TRUST)) as world:
        world.fleet.add("a", "b")
        world.source.answer = points({"a": 1.5, "b": 0}, at=time.time() - 7)
        yield world


def raw(path):
    """The path exactly as written: ``*`` stays escaped."""
    return URL(path, encoded=True)


async def get(session, path, **headers):
    async with session.get(raw(path), headers=headers) as response:
        return response.status, json.loads(await response.read())


async def test_the_hpas_request_gets_every_pods_value_with_its_own_time(world):
    async with world.session(**TOKEN) as session:
        status, body = await get(session, f"{PODS}/%2A/gcm%7Cwaiting%7Cgauge?labelSelector=app%3Dvllm")
    assert (status, body["kind"]) == (200, "MetricValueList")
    values = {item["describedObject"]["name"]: item["value"] for item in body["items"]}
    assert values == {"a": "1500m", "b": "0"}
    (timestamp,) = {item["timestamp"] for item in body["items"]}
    assert 6 < time.time() - from_rfc3339(timestamp) < 30


async def test_an_answer_of_several_pieces_arrives_whole_and_keeps_the_connection(world):
    names = [f"vllm-{index}" for index in range(3000)]
    world.fleet.add(*names)
    world.source.answer = points(dict.fromkeys(names, 7), at=time.time())
    async with world.session(**TOKEN) as session:
        for _ in range(2):
            async with session.get(raw(f"{PODS}/%2A/num_requests_waiting")) as response:
                body = await response.read()
            assert len(body) == int(response.headers["Content-Length"]) > 2 * PIECE
            assert {item["describedObject"]["name"] for item in json.loads(body)["items"]} == set(names)
        assert (await get(session, f"{PODS}/vllm-1/num_requests_waiting"))[0] == 200


async def test_one_pod_and_a_pod_without_a_value(world):
    async with world.session(**TOKEN) as session:
        status, body = await get(session, f"{PODS}/a/num_requests_waiting")
        assert (status, len(body["items"])) == (200, 1)
        status, body = await get(session, f"{PODS}/gone/num_requests_waiting")
    assert status == 404
    assert body["kind"] == "Status"
    assert body["message"] == "the server could not find the metric num_requests_waiting for pods gone"


async def test_values_of_objects_and_without_objects(world):
    world.source.answer = buckets("a", "b", at=time.time())
    async with world.session(**TOKEN) as session:
        status, body = await get(session, f"{V2}/namespaces/chat/deployments.apps/vllm/ttft")
        assert (status, body["items"][0]["describedObject"]["kind"]) == (200, "Deployment")
        assert body["items"][0]["windowSeconds"] == 60
        status, body = await get(session, f"{EXTERNAL}/ttft?labelSelector=policy%3Dchat")
        assert (status, body["items"][0]["metricLabels"]) == (200, {"policy": "chat"})
        assert (await get(session, f"{EXTERNAL}/ttft?labelSelector=policy%3Dother"))[1]["items"] == []
        assert (await get(session, f"{V2}/namespaces/chat/deployments.apps/other/ttft"))[0] == 404


async def test_series_of_one_name_are_told_apart_by_their_labels_and_never_mixed(world):
    models = [{"name": "m", "query": model, "labels": {"model": model}} for model in ("llama", "gemma")]
    world.served = served(exports=[export(*models)])
    async with world.session(**TOKEN) as session:
        status, body = await get(session, f"{PODS}/%2A/m")
        assert (status, body["reason"]) == (400, "BadRequest")
        assert "choose one with metricLabelSelector: model=llama; model=gemma" in body["message"]
        status, body = await get(session, f"{PODS}/%2A/m?metricLabelSelector=model%3Dllama")
        assert status == 200
        assert body["items"][0]["metric"]["selector"] == {"matchLabels": {"model": "llama"}}
        status, body = await get(session, f"{PODS}/%2A/m?metricLabelSelector=model%3Dother")
        assert status == 404


async def test_external_series_that_an_hpa_adds_up_are_all_there_or_none(world):
    metric = {"name": "m", "signal": "waiting", "resource": "External"}
    ages = [{**metric, "labels": {"age": str(age)}, "maxAgeSeconds": age} for age in (5, 60, 90)]
    world.served = served(exports=[export(*ages)])  # the samples are 7 s old
    async with world.session(**TOKEN) as session:
        assert (await get(session, f"{EXTERNAL}/m"))[1]["items"] == []
        _, body = await get(session, f"{EXTERNAL}/m?labelSelector=age%20in%20(60,90)")
    assert [one["metricLabels"]["age"] for one in body["items"]] == ["60", "90"]


async def test_a_label_selector_chooses_pods(world):
    world.fleet.labels["b"]["canary"] = "yes"
    path = f"{PODS}/%2A/num_requests_waiting?labelSelector="
    async with world.session(**TOKEN) as session:
        _, body = await get(session, f"{path}canary%3Dyes")
        assert [item["describedObject"]["name"] for item in body["items"]] == ["b"]
        assert (await get(session, f"{path}a%3D%3D%3D"))[0] == 400


async def test_with_the_source_gone_there_is_no_item_and_then_there_is(world):
    world.source.answer = replace(points({}), error="connection refused")
    path = f"{PODS}/%2A/num_requests_waiting"
    async with world.session(**TOKEN) as session:
        assert await get(session, path) == (
            200,
            {
                "kind": "MetricValueList",
                "apiVersion": "custom.metrics.k8s.io/v1beta2",
                "metadata": {},
                "items": [],
            },
        )
        world.source.answer = points({"a": 1}, at=time.time())
        for _ in range(1000):
            _, body = await get(session, path)
            if body["items"]:
                break
            await asyncio.sleep(0.05)
    assert [item["value"] for item in body["items"]] == ["1"]


async def test_the_aggregators_discovery(world):
    proxy = FRONT.client("front-proxy-client")
    world.judge.may = lambda user, access: "system:authenticated" in user.groups and bool(access.path)
    async with world.session(proxy, **{"X-Remote-User": "system:kube-aggregator"}) as session:
        status, body = await get(session, V2)
        assert (status, body["kind"]) == (200, "APIResourceList")
        assert "pods/num_requests_waiting" in [one["name"] for one in body["resources"]]
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
        async with session.get("/apis", headers={"Accept": accept}) as response:
            assert (await response.json(content_type=None))["kind"] == "APIGroupDiscoveryList"
            etag = response.headers["ETag"]
        async with session.get("/apis", headers={"Accept": accept, "If-None-Match": etag}) as response:
            assert response.status == 304
        assert (await get(session, "/apis"))[1]["kind"] == "APIGroupList"
        for path in ("/openapi/v2", "/openapi/v3", "/openapi/v3/apis/custom.metrics.k8s.io/v1beta1"):
            assert (await get(session, path))[0] == 200
        assert (await get(session, f"{PODS}/%2A/num_requests_waiting"))[0] == 403


REFUSED = [
    ("GET", f"{PODS}/%2A/none", 404),
    ("GET", "/apis/apps/v1", 404),
    ("GET", "/metrics", 404),
    ("GET", f"{PODS}/a%2Fb/m", 400),
    ("POST", f"{PODS}/%2A/num_requests_waiting", 405),
    ("DELETE", "/apis", 405),
]


@pytest.mark.parametrize(("method", "path", "code"), REFUSED)
async def test_what_is_refused_is_a_status(world, method, path, code):
    async with world.session(**TOKEN) as session, session.request(method, raw(path), data=b"{}") as response:
        body = await response.json()
    assert (response.status, body["kind"], body["code"]) == (code, "Status", code)


async def test_without_a_right_nothing_tells_whether_a_metric_exists(world):
    async with world.session(Authorization="Bearer nobody") as session:
        answers = {str(await get(session, f"{PODS}/%2A/{name}")).replace(name, "") for name in ("x", "none")}
        assert len(answers) == 1
        assert (await get(session, f"{PODS}/%2A/num_requests_waiting"))[0] == 403
    async with world.session() as session:
        assert (await get(session, f"{PODS}/%2A/num_requests_waiting"))[0] == 401
        assert (await get(session, V2, **{"X-Remote-User": "hpa"}))[0] == 401


async def test_a_long_token_is_read_and_an_endless_request_is_not(world):
    token = "t" * 12_000
    world.judge.tokens[token] = User("hpa")
    async with world.session(Authorization=f"Bearer {token}") as session:
        assert (await get(session, V2))[0] == 200
        assert (await get(session, V2 + "/" + "a" * 20_000))[0] == 400
        async with session.get("/" + "a" * 100_000) as response:
            assert response.status == 400


async def test_requests_are_counted_by_their_status(world):
    async with world.session(**TOKEN) as session:
        await get(session, V2)
        await get(session, f"{PODS}/%2A/none")
        await get(session, f"{PODS}/%2A/none")
    counted = world.telemetry.registry.get_sample_value
    assert counted("vllm_autoscaler_adapter_requests_total", {"code": "200"}) == 1
    assert counted("vllm_autoscaler_adapter_requests_total", {"code": "404"}) == 2
    assert counted("vllm_autoscaler_adapter_request_duration_seconds_count") == 3


async def test_health_is_open_and_ready_tells_what_is_missing(world):
    async with world.session() as session:
        async with session.get("/readyz") as response:
            assert (response.status, await response.text()) == (200, "ok")
        world.missing = ("the pods were not read yet",)
        async with session.get("/readyz") as response:
            assert response.status == 503
            assert await response.text() == "not ready: the pods were not read yet\n"
        async with session.get("/livez") as response:
            assert response.status == 200


@pytest.mark.parametrize("page", ["/livez", "/readyz"])
async def test_a_thread_that_has_ended_is_a_failure_of_health(world, page):
    world.fault = "the thread 'watch /api/v1/pods' has ended: it returned"
    async with world.session() as session, session.get(page) as response:
        assert response.status == 503
        assert await response.text() == f"not ready: {world.fault}\n"


async def test_at_the_end_idle_connections_close_at_once_and_answers_under_way_arrive(tmp_path):
    serving = running(tmp_path, DECLARED, judge(), Trusted(TRUST))
    world = await serving.__aenter__()
    world.fleet.add("a")
    world.source.answer = points({"a": 1}, at=time.time())
    asked, may_answer = threading.Event(), threading.Event()
    world.source.before = lambda: (asked.set(), may_answer.wait(60))
    async with world.session(**TOKEN) as idle, world.session(**TOKEN) as busy:
        await get(idle, V2)
        under_way = asyncio.create_task(get(busy, f"{PODS}/a/num_requests_waiting"))
        await asyncio.to_thread(asked.wait, 60)
        end = asyncio.create_task(serving.__aexit__(None, None, None))
        await asyncio.sleep(0)
        may_answer.set()
        status, body = await under_way
        assert (status, len(body["items"])) == (200, 1)
        async with asyncio.timeout(GRACE_SECONDS * 0.8):  # the idle one would last that long
            await end
