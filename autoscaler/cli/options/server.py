"""The options of every command that sends requests to a real server."""

from __future__ import annotations

import click

from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.option_group import option_group

server_options = option_group(
    click.option("--url", required=True, help="The server, like http://localhost:8000."),
    click.option("--model", metavar="NAME", help="The model to ask for.  [default: the first that it lists]"),
    click.option(
        "--api-key-env",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="The environment variable that holds the API key, if it is set.",
    ),
    click.option(
        "--request-timeout",
        type=FiniteRange(0, min_open=True),
        default=600.0,
        metavar="S",
        help="A request that takes longer has failed.",
    ),
)
"""Adds ``url``, ``model``, ``api_key_env`` and ``request_timeout`` to a click command."""
