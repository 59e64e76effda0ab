"""Emulated pods that listen, each on a port of its own, and the exporter of their GPUs."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass

from aiohttp import web

from simulator.emulator.gpu_exporter import GpuCollector, LabelLayout, gpu_app
from simulator.emulator.pod import EmulatedPod, EmulatorClock, PodSettings
from simulator.emulator.routes import pod_app
from simulator.startup.plan import StartupModel, profile_model

_FLUSH_S = 5.0  # for a client to read the end of an answer
_AT_ONCE_S = 0.001  # aiohttp takes 0 for "no limit"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening server; its ``url`` has no slash at the end."""

    host: str
    port: int
    runner: web.AppRunner

    @property
    def url(self) -> str:
        """The address for clients."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Emulator:
    """Any number of pods in one event loop; add and remove them at any time.

    ``shutdown_timeout_s``: real seconds that the requests of a removed pod get, as vLLM's option of that
    name; requests that have not ended by then are aborted.
    """

    def __init__(
        self,
        settings: PodSettings,
        startup: StartupModel,
        clock: EmulatorClock,
        host: str = "127.0.0.1",
        shutdown_timeout_s: float = 0.0,
    ) -> None:
        self.clock = clock
        self.pods: list[EmulatedPod] = []
        self._settings = settings
        self._startup = startup
        self._host = host
        self.shutdown_timeout_s = shutdown_timeout_s
        self._listeners: dict[str, Listener] = {}
        self._exporter: Listener | None = None
        self._ordered = 0

    async def add(self, name: str, port: int = 0) -> Listener:
        """Starts a pod; it answers when its start-up is over. ``port`` 0: a free one.

        Raises:
            OSError: the port is taken.
        """
        start = self._startup.draw(profile_model(self._settings.profile), 0, self._ordered)
        self._ordered += 1
        pod = EmulatedPod(self._settings, name, self.clock, start.total_s)
        listener = self._listeners[name] = await self._listen(pod_app(pod), port)
        self.pods.append(pod)
        return listener

    async def remove(self, name: str) -> None:
        """Ends a pod as SIGTERM ends vLLM; returns when the pod is gone.

        It drains: its port, health and metrics stay, new requests are answered with an abort, and
        requests in flight get ``shutdown_timeout_s``. Then the rest is aborted after the tokens that it
        has, and the port closes.
        """
        listener = self._listeners.pop(name)
        pod = next(pod for pod in self.pods if pod.name == name)
        await pod.drain(self.shutdown_timeout_s)
        await self._forget(pod, listener)

    async def kill(self, name: str) -> None:
        """Ends a pod as SIGKILL does: its connections break, answers in progress too."""
        listener = self._listeners.pop(name)
        for site in tuple(listener.runner.sites):
            await site.stop()
        if listener.runner.server is not None:
            await listener.runner.server.shutdown(_AT_ONCE_S)
        await self._forget(next(pod for pod in self.pods if pod.name == name), listener)

    async def _forget(self, pod: EmulatedPod, listener: Listener) -> None:
        await listener.runner.cleanup()
        self.pods.remove(pod)
        pod.close()

    async def export_gpus(self, namespace: str, layout: LabelLayout, port: int = 0) -> Listener:
        """Starts the exporter of all pods' GPUs; port and error as for ``add``."""
        self._exporter = await self._listen(gpu_app(GpuCollector(self.pods, namespace, layout)), port)
        return self._exporter

    async def close(self) -> None:
        """Removes all pods at once, and the exporter."""
        await gather(*[self.remove(name) for name in tuple(self._listeners)])
        if self._exporter is not None:
            await self._exporter.runner.cleanup()

    async def _listen(self, app: web.Application, port: int) -> Listener:
        # A client that leaves cancels its handler, which aborts its request.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_FLUSH_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        return Listener(self._host, runner.addresses[0][1], runner)
