"""The client against a server that fails in every way that servers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from autoscaler.client.endpoint import Endpoint, Piece
from autoscaler.errors import RequestError, ServerError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATH = "/v1/completions"


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Serves a handler for every path; gives its URL."""
    runners = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


def answering(status: int, body: str = "", **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=body, headers=named)

    return handler


def streaming(*lines: str, close: bool = False) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(line.encode() + b"\n\n")
        if close and request.transport is not None:
            request.transport.close()
        return response

    return handler


async def read(url: str) -> list[Piece]:
    async with Endpoint(url, timeout_s=30.0) as endpoint:
        return [piece async for piece in endpoint.stream(PATH, {})]


async def post(url: str, **options) -> dict:
    async with Endpoint(url, **options) as endpoint:
        return await endpoint.post(PATH, {"prompt": "Hi"})


VLLM_ERROR = json.dumps({"error": {"message": "too\nlong", "type": "BadRequestError", "code": 400}})


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (400, VLLM_ERROR, RequestError, "400 Bad Request: too long"),
        (401, "who are you", RequestError, "401 Unauthorized: who are you"),
        (404, '{"message": "gone"}', RequestError, "404 Not Found: gone"),
        (422, '["odd"]', RequestError, "422 Unprocessable Content"),
        (408, "", ServerError, "408"),
        (429, "slow down", ServerError, "429 Too Many Requests: slow down"),
        (500, "", ServerError, "500"),
        (503, '{"error": "loading"}', ServerError, "503 Service Unavailable: loading"),
        (200, "no JSON", ServerError, "no JSON object"),
        (200, "[1]", ServerError, "no JSON object"),
    ],
)
async def test_refusals_stay_and_overloads_pass(serve, status, body, error, says):
    url = await serve(answering(status, body))
    with pytest.raises(error) as caught:
        await post(url)
    assert says in str(caught.value).replace("Unprocessable Entity", "Unprocessable Content")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("", None)],
)
async def test_retry_after_in_seconds(serve, header, seconds):
    url = await serve(answering(503, Retry_After=header))
    with pytest.raises(ServerError) as caught:
        await post(url)
    assert caught.value.retry_after_seconds == seconds


async def test_retry_after_as_a_date(serve):
    url = await serve(
        answering(429, Retry_After=format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    )
    with pytest.raises(ServerError) as caught:
        await post(url)
    assert caught.value.retry_after_seconds == 120, "an hour is too long to wait for"


async def test_nobody_listens():
    with pytest.raises(ServerError, match="cannot reach"):
        await post("http://127.0.0.1:9")  # discard: nobody may listen there without root


@pytest.mark.parametrize("url", ["local host", "localhost:8000", "ftp://localhost"])
async def test_a_url_that_is_none(url):
    with pytest.raises(RequestError, match="is no URL; write it like"):
        await post(url)


async def test_an_answer_that_does_not_come(serve):
    never = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    with pytest.raises(ServerError, match=r"no answer within 0\.05 s"):
        await post(await serve(handler), timeout_s=0.05)


async def test_the_key_is_sent_and_the_url_may_end_in_v1(serve):
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Authorization"), await request.json()))
        return web.json_response({})

    url = await serve(handler)
    assert await post(url + "/v1/", api_key="k") == {}
    assert await post(url) == {}
    assert seen == [(PATH, "Bearer k", {"prompt": "Hi"}), (PATH, None, {"prompt": "Hi"})]


def event(**given) -> str:
    return "data: " + json.dumps({"choices": []} | given)


async def test_a_stream_of_a_completion(serve):
    text = [event(choices=[{"text": "a"}]), ": a comment", event(choices=[{"text": ""}])]
    url = await serve(streaming(*text, event(usage={"completion_tokens": 2}), "data: [DONE]"))
    assert await read(url) == [Piece(True, None), Piece(True, None), Piece(False, 2)]


async def test_the_opening_of_a_chat_is_no_token(serve):
    deltas = [{"role": "assistant", "content": ""}, {"content": "a"}, {}]
    url = await serve(streaming(*[event(choices=[{"delta": delta}]) for delta in deltas], "data: [DONE]"))
    assert [piece.output for piece in await read(url)] == [False, True, True]


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (streaming(event(choices=[{"text": "a"}])), "the stream ended before its end was said"),
        (streaming(event(choices=[{"text": "a"}]), close=True), "ClientPayloadError"),
        (streaming("data: {"), "has an event that cannot be read"),
        (streaming('data: {"no": "choices"}'), "has an event that cannot be read"),
        (streaming('data: {"error": {"message": "EngineDead"}}'), "in the stream: EngineDead"),
    ],
)
async def test_a_stream_that_breaks(serve, handler, says):
    with pytest.raises(ServerError, match=says):
        await read(await serve(handler))


@pytest.mark.parametrize("body", ['{"data": []}', "{}", '{"data": [{}]}'])
async def test_a_server_without_models(serve, body):
    async with Endpoint(await serve(answering(200, body))) as endpoint:
        with pytest.raises(ServerError, match="lists no model"):
            await endpoint.model()
