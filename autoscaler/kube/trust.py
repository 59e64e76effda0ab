"""The authorities that an extended API server trusts: read regularly, because they rotate."""

from __future__ import annotations

import json
import logging
import ssl
import threading

from cryptography import x509

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import Api, Object
from autoscaler.ports.identity import AuthenticationConfig
from autoscaler.telemetry.log_once import News
from autoscaler.threads import BackgroundThread

CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
PERIOD_SECONDS = 10.0
"""Rotations overlap for much longer. A get of one name is all that it needs, and all that it may."""

log = logging.getLogger(__name__)


class KubeAuthenticationConfig:
    """``ports.identity.TrustSource`` over ``kube-system/extension-apiserver-authentication``."""

    def __init__(self, api: Api, period_seconds: float = PERIOD_SECONDS) -> None:
        self._api = api
        self._period_seconds = period_seconds
        self._trust: AuthenticationConfig | None = None
        self._problem = News()
        self._stopped = threading.Event()
        self._first = threading.Event()
        self._thread = BackgroundThread("trust", self._run)

    def start(self) -> None:
        """Begins to read, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it; what was read last stays."""
        self._thread.expect_end()
        self._stopped.set()

    def wait(self, seconds: float) -> bool:
        """Waits for some seconds at most; True if it was read."""
        return self._first.wait(seconds)

    def trust(self) -> AuthenticationConfig:
        """See ``ports.identity.TrustSource.trust``."""
        if self._trust is None:
            raise ClusterError(f"the authentication of the cluster was not read yet{self._problem.text}")
        return self._trust

    @property
    def problem(self) -> str:
        """The reason why the newest version is not in use; empty when it is."""
        return self._problem.text

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
            except Exception as error:  # whatever the ConfigMap holds, the next look may be better
                if self._problem.is_new(f": {error}"):
                    log.warning("%s: %s", CONFIG_MAP, error)
            self._stopped.wait(self._period_seconds if self._trust else min(self._period_seconds, 1.0))

    def _look(self) -> None:
        found = read_trust(self._api.get(CONFIG_MAP).get("data") or {})
        if found != self._trust:
            self._trust = found  # one object as long as nothing changes
        self._problem.text = ""
        self._first.set()


def read_trust(data: Object) -> AuthenticationConfig:
    """The ConfigMap's data.

    Raises ``ValueError`` where a list of names is not a list of strings, or a bundle of authorities
    holds a block that is not a certificate: a part of a bundle is not what was meant.
    """
    return AuthenticationConfig(
        client_ca=_authorities(data, "client-ca-file"),
        requestheader_ca=_authorities(data, "requestheader-client-ca-file"),
        allowed_names=_names(data, "requestheader-allowed-names"),
        username_headers=_names(data, "requestheader-username-headers"),
        group_headers=_names(data, "requestheader-group-headers"),
        uid_headers=_names(data, "requestheader-uid-headers"),
        extra_prefixes=_names(data, "requestheader-extra-headers-prefix"),
    )


def _authorities(data: Object, key: str) -> str:
    bundle: str = data.get(key) or ""
    if bundle.strip():
        try:
            x509.load_pem_x509_certificates(bundle.encode())
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=bundle)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{key} holds what is not a certificate: {error}") from None
    return bundle


def _names(data: Object, key: str) -> tuple[str, ...]:
    names = json.loads(data.get(key) or "[]")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} must be a JSON list of strings")
    return tuple(names)
