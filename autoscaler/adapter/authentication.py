"""The user of a request: from the front proxy, a client certificate or a bearer token, or anonymous.

The order and the rules are those of ``apiserver/pkg/authentication``: headers about a user count
only from a certificate of the request-header authority with an allowed name; a client certificate
names its user itself; a token is Kubernetes' to judge. An identity that is offered and not
accepted is an error, never anonymity. TLS has verified chains and dates against both authorities;
here is decided which of the two a certificate belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from autoscaler.ports.identity import AuthenticationConfig, User

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
MAX_TOKEN = 16_384


class UnauthorizedError(Exception):
    """An identity was claimed and is not believed, or none was claimed where one is needed."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified client certificate: whom it names, until when, and which authorities issued it."""

    name: str
    organizations: tuple[str, ...]
    expires: float
    speaks_for_others: bool
    is_client: bool


Headers = Iterable[tuple[str, str]]
"""Header names in any case, values as received; names may repeat."""


def read_certificate(chain: Sequence[bytes], trust: AuthenticationConfig) -> Certificate:
    """The identity in a client's certificate under ``trust``, with the chain above it as TLS verified it.

    Raises ``ValueError`` where one of them is not a certificate.
    """
    certificates = [x509.load_der_x509_certificate(der) for der in chain]
    return Certificate(
        name=next(iter(_names(certificates[0], NameOID.COMMON_NAME)), ""),
        organizations=_names(certificates[0], NameOID.ORGANIZATION_NAME),
        expires=min(one.not_valid_after_utc for one in certificates).timestamp(),
        speaks_for_others=_leads_to(certificates, trust.requestheader_ca),
        is_client=_leads_to(certificates, trust.client_ca),
    )


def _names(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid))


def _leads_to(chain: Sequence[x509.Certificate], bundle: str) -> bool:
    """True if an authority of the bundle issued the certificate or one above it, in a verified chain."""
    if not bundle.strip():
        return False
    now = datetime.now(UTC)
    return any(
        authority.not_valid_before_utc <= now <= authority.not_valid_after_utc
        and any(_is_issued_by(one, authority) for one in chain)
        for authority in x509.load_pem_x509_certificates(bundle.encode())
    )


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def from_headers(certificate: Certificate, headers: Headers, trust: AuthenticationConfig) -> User | None:
    """The user that the front proxy names; None where it names none.

    Raises:
        UnauthorizedError: the certificate's name is not among the allowed ones.
    """
    values = _by_name(headers)
    name = _first(values, trust.username_headers)
    if not name or not certificate.speaks_for_others:
        return None
    if trust.allowed_names and certificate.name not in trust.allowed_names:
        raise UnauthorizedError("the front proxy's certificate has a name that is not allowed")
    return User(
        name=name,
        groups=tuple(value for header in trust.group_headers for value in values.get(header.lower(), ())),
        uid=_first(values, trust.uid_headers),
        extra=_extra(values, trust.extra_prefixes),
    )


def from_certificate(certificate: Certificate) -> User | None:
    """The user that a client certificate names: common name and organizations."""
    if not certificate.is_client or not certificate.name:
        return None
    return User(certificate.name, certificate.organizations)


def bearer_token(headers: Headers) -> str | None:
    """The token of the Authorization header, None where there is none.

    Raises:
        UnauthorizedError: the header holds something else, or a token that is too large.
    """
    given = [value for name, value in headers if name.lower() == "authorization"]
    if not given:
        return None
    scheme, _, token = given[0].strip().partition(" ")
    token = token.strip()
    if len(given) > 1 or scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
        raise UnauthorizedError("the Authorization header holds no bearer token")
    return token


def authenticated(user: User) -> User:
    """The user with the group of all authenticated users, which legacy discovery by the aggregator lacks."""
    if user == ANONYMOUS or user.name == ANONYMOUS.name or AUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))


def _by_name(headers: Headers) -> Mapping[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return values


def _first(values: Mapping[str, list[str]], names: Iterable[str]) -> str:
    return next((found[0] for name in names if (found := values.get(name.lower()))), "")


def _extra(
    values: Mapping[str, list[str]], prefixes: Iterable[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Keys are lower-case, and percent-decoded because headers cannot carry every character."""
    found: dict[str, tuple[str, ...]] = {}
    for prefix in prefixes:
        for name, given in values.items():
            if name.startswith(prefix.lower()):
                key = unquote(name[len(prefix) :])
                found[key] = (*found.get(key, ()), *given)
    return tuple(sorted(found.items()))
