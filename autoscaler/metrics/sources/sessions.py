"""HTTP sessions that log in: TLS, tokens, passwords, and Google's application default credentials."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock
from typing import Any

import google.auth
import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request
from requests.auth import AuthBase, HTTPBasicAuth

from autoscaler.errors import QueryError
from autoscaler.settings import MetricSettings

MONITORING_READ = "https://www.googleapis.com/auth/monitoring.read"
_TOKEN_SECONDS = 5.0


class BearerFile(AuthBase):
    """The token that a file holds at the moment of the request."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds the header.

        Raises:
            OSError: the file cannot be read.
        """
        request.headers["Authorization"] = f"Bearer {self._file.read_text().strip()}"
        return request


class BasicFile(AuthBase):
    """A user name, and the password that a file holds at the moment of the request."""

    def __init__(self, username: str, file: Path) -> None:
        self._username = username
        self._file = file

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds the header; raises as BearerFile."""
        password = self._file.read_text().rstrip("\r\n")
        signed: requests.PreparedRequest = HTTPBasicAuth(self._username, password)(request)
        return signed


class GoogleSession(AuthorizedSession):
    """Adds Google's access token, and asks for a new one once for all threads."""

    def __init__(self, credentials: Credentials) -> None:
        self._asks_for_tokens = Request(requests.Session())
        self._one_refresh = Lock()
        self._failure: GoogleAuthError | None = None
        self._failed_at = 0.0
        super().__init__(credentials, auth_request=self._bounded)  # type: ignore[no-untyped-call]

    def _bounded(self, *args: Any, **kwargs: Any) -> Any:
        """A request to the token server, which google-auth would give two minutes."""
        return self._asks_for_tokens(*args, **{**kwargs, "timeout": _TOKEN_SECONDS})

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As requests.Session.request.

        Raises:
            GoogleAuthError: no token is available. All threads that waited for one get the error together.
        """
        with self._one_refresh:
            if not self.credentials.valid:
                self._refresh()
        response: requests.Response = super().request(*args, **kwargs)  # type: ignore[no-untyped-call]
        return response

    def _refresh(self) -> None:
        if self._failure is not None and time.monotonic() - self._failed_at < _TOKEN_SECONDS:
            raise self._failure
        try:
            self.credentials.refresh(self._bounded)
        except GoogleAuthError as error:
            self._failure, self._failed_at = error, time.monotonic()
            raise
        self._failure = None


def google_credentials() -> Credentials:
    """Application default credentials, or the Workload Identity of the pod, that may read metrics.

    Raises:
        QueryError: there are none.
    """
    try:
        credentials, _ = google.auth.default(scopes=[MONITORING_READ])
    except DefaultCredentialsError as error:
        raise QueryError(f"no credentials for Google: {error}") from error
    return credentials


def login(settings: MetricSettings) -> AuthBase | None:
    """The login to a Prometheus that is not Google's."""
    if settings.token_file is not None:
        return BearerFile(settings.token_file)
    if settings.username is not None and settings.password_file is not None:
        return BasicFile(settings.username, settings.password_file)
    return None


def with_tls(session: requests.Session, settings: MetricSettings) -> requests.Session:
    """The session, trusting and showing the certificates of the settings."""
    if settings.ca_file is not None:
        session.verify = str(settings.ca_file)
    if settings.cert_file is not None:
        cert = str(settings.cert_file)
        session.cert = cert if settings.key_file is None else (cert, str(settings.key_file))
    return session
