"""The options of every command that sends requests to a real server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from autoscaler.cli.options.declared import Options, option
from autoscaler.cli.options.finite import FiniteRange

if TYPE_CHECKING:
    from autoscaler.client.endpoint import Endpoint


class ServerOptions(Options):
    """A server, and how it is asked."""

    url: str = option(required=True, help="The server, like http://localhost:8000.")
    model: str | None = option(
        metavar="NAME", help="The model to ask for.  [default: the first that it lists]"
    )
    api_key_env: str = option(
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="The environment variable that holds the API key, if it is set.",
    )
    request_timeout: float = option(
        type=FiniteRange(0, min_open=True),
        default=600.0,
        metavar="S",
        help="A request that takes longer has failed.",
    )

    def endpoint(self) -> Endpoint:
        """The server, to be entered and asked."""
        from autoscaler.client.endpoint import Endpoint

        key = os.environ.get(self.api_key_env)
        return Endpoint(self.url, api_key=key, timeout_s=self.request_timeout)
