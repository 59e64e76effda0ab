"""Clients over real HTTP: answers, streams, errors, start-up and drain. Nothing asserts wall time."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from simulator.emulator.tokens import count_tokens
from tests.simulator.emulator.conftest import MODEL


def completion(**given) -> dict:
    return {"model": MODEL, "prompt": "one two three", "max_tokens": 12, "ignore_eos": True} | given


def chat(**given) -> dict:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello there"}]
    return {"model": MODEL, "messages": messages, "max_completion_tokens": 7, "ignore_eos": True} | given


async def post(http, url: str, body: dict | bytes) -> tuple[int, dict]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with http.post(url, data=data) as answer:
        return answer.status, await answer.json()


async def events(http, url: str, body: dict) -> list[dict]:
    """The JSON of every event; the stream must end with [DONE]."""
    async with http.post(url, json=body) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        lines = [line for line in (await answer.text()).split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


async def exposition(http, url: str) -> str:
    async with http.get(f"{url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return await answer.text()


def value(text: str, name: str) -> float:
    """The sum of a metric's samples."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


async def scrape(http, url: str, name: str) -> float:
    return value(await exposition(http, url), name)


@pytest.fixture
async def url(emulator) -> str:
    return (await emulator.add("vllm-0")).url


async def test_a_completion(http, url):
    status, body = await post(http, f"{url}/v1/completions", completion())
    assert status == 200
    (choice,) = body["choices"]
    assert (body["object"], body["model"], choice["finish_reason"]) == ("text_completion", MODEL, "length")
    assert count_tokens(choice["text"]) == 12
    assert body["usage"]["prompt_tokens"] == 4  # 13 bytes
    assert body["usage"]["completion_tokens"] == 12
    assert body["usage"]["total_tokens"] == 16


async def test_a_chat(http, url):
    status, body = await post(http, f"{url}/v1/chat/completions", chat())
    assert status == 200
    message = body["choices"][0]["message"]
    assert (body["object"], message["role"]) == ("chat.completion", "assistant")
    assert count_tokens(message["content"]) == 7
    assert body["usage"]["prompt_tokens"] == 3 + 3 + 2 * 4


@pytest.mark.parametrize("prompt", [[5, 6, 7], [[5, 6, 7]], ["ab cd ef gh"], "ab cd ef gh"])
async def test_a_prompt_is_token_ids_or_text(http, url, prompt):
    _, body = await post(http, f"{url}/v1/completions", completion(prompt=prompt))
    assert body["usage"]["prompt_tokens"] == 3


async def test_a_completion_streams_the_same_text_in_pieces(http, url):
    _, whole = await post(http, f"{url}/v1/completions", completion(max_tokens=300))
    pieces = await events(http, f"{url}/v1/completions", completion(max_tokens=300, stream=True))
    assert len(pieces) > 1
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == whole["choices"][0]["text"]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1]["choices"][0]["finish_reason"] == "length"
    assert all("usage" not in piece for piece in pieces)


async def test_a_chat_streams_its_role_first_and_usage_last(http, url):
    options = {"include_usage": True, "continuous_usage_stats": True}
    pieces = await events(http, f"{url}/v1/chat/completions", chat(stream=True, stream_options=options))
    assert pieces[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {piece["object"] for piece in pieces} == {"chat.completion.chunk"}
    assert pieces[-1]["choices"] == []
    assert pieces[-1]["usage"]["completion_tokens"] == 7
    assert [piece["usage"]["completion_tokens"] for piece in pieces[1:]] == sorted(
        piece["usage"]["completion_tokens"] for piece in pieces[1:]
    )


async def test_without_ignore_eos_answers_end_by_themselves_between_their_limits(http, url):
    limits = completion(ignore_eos=False, max_tokens=150, min_tokens=20)
    answers = await asyncio.gather(*[post(http, f"{url}/v1/completions", limits) for _ in range(40)])
    said = [body["usage"]["completion_tokens"] for _, body in answers]
    reasons = [body["choices"][0]["finish_reason"] for _, body in answers]
    assert all(20 <= tokens <= 150 for tokens in said)
    assert {"stop", "length"} == set(reasons)
    assert all(tokens == 150 for tokens, reason in zip(said, reasons, strict=True) if reason == "length")


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "says"),
    [
        ("completions", completion(model="other"), 404, "NotFoundError", "`other` does not exist"),
        (
            "completions",
            completion(prompt=[1] * 4000),
            400,
            "BadRequestError",
            "maximum context length is 4000",
        ),
        (
            "completions",
            completion(max_tokens=3999),
            400,
            "BadRequestError",
            "maximum context length is 4000",
        ),
        ("completions", completion(min_tokens=13), 400, "BadRequestError", "min_tokens must be at most"),
        ("completions", completion(max_tokens=0), 400, "BadRequestError", "max_tokens"),
        ("completions", completion(n=2), 400, "BadRequestError", "n:"),
        ("completions", completion(prompt=["a", "b"]), 400, "BadRequestError", "prompt"),
        ("completions", {"model": MODEL}, 400, "BadRequestError", "prompt: Field required"),
        ("completions", b"{", 400, "BadRequestError", "Invalid JSON"),
        ("chat/completions", chat(messages=[]), 400, "BadRequestError", "messages"),
        ("chat/completions", chat(max_completion_tokens=4000), 400, "BadRequestError", "4000 tokens"),
    ],
)
async def test_errors_have_openais_form(http, url, path, body, status, kind, says):
    got, answer = await post(http, f"{url}/v1/{path}", body)
    assert got == status
    assert (answer["error"]["code"], answer["error"]["type"]) == (status, kind)
    assert says in answer["error"]["message"]


async def test_models_lists_every_name_and_each_is_served(http, url):
    async with http.get(f"{url}/v1/models") as answer:
        cards = (await answer.json())["data"]
    assert [(card["id"], card["max_model_len"]) for card in cards] == [(MODEL, 4000), ("alias", 4000)]
    _, body = await post(http, f"{url}/v1/completions", completion(model="alias"))
    assert body["model"] == "alias"


async def test_a_pod_says_503_until_its_start_is_over(http, emulator):
    url = (await emulator.add("slow")).url
    emulator.pods[0].loaded_at = emulator.clock.now() + 3600.0
    for path in ("/health", "/ping", "/v1/models", "/metrics"):
        async with http.get(url + path) as answer:
            assert answer.status == 503, path
    status, _ = await post(http, f"{url}/v1/completions", completion())
    assert status == 503
    emulator.pods[0].loaded_at = emulator.clock.now()
    async with http.get(f"{url}/health") as answer:
        assert answer.status == 200


async def test_metrics_count_what_clients_did(http, url):
    for _ in range(3):
        await post(http, f"{url}/v1/completions", completion())
    await post(http, f"{url}/v1/chat/completions", chat())
    await post(http, f"{url}/v1/completions", completion(model="other"))
    expected = {
        "vllm:request_success_total": 4,
        "vllm:prompt_tokens_total": 3 * 4 + 14,
        "vllm:generation_tokens_total": 3 * 12 + 7,
        "vllm:time_to_first_token_seconds_count": 4,
        "vllm:e2e_request_latency_seconds_count": 4,
        "vllm:inter_token_latency_seconds_count": 3 * 11 + 6,
        "vllm:request_generation_tokens_sum": 3 * 12 + 7,
        "vllm:num_requests_running": 0,
        "vllm:kv_cache_usage_perc": 0,
        "http_requests_total": 5,
    }
    assert {name: await scrape(http, url, name) for name in expected} == expected
    # 10 ms a step, in the pod's own time: one for the first token, eleven (or six) more.
    e2e = await scrape(http, url, "vllm:e2e_request_latency_seconds_sum")
    assert e2e == pytest.approx(3 * 0.120 + 0.070)


async def test_gauges_show_the_running_and_the_waiting(http, slow_emulator):
    """64 sequences fit; the answers are so long that nobody ends."""
    url = (await slow_emulator.add("vllm-0")).url
    body = completion(prompt=[1], max_tokens=3900)
    asks = [asyncio.create_task(post(http, f"{url}/v1/completions", body)) for _ in range(70)]
    running = waiting = 0.0
    while running + waiting < 70:
        text = await exposition(http, url)
        running, waiting = value(text, "vllm:num_requests_running"), value(text, "vllm:num_requests_waiting")
    assert 0 < running <= 64
    assert value(text, "vllm:num_requests_waiting_by_reason") == waiting
    assert 0 < value(text, "vllm:kv_cache_usage_perc") <= 1
    for one in asks:
        one.cancel()
    await asyncio.gather(*asks, return_exceptions=True)


async def test_a_full_server_refuses_with_503_and_counts_it(http, capped_emulator):
    url = (await capped_emulator.add("vllm-0")).url
    body = completion(prompt=[1], max_tokens=3900)
    asks = [asyncio.create_task(post(http, f"{url}/v1/completions", body)) for _ in range(24)]
    ended, admitted = set(), set(asks)
    while len(ended) < 18:
        ended, admitted = await asyncio.wait(asks, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
    answers = [one.result() for one in ended]
    assert [status for status, _ in answers] == [503] * 18
    assert {answer["error"]["type"] for _, answer in answers} == {"ServiceUnavailableError"}
    for one in list(admitted)[:4]:  # and now most of those that were taken are done
        one.cancel()
    while await scrape(http, url, "vllm:num_requests_running") > 2:
        await asyncio.sleep(0.001)
    text = await exposition(http, url)
    assert value(text, "vllm:num_requests_waiting") == 0
    rejections = "vllm:admission_rejections_total"
    assert f'{rejections}{{model_name="{MODEL}",reason="max_num_queued_reqs"}} 18.0' in text
    assert f'{rejections}{{model_name="{MODEL}",reason="max_num_queued_tokens"}} 0.0' in text
    for one in admitted:
        one.cancel()
    await asyncio.gather(*asks, return_exceptions=True)


async def test_a_server_without_a_limit_has_no_counter_of_refusals(http, url):
    assert "admission_rejections" not in await exposition(http, url)


async def test_a_client_that_leaves_frees_its_place(http, slow_emulator):
    url = (await slow_emulator.add("vllm-0")).url
    async with http.post(f"{url}/v1/completions", json=completion(max_tokens=3900, stream=True)) as answer:
        await answer.content.readline()
    while await scrape(http, url, "vllm:num_requests_running"):
        await asyncio.sleep(0.001)
    text = await exposition(http, url)
    aborted = f'vllm:request_success_total{{engine="0",finished_reason="abort",model_name="{MODEL}"}} 1.0'
    assert aborted in text
    assert await scrape(http, url, "vllm:generation_tokens_total") < 3900


class TestEnding:
    """As observed of vLLM 0.32: it drains, or it closes at once; either way the status is 200."""

    async def test_draining_it_finishes_what_runs_and_then_is_gone(self, http, emulator):
        url = (await emulator.add("vllm-0")).url
        body = completion(max_tokens=2000, stream=True)
        running = asyncio.create_task(events(http, f"{url}/v1/completions", body))
        await in_flight(emulator, 1)
        await emulator.remove("vllm-0")
        assert (await running)[-1]["choices"][0]["finish_reason"] == "length"
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(http, f"{url}/v1/completions", completion())
        assert emulator.pods == []

    async def test_draining_it_aborts_whatever_comes_with_health_and_metrics_up(self, http, slow_emulator):
        """What runs takes 39 s, or ends when its client leaves."""
        url = (await slow_emulator.add("vllm-0")).url
        running = asyncio.create_task(post(http, f"{url}/v1/completions", completion(max_tokens=3900)))
        await in_flight(slow_emulator, 1)
        removing = asyncio.create_task(slow_emulator.remove("vllm-0"))
        while not slow_emulator.pods[0].draining:
            await asyncio.sleep(0)
        for path, new in (("completions", completion()), ("chat/completions", chat())):
            status, answer = await post(http, f"{url}/v1/{path}", new)
            (choice,) = answer["choices"]
            assert (status, choice["finish_reason"]) == (200, "abort")
            assert answer["usage"]["completion_tokens"] == 0
            pieces = await events(http, f"{url}/v1/{path}", new | {"stream": True})
            assert [piece["choices"][0]["finish_reason"] for piece in pieces][-1] == "abort"
        for path in ("/health", "/v1/models", "/metrics"):
            async with http.get(url + path) as got:
                assert got.status == 200, path
        text = await exposition(http, url)
        assert (aborted(text), value(text, "vllm:num_requests_running")) == (4, 1)
        assert not removing.done()
        running.cancel()
        await removing
        assert slow_emulator.pods == []

    async def test_without_time_it_aborts_what_runs_after_the_tokens_that_it_has(self, http, slow_emulator):
        """64 run, 6 wait; a stream and whole answers."""
        slow_emulator.shutdown_timeout_s = 0.0
        url = (await slow_emulator.add("vllm-0")).url
        body = completion(prompt=[1], max_tokens=3900)
        whole = [asyncio.create_task(post(http, f"{url}/v1/completions", body)) for _ in range(69)]
        await in_flight(slow_emulator, 69)
        streamed = asyncio.create_task(events(http, f"{url}/v1/completions", body | {"stream": True}))
        await in_flight(slow_emulator, 70)
        while not slow_emulator.pods[0].serving.replica.tokens_generated_until(slow_emulator.clock.now()):
            await asyncio.sleep(0.001)
        await slow_emulator.remove("vllm-0")
        answers = [answer for _, answer in await asyncio.gather(*whole)]
        reasons = {answer["choices"][0]["finish_reason"] for answer in answers}
        tokens = [answer["usage"]["completion_tokens"] for answer in answers]
        assert reasons == {"abort"}
        assert 0 < max(tokens) < 3900
        assert min(tokens) == 0
        assert (await streamed)[-1]["choices"][0]["finish_reason"] == "abort"

    async def test_killed_it_breaks_its_connections(self, http, slow_emulator):
        url = (await slow_emulator.add("vllm-0")).url
        running = asyncio.create_task(post(http, f"{url}/v1/completions", completion(max_tokens=3900)))
        await in_flight(slow_emulator, 1)
        await slow_emulator.kill("vllm-0")
        with pytest.raises(aiohttp.ClientConnectionError):
            await running
        assert slow_emulator.pods == []


async def in_flight(emulator, requests: int) -> None:
    while emulator.pods[0].serving.in_flight < requests:
        await asyncio.sleep(0.001)


def aborted(text: str) -> float:
    lines = [line for line in text.splitlines() if 'finished_reason="abort"' in line and "_total{" in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def test_ten_pods_answer_for_themselves(http, emulator):
    urls = [(await emulator.add(f"vllm-{number}")).url for number in range(10)]
    for number, url in enumerate(urls):
        await asyncio.gather(*[post(http, f"{url}/v1/completions", completion()) for _ in range(number)])
    counts = [await scrape(http, url, "vllm:request_success_total") for url in urls]
    assert counts == list(range(10))
