"""Our own certificate authority and the serving certificate, renewed with overlap. Pure but for chance.

A renewal is two moves with the cluster in between: first a new authority joins the bundle, next
to the old one; when the API server has the bundle, a new certificate is issued. At every moment
every client that has the bundle accepts the certificate in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 730
CERTIFICATE_DAYS = 90
RENEW_SHARE = 1 / 3
"""The share of a certificate's life that is left when it is renewed."""
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Keys:
    """The Secret's contents, PEM. ``ca_crt`` is a bundle: the authority in use first, then old ones."""

    ca_crt: str = ""
    ca_key: str = ""
    tls_crt: str = ""
    tls_key: str = ""

    @classmethod
    def of_secret(cls, data: Mapping[str, str]) -> Keys:
        """From a Secret's (decoded) data."""
        return cls(*(data.get(name, "") for name in ("ca.crt", "ca.key", "tls.crt", "tls.key")))

    def as_secret(self) -> dict[str, str]:
        """As a Secret's data; a pod that serves mounts the last two alone."""
        return {
            "ca.crt": self.ca_crt,
            "ca.key": self.ca_key,
            "tls.crt": self.tls_crt,
            "tls.key": self.tls_key,
        }


def with_authority(keys: Keys, now: datetime) -> Keys:
    """The same, or with a new authority in front of those that have not expired."""
    bundle = [one for one in _certificates(keys.ca_crt) if one.not_valid_after_utc > now]
    if bundle and _is_key_of(keys.ca_key, bundle[0]) and _is_young(bundle[0], now):
        return replace(keys, ca_crt=_pem(bundle))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"vllm-autoscaler {now:%Y-%m-%dT%H:%M:%SZ}")])
    authority = (
        _builder(name, key.public_key(), now, AUTHORITY_DAYS)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return replace(keys, ca_crt=_pem([authority, *bundle]), ca_key=_key_pem(key))


def with_certificate(keys: Keys, names: Sequence[str], now: datetime) -> Keys:
    """The same, or with a new serving certificate for ``names`` (DNS names and addresses).

    ``keys`` must have an authority (``with_authority``).
    """
    (authority, *_), current = _certificates(keys.ca_crt), _certificates(keys.tls_crt)
    if current and _is_good(current[0], keys, authority, names, now):
        return keys
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    signer = serialization.load_pem_private_key(keys.ca_key.encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    days = min(CERTIFICATE_DAYS, (authority.not_valid_after_utc - now).days)
    certificate = (
        _builder(subject, key.public_key(), now, days)
        .issuer_name(authority.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return replace(keys, tls_crt=_pem([certificate]), tls_key=_key_pem(key))


def _is_good(
    certificate: x509.Certificate,
    keys: Keys,
    authority: x509.Certificate,
    names: Sequence[str],
    now: datetime,
) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
        given = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    wanted = {_general(name) for name in names}
    return wanted == set(given) and _is_key_of(keys.tls_key, certificate) and _is_young(certificate, now)


def _is_young(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now > life * RENEW_SHARE


def _is_key_of(pem: str, certificate: x509.Certificate) -> bool:
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        return False
    return key.public_key() == certificate.public_key()


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(**on: bool) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def _pem(certificates: Sequence[x509.Certificate]) -> str:
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def utc_now() -> datetime:
    """The time, as certificates count it."""
    return datetime.now(UTC).replace(microsecond=0)
