"""The client against a server that fails in every way that servers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from autoscaler.client.completions import Piece
from autoscaler.client.endpoint import Endpoint
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
        (200, "no JSON", ServerError, "not valid JSON"),
        (200, "[1]", ServerError, "JSON that is not an object"),
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
    with pytest.raises(RequestError, match="is not a URL; write it like"):
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


def choice(reason: str | None = None, index: int = 0, **said) -> dict:
    return {"index": index, "finish_reason": reason} | said


def answer(*choices: dict, **given) -> str:
    return json.dumps({"choices": choices} | given)


def event(*choices: dict, **given) -> str:
    return "data: " + answer(*choices, **given)


WHOLE = answer(choice("stop", text="a"))
CODE_400 = json.dumps({"error": {"message": "too long", "code": 400}})
OLD_ERROR = json.dumps({"object": "error", "message": "engine is dead", "code": 500})


class TestStatus200ThatIsNoAnswer:
    """A server says 200 before it knows how the answer ends."""

    @pytest.mark.parametrize(
        ("body", "kind", "says"),
        [
            (answer(choice("abort", text="")), "aborted", "finish_reason abort"),
            (answer(choice("abort", text="a b c")), "aborted", "finish_reason abort"),
            (answer(choice("stop"), choice("abort", 1)), "aborted", "finish_reason abort"),
            (answer(choice("cancelled")), "aborted", "finish_reason cancelled"),
            (answer(choice("error")), "failed", "finish_reason error"),
            ('{"error": {"message": "engine is dead", "code": 500}}', "failed", "engine is dead"),
            ('{"error": {"message": "full", "code": "503"}}', "refused", "200 with an error: full"),
            ('{"error": {"message": "odd", "code": "model_gone"}}', "failed", "200 with an error: odd"),
            ('{"error": "odd"}', "failed", "200 with an error: odd"),
            (OLD_ERROR, "failed", "200 with an error: engine is dead"),
            ("", "broken", "an empty body"),
            (WHOLE[:-5], "broken", "not valid JSON"),
            ('{"choices": [5]}', "broken", "choices that cannot be read"),
        ],
    )
    async def test_whole(self, serve, body, kind, says):
        with pytest.raises(ServerError, match=says) as caught:
            await post(await serve(answering(200, body)))
        assert caught.value.kind == kind

    @pytest.mark.parametrize(
        ("lines", "kind", "says"),
        [
            ([event(choice(text="a")), event(choice("abort", text=""))], "aborted", "finish_reason abort"),
            ([event(choice("abort", text="a")), "data: [DONE]"], "aborted", "finish_reason abort"),
            ([event(choice(text="a")), "data: [DONE]"], "broken", "without a finish_reason"),
            (
                [event(choice("stop"), choice(index=1)), "data: [DONE]"],
                "broken",
                "without a finish_reason",
            ),
            (["data: [DONE]"], "broken", "without a finish_reason"),
            ([], "broken", r"ended before \[DONE\]"),
            ([event(choice("stop", text="a"))], "broken", r"ended before \[DONE\]"),
            (["data: {"], "broken", "an event that cannot be read"),
            (["data: " + "x" * 3_000_000], "broken", "an event that is too long"),
            (["data: [1]"], "broken", "an event that cannot be read"),
            (['data: {"no": "choices"}'], "broken", "an event that cannot be read"),
            (['data: {"error": {"message": "EngineDead"}}'], "failed", "200 with an error: EngineDead"),
            (["data: " + OLD_ERROR], "failed", "200 with an error: engine is dead"),
        ],
    )
    async def test_streamed(self, serve, lines, kind, says):
        with pytest.raises(ServerError, match=says) as caught:
            await read(await serve(streaming(*lines)))
        assert caught.value.kind == kind

    async def test_a_connection_that_is_closed_in_the_middle(self, serve):
        for handler, fetch in (
            (streaming(event(choice(text="a")), close=True), read),
            (streaming(WHOLE[:9], close=True), post),
        ):
            with pytest.raises(ServerError, match="ClientPayloadError") as caught:
                await fetch(await serve(handler))
            assert caught.value.kind == "broken"

    async def test_an_error_whose_code_refuses_the_request_is_refused(self, serve):
        for fetch, handler in (
            (post, answering(200, CODE_400)),
            (read, streaming("data: " + CODE_400)),
        ):
            with pytest.raises(RequestError, match="200 with an error: too long") as caught:
                await fetch(await serve(handler))
            assert caught.value.status == 400

    async def test_no_error_and_no_reason_of_a_whole_answer_are_none(self, serve):
        body = {"choices": [{"text": "a", "finish_reason": None}], "error": None}
        assert await post(await serve(answering(200, json.dumps(body)))) == body


@pytest.mark.parametrize(
    ("kind", "unavailable"),
    [
        *[(kind, True) for kind in ("refused", "unreachable", "aborted")],
        *[(kind, False) for kind in ("timeout", "broken", "failed")],
    ],
)
def test_only_what_says_nothing_about_the_request_is_unavailable(kind, unavailable):
    assert ServerError("", kind=kind).unavailable == unavailable


@pytest.mark.parametrize(
    ("turn", "connections"),
    [(answer(choice("abort", text="")), 4), ("503", 4), (WHOLE, 1), ("500", 1)],
)
async def test_a_connection_to_a_server_that_is_unavailable_is_not_used_again(serve, turn, connections):
    """Behind a Service it would lead to the same pod; an error that only a request has changes nothing."""
    seen = set()

    async def handler(request: web.Request) -> web.Response:
        seen.add(request.transport)
        return web.Response(status=int(turn)) if turn.isdecimal() else web.Response(text=turn)

    async with Endpoint(await serve(handler)) as endpoint:
        for _ in range(4):
            with suppress(ServerError):
                await endpoint.post(PATH, {})
    assert len(seen) == connections


async def test_after_an_abort_no_idle_connection_is_used_and_those_in_use_end_first(serve):
    """Two connections are idle, two in use; the answer to the fifth request is an abort."""
    turn = asyncio.Event()
    connections: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        connections.append(request.transport)
        asked = (await request.json())["prompt"]
        if asked == "wait":
            await turn.wait()
        return web.Response(text=answer(choice("abort")) if asked == "abort" else WHOLE)

    async with Endpoint(await serve(handler)) as endpoint:
        waiting = [asyncio.create_task(endpoint.post(PATH, {"prompt": "wait"})) for _ in range(2)]
        while len(connections) < 2:
            await asyncio.sleep(0)
        await asyncio.gather(*[endpoint.post(PATH, {"prompt": "Hi"}) for _ in range(2)])
        with pytest.raises(ServerError):
            await endpoint.post(PATH, {"prompt": "abort"})
        before = set(connections)
        await endpoint.post(PATH, {"prompt": "Hi"})
        assert (len(before), connections[-1] in before) == (4, False)
        turn.set()
        assert [one["choices"][0]["text"] for one in await asyncio.gather(*waiting)] == ["a", "a"]


async def test_a_stream_of_a_completion(serve):
    text = [event(choice(text="a")), ": a comment", event(choice("stop", text=""))]
    url = await serve(streaming(*text, event(usage={"completion_tokens": 2}), "data: [DONE]"))
    assert await read(url) == [Piece(True, None), Piece(True, None), Piece(False, 2)]


@pytest.mark.parametrize(
    ("delta", "output"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"role": "assistant", "content": None, "reasoning_content": None, "tool_calls": None}, False),
        ({"role": "assistant", "content": "", "tool_calls": []}, False),
        ({"role": None, "content": None}, False),
        ({"content": "a"}, True),
        ({"role": "assistant", "content": "a"}, True),
        ({"role": None, "content": None, "reasoning_content": "w", "tool_calls": None}, True),
        ({"role": "assistant", "content": "", "reasoning": "w"}, True),
        ({"reasoning": "w"}, True),
        ({"role": "assistant", "tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, True),
        ({"content": ""}, True),  # a token may have no text yet
        ({}, True),
    ],
)
async def test_which_parts_of_a_chat_are_tokens(serve, delta, output):
    lines = [event(choice(delta=delta)), event(choice("stop", delta={})), "data: [DONE]"]
    first, _ = await read(await serve(streaming(*lines)))
    assert first.output == output


@pytest.mark.parametrize("body", ['{"data": []}', "{}", '{"data": [{}]}'])
async def test_a_server_without_models(serve, body):
    async with Endpoint(await serve(answering(200, body))) as endpoint:
        with pytest.raises(ServerError, match="lists no model"):
            await endpoint.model()
