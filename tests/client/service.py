"""A proxy that pins connections, as a Service of Kubernetes does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count


class Service:
    """Each new connection goes to the next of ``ports``, and stays there for as long as it lives."""

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        self._turn = count()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its URL, on a free loopback port."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            port = self.ports[next(self._turn) % len(self.ports)]
            there, here = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, here), _copy(there, writer))
        writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Until one side has ended, which ends the other."""
    with suppress(OSError):
        while data := await source.read(2**16):
            sink.write(data)
            await sink.drain()
    sink.close()
