"""Clients of the adapter: their identity, their rights, and the authorities that vouch for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user, in the attributes that Kubernetes authorizes by."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """The access that a user asks for: to a resource, or to a plain ``path``."""

    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""


class Reviews(Protocol):
    """Kubernetes' own judgement of tokens and of rights."""

    def authenticate(self, token: str) -> User | None:
        """The user of a token (TokenReview), None where it is not valid.

        Raises:
            ClusterError: the review failed.
        """

    def authorize(self, user: User, access: Access) -> bool:
        """True if the user has the access (SubjectAccessReview).

        Raises:
            ClusterError: the review failed.
        """


@dataclass(frozen=True, slots=True)
class AuthenticationConfig:
    """The authorities that an extended API server trusts: ``kube-system/extension-apiserver-authentication``.

    The certificate authorities are PEM bundles, empty where there are none. Without
    ``allowed_names`` any certificate of ``requestheader_ca`` speaks for others.
    """

    client_ca: str = ""
    requestheader_ca: str = ""
    allowed_names: tuple[str, ...] = ()
    username_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()


class AuthenticationConfigSource(Protocol):
    """Where the trust comes from, as it is now: authorities rotate."""

    def trust(self) -> AuthenticationConfig:
        """From a watched cache; the same object as long as nothing changed.

        Raises:
            ClusterError: it was never read.
        """
