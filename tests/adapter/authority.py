"""Certificate authorities and client certificates, made when a test needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from autoscaler.adapter.certificates import utc_now


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _name(common: str, organizations: Sequence[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass(frozen=True)
class Client:
    """A client certificate and its key, PEM; intermediates follow the certificate."""

    certificate: str
    key: str

    @property
    def chain(self) -> tuple[bytes, ...]:
        """It and the intermediates that it is sent with, DER."""
        loaded = x509.load_pem_x509_certificates(self.certificate.encode())
        return tuple(one.public_bytes(serialization.Encoding.DER) for one in loaded)

    def write(self, folder: Path, name: str) -> tuple[str, str]:
        """The paths of the two files."""
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        for path, text in zip(paths, (self.certificate, self.key), strict=True):
            path.write_text(text)
        return str(paths[0]), str(paths[1])


class Authority:
    """Issues client certificates; with ``above`` as an intermediate, which is sent with them."""

    def __init__(self, name: str, above: Authority | None = None, *, days: int = 1, ca: bool = True) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = utc_now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(above._name if above else self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(above._key if above else self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self._sent: str = self.pem + above._sent if above else ""

    def client(self, name: str, *organizations: str, hours: int = 12) -> Client:
        """A certificate that is valid for ``hours``; expired where they are negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = utc_now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(name, organizations))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=20))
            .not_valid_after(now + timedelta(hours=hours))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return Client(pem + self._sent, _pem(key))
