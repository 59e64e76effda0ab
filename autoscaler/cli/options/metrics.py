"""The options of every command that reads metrics."""

from __future__ import annotations

from pathlib import Path

import click

from autoscaler.cli.options.declared import Options, option
from autoscaler.settings import MetricSettings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class MetricOptions(Options):
    """Where metrics are, who asks, and what belongs to this cluster: the fields of ``MetricSettings``."""

    prometheus_url: str | None = option(
        metavar="URL",
        envvar="PROMETHEUS_URL",
        help="A Prometheus-compatible server, e.g. http://prometheus.monitoring:9090. [env: PROMETHEUS_URL]",
    )
    google_project: str | None = option(
        metavar="PROJECT",
        help="Managed Service for Prometheus of this project, with application default credentials or "
        "Workload Identity.",
    )
    cloud_monitoring_project: str | None = option(
        metavar="PROJECT",
        help="Cloud Monitoring of this project, for cloudMonitoring metrics. [default: --google-project]",
    )
    cluster: str | None = option(help="Only series with this label cluster. Needed with --google-project.")
    location: str | None = option(help="Only series with this label location.")
    cluster_project: str | None = option(metavar="PROJECT", help="Only series with this label project_id.")
    token_file: Path | None = option(
        "--prometheus-token-file", type=_FILE, help="Bearer token, read for each query."
    )
    username: str | None = option("--prometheus-username", metavar="NAME", help="User name, for basic login.")
    password_file: Path | None = option("--prometheus-password-file", type=_FILE, help="Its password.")
    ca_file: Path | None = option("--prometheus-ca-file", type=_FILE, help="CA certificates to trust, PEM.")
    cert_file: Path | None = option("--prometheus-cert-file", type=_FILE, help="Client certificate, PEM.")
    key_file: Path | None = option(
        "--prometheus-key-file", type=_FILE, help="Its key, unless in the same file."
    )
    deadline_seconds: float = option(
        "--metrics-deadline",
        type=click.FloatRange(min=0.1, max=300.0),
        default=MetricSettings.__dataclass_fields__["deadline_seconds"].default,
        show_default=True,
        metavar="SECONDS",
        help="How long one round of queries may take, tries included.",
    )

    @property
    def names_source(self) -> bool:
        """True where they say where metrics are."""
        return bool(self.prometheus_url or self.google_project)

    def settings(self) -> MetricSettings:
        """The same for a source of metrics.

        Raises:
            click.UsageError: the options do not fit together.
        """
        settings = MetricSettings(**vars(self))
        faults = settings.faults()
        if faults:
            raise click.UsageError("; ".join(faults))
        return settings
