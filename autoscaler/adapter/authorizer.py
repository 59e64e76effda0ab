"""Authentication and authorization of a request: a user, or a refusal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from autoscaler.adapter.authentication import (
    ANONYMOUS,
    Certificate,
    Headers,
    UnauthorizedError,
    authenticated,
    bearer_token,
    from_certificate,
    from_headers,
    read_certificate,
)
from autoscaler.adapter.requests import HEALTH
from autoscaler.adapter.ttl_cache import TtlCache
from autoscaler.errors import ClusterError
from autoscaler.ports.identity import Access, AuthenticationConfig, AuthenticationConfigSource, Reviews, User

CACHE_SECONDS = 10.0
"""As in Go's delegated authentication and authorization, for yes and for no."""
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0
MASTERS = "system:masters"

T = TypeVar("T")


class ForbiddenError(Exception):
    """The user may not do this."""


@dataclass(frozen=True, slots=True)
class _Seen:
    trust: AuthenticationConfig
    certificate: Certificate


class Authorizer:
    """Authenticates and authorizes as Kubernetes' own extended API servers do; denies by default."""

    def __init__(
        self,
        reviews: Reviews,
        trust: AuthenticationConfigSource,
        clock: Callable[[], float] = time.monotonic,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._reviews = reviews
        self._trust = trust
        self._first_pause_seconds = first_pause_seconds
        self._token_users = TtlCache(self._review_token, CACHE_SECONDS, clock)
        self._rights = TtlCache(self._review_access, CACHE_SECONDS, clock)
        self._certificates: dict[bytes, _Seen] = {}

    async def authorize(self, headers: Headers, chain: Sequence[bytes], access: Access) -> User:
        """The user of a request, who may do what ``access`` says.

        ``chain``: the client's certificate and those above it as TLS has verified them, DER; empty
        without one.

        Raises:
            UnauthorizedError: the request has no valid identity.
            ForbiddenError: the user may not.
            ClusterError: Kubernetes could not be asked.
        """
        if access.path in HEALTH or access.path.startswith(tuple(f"{path}/" for path in HEALTH)):
            return ANONYMOUS
        user = authenticated(await self._user(headers, chain))
        if MASTERS in user.groups:
            return user
        if await self._rights((user, access)):
            return user
        if user == ANONYMOUS:
            raise UnauthorizedError("no identity was given")
        raise ForbiddenError(_refusal(user, access))

    async def _user(self, headers: Headers, chain: Sequence[bytes]) -> User:
        if chain:
            trust = self._trust.trust()
            certificate = self._certificate(chain, trust)
            user = from_headers(certificate, headers, trust) or from_certificate(certificate)
            if user is not None:
                return user
        token = bearer_token(headers)
        if token is not None:
            known = await self._token_users(token)
            if known is None:
                raise UnauthorizedError("the bearer token is not valid")
            return known
        if chain:
            raise UnauthorizedError("the client certificate identifies no trusted user")
        return ANONYMOUS

    def _certificate(self, chain: Sequence[bytes], trust: AuthenticationConfig) -> Certificate:
        key = sha256(b"".join(chain)).digest()
        seen = self._certificates.get(key)
        if seen is None or seen.trust is not trust:
            if len(self._certificates) > 1024:
                self._certificates.clear()
            seen = self._certificates[key] = _Seen(trust, read_certificate(chain, trust))
        if seen.certificate.expires < time.time():
            raise UnauthorizedError("the client certificate has expired")
        return seen.certificate

    async def _review_token(self, token: str) -> User | None:
        return await self._patiently(lambda: self._reviews.authenticate(token))

    async def _review_access(self, question: tuple[User, Access]) -> bool:
        return await self._patiently(lambda: self._reviews.authorize(*question))

    async def _patiently(self, call: Callable[[], T]) -> T:
        """The answer of a review, tried a few times as Go does.

        Raises:
            ClusterError: there was none, or not in time.
        """
        pause = self._first_pause_seconds
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for _ in range(ATTEMPTS - 1):
                    with suppress(ClusterError):
                        return await asyncio.to_thread(call)
                    await asyncio.sleep(pause)
                    pause *= 1.5
                return await asyncio.to_thread(call)
        except TimeoutError:
            raise ClusterError("a review took too long") from None


def _refusal(user: User, access: Access) -> str:
    """In the words of Kubernetes' own refusals."""
    name = f'User "{user.name}" cannot {access.verb}'
    if access.path:
        return f'{name} path "{access.path}"'
    resource = f"{access.resource}/{access.subresource}" if access.subresource else access.resource
    return f'{name} resource "{resource}" in API group "{access.group}" in the namespace "{access.namespace}"'
