"""Reading a vLLM server's gauges, whatever its version and its number of engines."""

from __future__ import annotations

import asyncio

import pytest

from autoscaler.client.scrapes import GAUGES, Scrapes, read_gauges
from autoscaler.errors import ServerError

TEXT = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="{odd}"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
"""


def test_engines_are_added_up_and_their_usage_is_averaged():
    assert read_gauges(TEXT) == dict(zip(GAUGES, (7.0, 1.0, 0.5), strict=True))


def test_the_older_name_of_the_cache_is_known():
    assert read_gauges(TEXT.replace("kv_cache_usage", "gpu_cache_usage"))[GAUGES[2]] == 0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "/metrics has no vllm:num_requests_running: --metrics needs a vLLM server"),
        (TEXT.replace(" 1.0", " one"), "a line that cannot be read"),
        (TEXT.replace(" 1.0", ""), "a line that cannot be read"),
    ],
)
def test_what_is_no_vllm_is_said(text, says):
    with pytest.raises(ServerError, match=says):
        read_gauges(text)


class Answers:
    """Stands for an endpoint: gives these, one after the other."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)

    async def metrics(self) -> str:
        return self._texts.pop(0)


def test_a_scrape_that_fails_leaves_a_gap():
    async def story() -> Scrapes:
        loop = asyncio.get_running_loop()
        scrapes = Scrapes(Answers(TEXT, "", TEXT, *[""] * 1000), loop.time, interval_s=0.001)  # type: ignore[arg-type]
        async with scrapes.running():
            while len(scrapes.rows) + scrapes.failed < 4:
                await asyncio.sleep(0.001)
        return scrapes

    scrapes = asyncio.run(story())
    assert [row[1:] for row in scrapes.rows] == [(7.0, 1.0, 0.5)] * 2
    assert scrapes.failed >= 2
    assert scrapes.rows[0][0] < scrapes.rows[1][0]
