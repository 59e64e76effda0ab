"""The HTTP side of an emulated pod: vLLM's endpoints, their errors and their own metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter, time

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, Summary

from simulator.emulator.families import exposition
from simulator.emulator.openai_requests import Chat, Completion, OpenAiError, read_body
from simulator.emulator.pod import EmulatedPod
from simulator.emulator.replies import CHAT, COMPLETION, Form, Reply

MAX_BODY_BYTES = 64 * 2**20
NOT_COUNTED = ("/metrics", "/health", "/ping", "/version")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pod_app(pod: EmulatedPod) -> web.Application:
    """The application of one pod."""
    routes = _Routes(pod)
    measured = _HttpMetrics(pod.registry)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[measured.middleware, _errors])
    app.add_routes(
        [
            web.post("/v1/completions", routes.completions),
            web.post("/v1/chat/completions", routes.chat),
            web.get("/v1/models", routes.models),
            web.get("/health", routes.health),
            web.get("/ping", routes.health),
            web.post("/ping", routes.health),
            web.get("/metrics", routes.metrics),
        ]
    )
    return app


class _Routes:
    def __init__(self, pod: EmulatedPod) -> None:
        self._pod = pod

    async def health(self, _: web.Request) -> web.Response:
        """200 with an empty body, 503 until the model is loaded."""
        return web.Response(status=200 if self._pod.loaded else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus' text, whatever the client accepts."""
        self._must_be_loaded()
        self._pod.catch_up()
        return exposition(self._pod.registry)

    async def models(self, _: web.Request) -> web.Response:
        """Lists every name of the model."""
        self._must_be_loaded()
        settings = self._pod.settings
        cards = [
            {
                "id": name,
                "object": "model",
                "created": self._pod.created,
                "owned_by": "vllm",
                "root": settings.profile.model,
                "parent": None,
                "max_model_len": settings.max_model_len,
            }
            for name in settings.model_names
        ]
        return web.json_response({"object": "list", "data": cards})

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """``/v1/completions``."""
        return await self._generate(request, Completion, COMPLETION)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """``/v1/chat/completions``."""
        return await self._generate(request, Chat, CHAT)

    async def _generate(
        self, request: web.Request, kind: type[Completion] | type[Chat], form: Form
    ) -> web.StreamResponse:
        self._must_be_loaded()
        body = read_body(kind, await request.read())
        ask = self._pod.model.read(body)
        reply = Reply(form, body.model or self._pod.settings.model_names[0], ask.prompt, int(time()))
        async with self._pod.answering(ask) as answer:
            if not body.stream:
                tokens = await self._pod.tokens_after(answer, ask.output - 1)
                return web.json_response(reply.whole(tokens, answer.reason))
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
            await stream.prepare(request)
            sent, reason = 0, None
            while reason is None:
                tokens = await self._pod.tokens_after(answer, sent)
                reason = answer.reason if tokens == answer.output else None
                opening = b"" if sent else reply.opening()
                await stream.write(opening + reply.piece(sent, tokens, reason, body.stream_options))
                sent = tokens
            await stream.write(reply.closing(sent, body.stream_options))
            return stream

    def _must_be_loaded(self) -> None:
        if not self._pod.loaded:
            raise OpenAiError(503, "ServiceUnavailableError", "The model is still loading.")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except OpenAiError as error:
        return web.json_response(error.body, status=error.status)


class _HttpMetrics:
    """The metrics of the HTTP server itself, with vLLM's names and buckets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by_route = ["handler"]
        self._requests = Counter(
            "http_requests",
            "Requests by method, status and route.",
            ["method", "status", *by_route],
            registry=registry,
        )
        self._request_size = Summary(
            "http_request_size_bytes", "Content-Length of requests.", by_route, registry=registry
        )
        self._response_size = Summary(
            "http_response_size_bytes",
            "Content-Length of responses; 0 for streams.",
            by_route,
            registry=registry,
        )
        self._fine = Histogram(
            "http_request_duration_highr_seconds",
            "Seconds of all requests, in many buckets.",
            buckets=FINE_BUCKETS,
            registry=registry,
        )
        self._coarse = Histogram(
            "http_request_duration_seconds",
            "Seconds of requests, by route.",
            ["method", *by_route],
            buckets=(0.1, 0.5, 1.0),
            registry=registry,
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Counts and times one request."""
        if request.path in NOT_COUNTED:
            return await handler(request)
        started = perf_counter()
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        status, size = 500, 0
        try:
            response = await handler(request)
            status = response.status
            size = response.content_length or 0
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            seconds = perf_counter() - started
            self._requests.labels(request.method, f"{status // 100}xx", route).inc()
            self._request_size.labels(route).observe(request.content_length or 0)
            self._response_size.labels(route).observe(size)
            self._fine.observe(seconds)
            self._coarse.labels(request.method, route).observe(seconds)


FINE_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
    *(7.5, 10.0, 30.0, 60.0),
)
"""Seconds; the buckets of prometheus-fastapi-instrumentator, which vLLM uses."""
