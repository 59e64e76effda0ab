"""Whatever is asked: no error of ours, and no word about our inside."""

import asyncio
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.adapter.test_authorizer import TRUST

from .running import running
from .test_app import DECLARED, TOKEN, judge
from .world import Trusted, points

PARTS = (
    *("apis", "custom.metrics.k8s.io", "v1beta1", "v1beta2", "external.metrics.k8s.io", "namespaces", "chat"),
    *("pods", "%2A", "a", "metrics", "num_requests_waiting", "ttft", "deployments.apps", "openapi", "v2"),
    *("v3", "..", "%2e%2e", "%00", "%FF", "%", ""),
)
PRIVATE = ("Traceback", ".py", "Error(", "tls.key", "PRIVATE KEY", "object at 0x")
HEADERS: tuple[dict[str, str], ...] = (
    *({}, TOKEN, TOKEN, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic \xff"}),
    *({"X-Remote-User": "hpa", "X-Remote-Group": "system:masters"}, {**TOKEN, "Accept": ";;=,g=;as"}),
)

anything = st.text("ab*|%{}[]'\"<>\\é\x7f\0", max_size=8).map(lambda text: URL.build(path=text).raw_path)
deep = st.sampled_from(
    [
        ["apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", "chat", "pods", "%2A"],
        ["apis", "custom.metrics.k8s.io", "v1beta1", "namespaces", "chat", "deployments.apps", "vllm"],
        ["apis", "external.metrics.k8s.io", "v1beta1", "namespaces", "chat"],
    ]
)
segments = st.sampled_from(PARTS) | anything
paths = st.lists(segments, max_size=9) | st.tuples(deep, st.lists(segments, max_size=2)).map(
    lambda both: [*both[0], *both[1]]
)
queries = st.dictionaries(
    st.sampled_from(["labelSelector", "metricLabelSelector", "watch", "limit"]),
    st.text("abm=!<>(), {}\"'\\\0é", max_size=20),
    max_size=3,
)
methods = st.sampled_from(["GET", "GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE"])


@pytest.fixture(scope="module")
def hammered(tmp_path_factory):
    """A server in a loop of its own, because Hypothesis' examples are plain functions."""
    with asyncio.Runner() as runner:
        context = running(tmp_path_factory.mktemp("fuzz"), DECLARED, judge(), Trusted(TRUST))
        world = runner.run(context.__aenter__())
        world.fleet.add("a")
        world.source.answer = points({"a": 1}, at=time.time())

        async def opened():
            return world.session()

        session = runner.run(opened())
        yield runner, session
        runner.run(session.close())
        runner.run(context.__aexit__(None, None, None))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(paths, queries, methods, st.binary(max_size=64), st.sampled_from(HEADERS))
def test_no_request_breaks_it_or_makes_it_talk(hammered, path, query, method, body, headers):
    runner, session = hammered

    async def request():
        target = URL("/" + "/".join(path).lstrip("/"), encoded=True).with_query(query)
        async with session.request(method, target, data=body, headers=headers) as response:
            assert response.headers["Server"] == "vllm-autoscaler"
            return response.status, (await response.read()).decode()

    status, text = runner.run(request())
    assert status < 500
    assert not any(word in text for word in PRIVATE)
    if "hpa" not in headers.get("Authorization", ""):
        assert status in (400, 401, 403) or text in ("ok", "")
