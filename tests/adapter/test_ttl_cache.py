"""What is remembered, for how long, and how little room strangers can take with it."""

import asyncio
import gc
import tracemalloc
from dataclasses import dataclass, field

import pytest

from autoscaler.adapter.adapter_metrics import AdapterMetrics
from autoscaler.adapter.app import App
from autoscaler.adapter.authorizer import Authorizer
from autoscaler.adapter.requests import MAX_TARGET
from autoscaler.adapter.ttl_cache import TtlCache
from tests.adapter.world import Trusted

LONG = MAX_TARGET - 100
STRANGERS = 60


class Deaf:
    """Kubernetes' judgement, which knows nobody and keeps no note."""

    def authenticate(self, _token):
        return None

    def authorize(self, _user, _access):
        return False


@dataclass
class Request:
    """As much of one as is looked at: aiohttp's own keeps the newest 128 paths."""

    raw_path: str
    headers: dict = field(default_factory=dict)
    method: str = "GET"


class Stranger:
    """A caller without a certificate."""

    chain = ()

    def authenticated(self):
        raise AssertionError


def remembered(ask, size=4096):
    return TtlCache(ask, seconds=10.0, clock=lambda: 0.0, size=size)


async def test_keys_that_differ_only_at_their_end_are_not_mixed_up():
    async def ask(key):
        return key

    known = remembered(ask)
    keys = [("a" * LONG, "b"), ("a" * LONG, "c"), ("a" * LONG + "b", ""), "a" * LONG, "\udcff"]
    for _ in range(2):
        assert [await known(key) for key in keys] == keys


async def test_the_oldest_key_makes_room_for_a_new_one():
    asked = []

    async def ask(key):
        asked.append(key)

    known = remembered(ask, size=2)
    for key in ["a", "b", "c", "b", "c", "a"]:
        await known(key)
    assert asked == ["a", "b", "c", "a"]


async def test_an_exception_goes_to_all_who_waited_and_is_not_kept():
    answers = iter([ValueError("no"), "yes"])

    async def ask(_key):
        answer = next(answers)
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    known = remembered(ask)
    both = await asyncio.gather(known("a"), known("a"), return_exceptions=True)
    assert [str(one) for one in both] == ["no", "no"]
    assert await known("a") == "yes"


@pytest.mark.parametrize(
    "request_of",
    [
        lambda text: Request("/apis", {"Authorization": f"Bearer {text}"}),
        lambda text: Request(f"/{text}"),
        lambda text: Request(f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/a/pods/%2A/{text}"),
    ],
    ids=["tokens", "paths", "metrics"],
)
async def test_strangers_with_long_tokens_and_paths_leave_little_behind(request_of):
    app = App(Authorizer(Deaf(), Trusted()), answers=None, unready=tuple, telemetry=AdapterMetrics())

    async def ask(index):
        response = await app.handle(request_of(f"{index:x>{LONG}}"), Stranger())
        assert response.status == 401

    await ask(0)
    tracemalloc.start()
    try:
        for index in range(1, STRANGERS):
            await ask(index)
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < STRANGERS * 2048
