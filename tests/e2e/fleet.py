"""Emulated vLLM servers for the pods of a cluster, and clients that keep them busy."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from itertools import count
from threading import Thread
from typing import Any, Self

import aiohttp

from simulator.emulator.emulator import Emulator
from simulator.emulator.pod import EmulatorClock, PodSettings
from simulator.startup.choices import load_startup
from simulator.vllm.profile import load_profile
from tests.servers.api import JSON

TOKENS = 40


class Fleet:
    """Serves any number of pods, in an event loop and a thread of its own.

    ``busy`` requests are under way at any time while a pod is there: who gets an answer asks again,
    another pod each time. So the requests of all pods add up to ``busy``.
    """

    def __init__(self, profile: str = "gemma2-9b-h100") -> None:
        self.answered = 0
        self._profile = load_profile(profile)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._urls: dict[str, str] = {}
        self._clients: set[asyncio.Task[None]] = set()
        self._turn = count()

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._begin())
        return self

    async def _begin(self) -> None:
        settings = PodSettings(self._profile, (self._profile.model,))
        self._emulator = Emulator(settings, load_startup("0"), EmulatorClock())
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))

    def __exit__(self, *error: object) -> None:
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        await self._keep(0)
        await self._session.close()
        await self._emulator.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        waiting: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return waiting.result(30)

    def __call__(self, pod: JSON) -> EmulatedPod:
        """An endpoint for a pod that has got ready."""
        name = pod["metadata"]["name"]
        self._urls[name] = url = self._wait(self._emulator.add(name)).url
        return EmulatedPod(self, name, url.removeprefix("http://"))

    def remove(self, name: str) -> None:
        """The pod is gone, and its requests with it; their clients ask others."""
        del self._urls[name]
        self._wait(self._emulator.remove(name))

    def export_gpus(self, namespace: str) -> str:
        """The address of an exporter of all pods' GPUs, which names them as of that namespace."""
        listener = self._wait(self._emulator.export_gpus(namespace, "pod"))
        return listener.url.removeprefix("http://")

    def keep(self, busy: int) -> None:
        """From now on so many requests are under way."""
        self._wait(self._keep(busy))

    async def _keep(self, busy: int) -> None:
        while len(self._clients) < busy:
            self._clients.add(asyncio.create_task(self._client()))
        surplus = [self._clients.pop() for _ in range(len(self._clients) - busy)]
        for task in surplus:
            task.cancel()
        await asyncio.gather(*surplus, return_exceptions=True)

    async def _client(self) -> None:
        body = {"model": self._profile.model, "prompt": "w " * 50, "max_tokens": TOKENS, "ignore_eos": True}
        while True:
            urls = list(self._urls.values())
            try:
                if urls:
                    url = urls[next(self._turn) % len(urls)]
                    async with self._session.post(f"{url}/v1/completions", json=body) as answer:
                        await answer.read()
                        self.answered += 1
                        continue
            except aiohttp.ClientError:
                pass  # the pod went
            await asyncio.sleep(0.1)


class EmulatedPod:
    """One pod's endpoint."""

    def __init__(self, fleet: Fleet, name: str, address: str) -> None:
        self.address = address
        self._fleet = fleet
        self._name = name

    def close(self) -> None:
        """The pod is gone."""
        self._fleet.remove(self._name)
