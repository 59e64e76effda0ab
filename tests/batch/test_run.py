"""Runs of a batch against an emulated vLLM, and against a server that fails as told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from aiohttp import web

from autoscaler.batch.congestion import CongestionWindow
from autoscaler.batch.journal import Journal
from autoscaler.batch.request_builder import BatchRequest
from autoscaler.batch.results import RowResult
from autoscaler.batch.runner import BatchRun, find_model
from autoscaler.client.endpoint import Endpoint
from autoscaler.errors import InputError, RequestError, ServerError
from simulator.emulator.emulator import Emulator
from simulator.emulator.pod import EmulatorClock, PodSettings
from simulator.startup.plan import StartupModel
from tests.simulator.profiles import make_profile


def make_window(most: int = 64) -> CongestionWindow:
    """Pauses of milliseconds, so that a test needs no seconds for them."""
    return CongestionWindow(most, Random(0), shortest_pause_s=0.005, longest_pause_s=0.05)


def asks(count: int) -> list[BatchRequest]:
    return [
        BatchRequest(row, f"id-{row}", "/v1/completions", body(row), f"key-{row}") for row in range(count)
    ]


def body(row: int) -> dict:
    """Its ``user`` tells a server which row it is."""
    return {"prompt": [1, 2, 3], "max_tokens": 20, "ignore_eos": True, "user": str(row)}


@dataclass
class Server:
    """Answers every row; with a status from ``planned`` (by row) as long as there are any.

    Status 0 closes the connection; a text is the body of an answer with status 200.
    """

    planned: dict[int, list[int | str]] = field(default_factory=dict)
    retry_after: str | None = None
    at_once: int = 1000
    seen: Counter[int] = field(default_factory=Counter)
    models: list[str] = field(default_factory=list)
    in_flight: int = 0
    most: int = 0
    refused: int = 0

    async def post(self, request: web.Request) -> web.Response:
        body = await request.json()
        row = int(body["user"])
        self.seen[row] += 1
        self.models.append(body["model"])
        if self.in_flight >= self.at_once:
            self.refused += 1
            return web.Response(status=429, headers={"Retry-After": "0.01"})
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0.002)
        self.in_flight -= 1
        if self.planned.get(row):
            status = self.planned[row].pop(0)
            if status == 0:
                assert request.transport is not None
                request.transport.close()
                return web.Response()
            if isinstance(status, str):
                return web.Response(text=status, content_type="application/json")
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            return web.Response(status=status, text=f"row {row}", headers=headers)
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        return web.json_response(
            {"choices": [{"text": f"said {row}", "finish_reason": "stop"}], "usage": usage}
        )


@pytest.fixture
async def start(tmp_path) -> AsyncIterator[Callable]:
    """Serves a ``Server``; gives a function that runs a batch against it and gives its results."""
    runners = []

    async def serve(server: Server):
        app = web.Application()
        app.router.add_post("/v1/completions", server.post)
        runners.append(web.AppRunner(app, shutdown_timeout=0.01))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runners[-1].addresses[0][1]}"
        return lambda count, **options: batch(url, tmp_path / "out.jsonl", count, **options)

    yield serve
    for runner in runners:
        await runner.cleanup()


def aborted(tokens: int) -> str:
    choice = {"text": "x " * tokens, "finish_reason": "abort"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": tokens}})


async def batch(
    url, path, count, *, attempts=3, patience_s=30.0, most=64, window=None, on_result=None, on_wait=None
) -> list[RowResult]:
    """The results in the file after one run."""
    with Journal(path) as journal:
        async with Endpoint(url, timeout_s=20.0) as endpoint:
            run = BatchRun(endpoint, journal, window or make_window(most), "m", attempts, patience_s)
            if on_result is not None:
                run.on_result = on_result
            if on_wait is not None:
                run.on_wait = on_wait
            await run.run(asks(count))
        return sorted(journal.results(), key=lambda result: result.row)


class TestAServerThatFails:
    async def test_every_row_has_its_own_answer_once(self, start):
        server = Server()
        run = await start(server)
        results = await run(200)
        assert [(r.row, r.id, r.output) for r in results] == [(n, f"id-{n}", f"said {n}") for n in range(200)]
        assert set(server.seen.values()) == {1}
        assert set(server.models) == {"m"}
        body = {
            "choices": [{"text": "said 0", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
        response = {"status_code": 200, "request_id": None, "body": body}
        assert results[0] == RowResult(0, "id-0", "key-0", "said 0", "stop", 3, 1, 1, None, response)

    async def test_a_second_run_sends_nothing(self, start):
        server = Server()
        run = await start(server)
        first = await run(20)
        assert await run(20) == first
        assert server.seen.total() == 20

    async def test_more_rows_are_added_to_what_is_there(self, start):
        server = Server()
        run = await start(server)
        await run(10)
        assert [result.row for result in await run(15)] == list(range(15))
        assert set(server.seen.values()) == {1}

    @pytest.mark.parametrize("status", [500, 502, 504, 408, 0])
    async def test_a_failure_is_tried_again(self, start, status):
        server = Server({3: [status, status]})
        run = await start(server)
        results = await run(10)
        assert (results[3].attempts, results[3].error, results[3].output) == (3, None, "said 3")
        assert server.seen[3] == 3

    @pytest.mark.parametrize("tokens", [0, 5])
    async def test_an_aborted_answer_is_none_and_costs_no_attempt(self, start, tokens):
        """A vLLM that ends says 200; the row is sent until it is answered, and stands there once."""
        server = Server({row: [aborted(tokens)] * 5 for row in (3, 4)})
        run = await start(server)
        results = await run(10)
        assert [result.row for result in results] == list(range(10))
        assert [(r.attempts, r.output, r.finish_reason) for r in results[3:5]] == [
            (1, "said 3", "stop"),
            (1, "said 4", "stop"),
        ]
        assert (server.seen[3], server.seen[4]) == (6, 6)

    async def test_a_server_that_aborts_everything_is_not_there(self, start, tmp_path):
        run = await start(Server({row: [aborted(0)] * 1000 for row in range(5)}))
        with pytest.raises(ServerError, match=r"the last was: the answer is not complete"):
            await run(5, patience_s=0.05)
        assert not (tmp_path / "out.jsonl").exists()

    async def test_aborts_shrink_the_window(self, start):
        server = Server({row: [aborted(0)] for row in range(20, 24)})
        run = await start(server)
        window = make_window()
        await run(24, window=window)
        assert window.limit < 20

    @pytest.mark.parametrize(
        "body",
        [
            "",
            '{"choices": [{"te',
            '{"error": {"message": "engine is dead", "code": 500}}',
            '{"choices": [{"text": "", "finish_reason": "error"}]}',
        ],
    )
    async def test_a_200_that_is_no_answer_is_a_failure(self, start, body):
        server = Server({3: [body] * 2, 4: [body] * 3})
        run = await start(server)
        results = await run(10)
        assert (results[3].attempts, results[3].error, results[3].output) == (3, None, "said 3")
        assert (results[4].attempts, results[4].output) == (3, None)
        assert results[4].error

    async def test_after_its_attempts_a_row_is_an_error_and_the_others_go_on(self, start):
        server = Server({3: [500] * 100, 7: [0] * 100})
        run = await start(server)
        results = await run(50)
        assert [result.row for result in results if result.error] == [3, 7]
        assert results[3].error == "500 Internal Server Error: row 3"
        assert (results[3].attempts, server.seen[3], server.seen[7]) == (3, 3, 3)

    async def test_a_refused_row_is_an_error_at_once(self, start):
        server = Server({3: [400], 4: [422]})
        run = await start(server)
        results = await run(10)
        assert [result.error for result in results[3:5]] == ["400 Bad Request: row 3", results[4].error]
        assert (server.seen[3], server.seen[4], results[4].attempts) == (1, 1, 1)

    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_a_wrong_key_or_model_stops_the_run_instead_of_making_errors(self, start, tmp_path, status):
        server = Server({row: [status] for row in range(100)})
        run = await start(server)
        with pytest.raises(RequestError, match=str(status)):
            await run(100)
        assert not (tmp_path / "out.jsonl").exists()
        assert server.seen.total() < 10

    async def test_an_overload_costs_no_attempts(self, start):
        server = Server({3: [429, 503] * 5}, retry_after="0.001")
        run = await start(server)
        results = await run(10)
        assert (results[3].attempts, results[3].output) == (1, "said 3")
        assert server.seen[3] == 11

    async def test_the_window_finds_what_a_server_takes(self, start):
        """It takes 8 at once: rows are refused only while the window is searching."""
        server = Server(at_once=8)
        run = await start(server)
        results = await run(400)
        assert all(result.output for result in results)
        assert server.most == 8
        assert server.refused < 100

    async def test_no_more_than_the_concurrency_are_in_flight(self, start):
        server = Server()
        run = await start(server)
        await run(200, most=5)
        assert server.most <= 5

    async def test_an_answer_that_is_none_is_an_error(self, start):
        server = Server()

        async def odd(_: web.Request) -> web.Response:
            return web.json_response({"choices": []})

        server.post = odd
        run = await start(server)
        (result,) = await run(1)
        assert (result.output, result.error) == (None, "the answer has none of choices, data, results")
        assert result.response["body"] == {"choices": []}

    async def test_patience_ends_with_nobody_there_and_rows_are_no_errors(self, tmp_path):
        path = tmp_path / "out.jsonl"
        with pytest.raises(ServerError, match=r"no answer for 0\.05 s, the last was: cannot reach http"):
            await batch("http://127.0.0.1:9", path, 5, patience_s=0.05)
        assert not path.exists()

    @pytest.mark.parametrize(("planned", "told"), [({0: [429, 503]}, 1), ({1: [429, 503]}, 0)])
    async def test_a_server_that_is_not_there_at_first_is_told_once(self, start, planned, told):
        """Afterwards a server that is full for a while is nothing to tell."""
        heard: list[ServerError] = []
        run = await start(Server(planned))
        await run(2, most=1, on_wait=heard.append)
        assert len(heard) == told

    async def test_a_journal_of_another_input_is_refused(self, start, tmp_path):
        run = await start(Server())
        with Journal(tmp_path / "out.jsonl") as journal:
            journal.append(RowResult(2, "id-2", "another", "x", "stop", 1, 1, 1, None))
        with pytest.raises(InputError, match="row 2 was asked something else"):
            await run(5)

    async def test_cancelled_it_goes_on_later(self, start, tmp_path):
        """The run is cut off in the middle, as by Ctrl-C; in the end every row stands there once."""
        server = Server()
        run = await start(server)
        seen = []
        first = asyncio.create_task(run(100, most=8, on_result=seen.append))
        while len(seen) < 30:
            await asyncio.sleep(0.001)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        results = await run(100)
        assert [result.row for result in results] == list(range(100))
        rows = [json.loads(line)["row"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert sorted(rows) == list(range(100))
        assert server.seen.total() <= 100 + 8


ANSWERS = {
    "a tool call": (
        "/v1/chat/completions",
        {
            "choices": [
                {"message": {"content": None, "tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}
            ]
        },
        None,
    ),
    "reasoning alone": (
        "/v1/chat/completions",
        {"choices": [{"message": {"content": None, "reasoning": "w"}, "finish_reason": "length"}]},
        None,
    ),
    "text in parts": ("/v1/chat/completions", {"choices": [{"message": {"content": [{"text": "a"}]}}]}, None),
    "two choices": ("/v1/completions", {"choices": [{"text": "a"}, {"index": 1, "text": "b"}]}, "a"),
    "an embedding": ("/v1/embeddings", {"data": [{"embedding": [0.1, 0.2]}], "usage": None}, None),
    "a ranking": ("/v1/rerank", {"results": [{"index": 0, "relevance_score": 0.5}]}, None),
}


@pytest.mark.parametrize(("path", "body", "output"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_kept_whole(tmp_path, path, body, output):
    """As in OpenAI's batch files; the text of the first choice, if it has one, is a column, too."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"id": "x-1"} | body)

    app = web.Application()
    app.router.add_post(path, answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with Journal(tmp_path / "out.jsonl") as journal:
        async with Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}") as endpoint:
            await BatchRun(endpoint, journal, make_window(), "m", 3, 30.0).run(
                [BatchRequest(0, "a", path, {}, "key")]
            )
    await runner.cleanup()
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert (line["custom_id"], line["error"], line["output"]) == ("a", None, output)
    assert line["response"] == {"status_code": 200, "request_id": "x-1", "body": {"id": "x-1"} | body}


class TestAnEmulatedVllm:
    @pytest.fixture
    async def emulator(self) -> AsyncIterator[Emulator]:
        settings = PodSettings(make_profile(max_model_len_tokens=2000), ("m",))
        found = Emulator(settings, StartupModel(name="0"), EmulatorClock(speed=20.0))
        yield found
        await found.close()

    async def test_it_waits_for_a_model_that_is_loading(self, emulator, tmp_path):
        listener = await emulator.add("vllm-0")
        emulator.pods[0].loaded_at = emulator.clock.now() + 5.0
        async with Endpoint(listener.url) as endpoint:
            assert await find_model(endpoint, make_window(), 30.0) == "m"
        results = await batch(listener.url, tmp_path / "out.jsonl", 50)
        assert [result.completion_tokens for result in results] == [20] * 50

    async def test_a_server_that_never_comes_ends_the_search_for_its_model(self):
        async with Endpoint("http://127.0.0.1:9") as endpoint:
            told: list[ServerError] = []
            with pytest.raises(ServerError):
                await find_model(endpoint, make_window(), 0.05, told.append)
        assert [str(error)[:36] for error in told] == ["cannot reach http://127.0.0.1:9: Con"]

    async def test_a_server_that_is_killed_and_comes_back_costs_no_row(self, emulator, tmp_path):
        """What was in flight is sent again, what was done stays, and rows wait while nobody is there."""
        port = (await emulator.add("vllm-0")).port
        url = f"http://127.0.0.1:{port}"
        seen: list[RowResult] = []
        options = {"attempts": 10, "most": 32, "on_result": seen.append}
        running = asyncio.create_task(batch(url, tmp_path / "out.jsonl", 300, **options))
        for reached in (50, 120, 200):
            while len(seen) < reached:
                await asyncio.sleep(0.001)
            await emulator.kill("vllm-0")
            await asyncio.sleep(0.05)
            await emulator.add("vllm-0", port)
        results = await running
        assert [result.row for result in results] == list(range(300))
        assert all(result.error is None for result in results)
