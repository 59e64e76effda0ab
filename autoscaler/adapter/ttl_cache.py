"""Answers that may be reused for a while, and are asked for once at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """The results of ``ask`` by key, for ``seconds`` and for at most ``size`` keys.

    Keys are kept as digests of their ``repr``, which must distinguish them: clients choose them,
    long ones too, and some are secrets. Several who want the same key at once wait for one call. An
    exception is not kept: it is raised in the calls that waited for it.

    Not async-lru 2.4.0: it takes no clock, and ends a call when the last who waited leaves (ADR 0023).
    """

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V]],
        seconds: float,
        clock: Callable[[], float],
        size: int = 4096,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._size = size
        self._known: OrderedDict[bytes, tuple[float, V]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[V]] = {}

    async def __call__(self, key: K) -> V:
        """The cached result, or else a new one from ``ask``."""
        digest = sha256(repr(key).encode()).digest()
        found = self._known.get(digest)
        if found is not None and self._clock() - found[0] < self._seconds:
            return found[1]
        task = self._asking.get(digest)
        if task is None:
            task = asyncio.ensure_future(self._find_out(key, digest))
            self._asking[digest] = task
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(task)

    async def _find_out(self, key: K, digest: bytes) -> V:
        value = await self._ask(key)
        self._known[digest] = (self._clock(), value)
        self._known.move_to_end(digest)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return value
