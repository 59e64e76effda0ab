"""Connections to one server that are kept open, until the server turns out to be unavailable.

Behind a Service an open connection stays with its pod for as long as it lives, also while that pod ends
and refuses or aborts whatever it is sent. Only a new connection can reach another one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from autoscaler.errors import ServerError


@dataclass(slots=True, eq=False)
class _Pool:
    session: aiohttp.ClientSession
    requests: int = 0


class Connections:
    """Sessions, one after the other: what meets an unavailable server is the last to begin there."""

    def __init__(self, open_session: Callable[[], aiohttp.ClientSession]) -> None:
        """``open_session``: makes a session that has no connections yet."""
        self._open = open_session
        self._current = _Pool(open_session())

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """The session for one request, whose errors pass through.

        After a ``ServerError`` that is ``unavailable`` no later request uses any connection that is open
        now; those in use are closed when their requests end.
        """
        pool = self._current
        pool.requests += 1
        try:
            yield pool.session
        except ServerError as error:
            if error.unavailable and pool is self._current:
                self._current = _Pool(self._open())
            raise
        finally:
            pool.requests -= 1
            if pool is not self._current and not pool.requests:
                await pool.session.close()

    async def close(self) -> None:
        """Closes what is open for later requests."""
        await self._current.session.close()
