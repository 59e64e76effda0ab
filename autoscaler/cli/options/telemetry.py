"""How a process that runs until it is told to stop tells about itself: its options, and its port."""

from __future__ import annotations

import click
from prometheus_client import CollectorRegistry

from autoscaler.cli.options.option_group import option_group
from autoscaler.telemetry.http import Check, TelemetryServer

telemetry_options = option_group(
    click.option("--metrics-address", default="0.0.0.0", metavar="ADDRESS", help="Where to serve telemetry."),
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        default=8080,
        metavar="PORT",
        help="For our own /metrics, and the controller's /healthz and /readyz; 0 takes a free one.",
    ),
    click.option(
        "--log-format", type=click.Choice(["json", "text"]), default="json", help="For machines or people."
    ),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        help="From when on.",
    ),
)
"""Adds ``metrics_address``, ``metrics_port``, ``log_format`` and ``log_level`` to a click command."""


def serve_telemetry(
    address: str,
    port: int,
    registry: CollectorRegistry,
    alive: Check,
    ready: Check,
    option: str = "--metrics-port",
) -> TelemetryServer:
    """Serves until it is closed. Raises ``click.UsageError``, about ``option``, where it cannot listen."""
    try:
        return TelemetryServer(address, port, registry, alive, ready)
    except OSError as error:
        message = (error.strerror or str(error)).lower()
        raise click.UsageError(f"{option} {port}: {address}:{port}: {message}") from None
