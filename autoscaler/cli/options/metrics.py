"""The options of every command that reads metrics, and the source that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from autoscaler.cli.options.option_group import option_group
from autoscaler.settings import MetricSettings

_File = click.Path(exists=True, dir_okay=False, path_type=Path)

metric_options = option_group(
    click.option(
        "--prometheus-url",
        metavar="URL",
        envvar="PROMETHEUS_URL",
        help="A Prometheus-compatible server, e.g. http://prometheus.monitoring:9090. [env: PROMETHEUS_URL]",
    ),
    click.option(
        "--google-project",
        metavar="PROJECT",
        help="Managed Service for Prometheus of this project, with application default credentials or "
        "Workload Identity.",
    ),
    click.option(
        "--cloud-monitoring-project",
        metavar="PROJECT",
        help="Cloud Monitoring of this project, for cloudMonitoring metrics. [default: --google-project]",
    ),
    click.option("--cluster", help="Only series with this label cluster. Needed with --google-project."),
    click.option("--location", help="Only series with this label location."),
    click.option("--cluster-project", metavar="PROJECT", help="Only series with this label project_id."),
    click.option(
        "--prometheus-token-file", "token_file", type=_File, help="Bearer token, read for each query."
    ),
    click.option("--prometheus-username", "username", metavar="NAME", help="User name, for basic login."),
    click.option("--prometheus-password-file", "password_file", type=_File, help="Its password."),
    click.option("--prometheus-ca-file", "ca_file", type=_File, help="CA certificates to trust, PEM."),
    click.option("--prometheus-cert-file", "cert_file", type=_File, help="Client certificate, PEM."),
    click.option("--prometheus-key-file", "key_file", type=_File, help="Its key, unless in the same file."),
    click.option(
        "--metrics-deadline",
        "deadline_seconds",
        type=click.FloatRange(min=0.1, max=300.0),
        default=MetricSettings.__dataclass_fields__["deadline_seconds"].default,
        show_default=True,
        metavar="SECONDS",
        help="How long one round of queries may take, tries included.",
    ),
)
"""Adds options to a click command, which passes its ``**options`` to ``metric_settings``."""


def names_source(options: Mapping[str, Any]) -> bool:
    """Whether the options say where metrics are."""
    return bool(options["prometheus_url"] or options["google_project"])


def metric_settings(options: dict[str, Any]) -> MetricSettings:
    """Takes what is about metrics out of a command's options.

    Raises:
        click.UsageError: the options do not fit together.
    """
    settings = MetricSettings(**{field.name: options.pop(field.name) for field in fields(MetricSettings)})
    faults = settings.faults()
    if faults:
        raise click.UsageError("; ".join(faults))
    return settings
