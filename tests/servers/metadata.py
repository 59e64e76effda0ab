"""A GCE metadata server on loopback: what Workload Identity is to a pod on GKE.

google-auth reads ``GCE_METADATA_HOST`` and ``GCE_METADATA_IP`` when it is imported, so the process that
uses it is started with ``environment``.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.servers.loopback import LoopbackServer, Request

_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"


class MetadataServer(LoopbackServer):
    """``issue`` makes the next access token. ``asked``: the paths, in order."""

    def __init__(self, issue: Callable[[], str]) -> None:
        super().__init__(self._answer)
        self.issue = issue
        self.asked: list[str] = []
        host = f"127.0.0.1:{self.port}"
        self.environment = {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}

    def _answer(self, request: Request) -> None:
        self.asked.append(request.path)
        told = self._told(*request.path.partition("?")[::2])
        kind = "application/json" if told else "text/plain"
        body = json.dumps(told).encode() if told else b"models-prod"
        request.reply(200, kind, body, Metadata_Flavor="Google")

    def _told(self, path: str, query: str) -> dict[str, object] | None:
        if path == f"{_ACCOUNT}/token":
            return {"access_token": self.issue(), "expires_in": 3599, "token_type": "Bearer"}
        if path.rstrip("/") == _ACCOUNT and "recursive=true" in query:
            return {"email": "autoscaler@models-prod.iam", "scopes": [], "aliases": ["default"]}
        return None
