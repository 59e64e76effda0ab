"""Telemetry of a process that runs until a signal stops it: its options, and its port."""

from __future__ import annotations

import click
from prometheus_client import CollectorRegistry

from autoscaler.cli.options.declared import Options, option
from autoscaler.telemetry.http import Check, TelemetryServer


class TelemetryOptions(Options):
    """Where a process serves its own metrics, and how it logs."""

    metrics_address: str = option(default="0.0.0.0", metavar="ADDRESS", help="Where to serve telemetry.")
    metrics_port: int = option(
        type=click.IntRange(0, 65535),
        default=8080,
        metavar="PORT",
        help="For our own /metrics, and the controller's /healthz and /readyz; 0 takes a free one.",
    )
    log_format: str = option(
        type=click.Choice(["json", "text"]), default="json", help="For machines or people."
    )
    log_level: str = option(
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        help="The lowest severity that is logged.",
    )


def serve_telemetry(
    address: str,
    port: int,
    registry: CollectorRegistry,
    alive: Check,
    ready: Check,
    flag: str = "--metrics-port",
) -> TelemetryServer:
    """Serves until it is closed. Raises ``click.UsageError``, about ``flag``, where it cannot listen."""
    try:
        return TelemetryServer(address, port, registry, alive, ready)
    except OSError as error:
        message = (error.strerror or str(error)).lower()
        raise click.UsageError(f"{flag} {port}: {address}:{port}: {message}") from None
