"""Settings from a process's command line about the world outside. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """Where metrics are, who asks, and what belongs to this cluster.

    ``google_project``: ask Managed Service for Prometheus with Google's application default
    credentials, at ``prometheus_url`` if that is set too. A token file is read again for each
    request, because Kubernetes rotates them. ``cluster``, ``location`` and ``cluster_project`` are
    labels that every series of this cluster has. ``cloud_monitoring_project``: whose time series a
    metric with ``cloudMonitoring`` reads, if not ``google_project``'s.
    """

    prometheus_url: str | None = None
    google_project: str | None = None
    cloud_monitoring_project: str | None = None
    cluster: str | None = None
    location: str | None = None
    cluster_project: str | None = None
    token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    deadline_seconds: float = 10.0

    def faults(self) -> tuple[str, ...]:
        """Settings that do not fit together, in words that name the options; empty if all fit."""
        found = []
        if self.prometheus_url is None and self.google_project is None:
            found.append("no metrics: give --prometheus-url or --google-project")
        if self.prometheus_url is not None and not self.prometheus_url.startswith(("http://", "https://")):
            found.append(f"--prometheus-url must begin with http:// or https://, not {self.prometheus_url}")
        if self.prometheus_url is not None and _has_login(self.prometheus_url):
            found.append(
                "--prometheus-url may not have a login in it, which logs and statuses would show: "
                "give --prometheus-username and --prometheus-password-file"
            )
        if self.google_project is not None and self.cluster is None:
            found.append(
                "--google-project answers for every cluster in its metrics scope: name yours with --cluster"
            )
        if self.google_project is not None and self.prometheus_url and not _is_private(self.prometheus_url):
            found.append("--prometheus-url must be https:// with --google-project: it is sent a token")
        if self.token_file is not None and self.username is not None:
            found.append("--prometheus-token-file and --prometheus-username are both set: keep one")
        if self.google_project is not None and (self.token_file or self.username):
            found.append("--google-project brings its own token: remove the other way to log in")
        if (self.username is None) != (self.password_file is None):
            found.append("--prometheus-username and --prometheus-password-file go together")
        if self.key_file is not None and self.cert_file is None:
            found.append("--prometheus-key-file needs --prometheus-cert-file")
        return tuple(found)


def _has_login(url: str) -> bool:
    """True if the URL has a user or a password before the host; also for one that urlsplit refuses."""
    return "@" in url.partition("//")[2].partition("/")[0]


def _is_private(url: str) -> bool:
    """True if what is sent there cannot be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK
