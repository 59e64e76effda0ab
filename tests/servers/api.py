"""The Kubernetes API as plain JSON, for tests: arguments and results are the JSON sent and received."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from kubernetes import client, config

JSON = dict[str, Any]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

# Of the kinds whose plural is not the lower-case kind with an s.
PLURALS = {
    "ClusterRules": "clusterrules",
    "NetworkPolicy": "networkpolicies",
    "PriorityClass": "priorityclasses",
    "ScalingPolicy": "scalingpolicies",
}
CLUSTER_WIDE = {
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterRules",
    "CustomResourceDefinition",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
}


class Api:
    """Requests with the identity of a kubeconfig; an answer of 400 and more is an ``ApiException``."""

    def __init__(self, kubeconfig: Path) -> None:
        self.client = config.new_client_from_config(str(kubeconfig))

    def get(self, path: str, timeout: float = 10.0) -> JSON:
        """``path`` from the root: ``/apis/apps/v1/namespaces/x/deployments``."""
        return self.request("GET", path, timeout=timeout)

    def post(self, path: str, body: JSON) -> JSON:
        """Creates."""
        return self.request("POST", path, body)

    def put(self, path: str, body: JSON) -> JSON:
        """Replaces."""
        return self.request("PUT", path, body)

    def patch(self, path: str, body: JSON, content_type: str = MERGE) -> JSON:
        """Changes."""
        return self.request("PATCH", path, body, content_type)

    def delete(self, path: str, body: JSON | None = None) -> JSON:
        """Deletes one object, or all of a collection."""
        return self.request("DELETE", path, body)

    def apply(self, document: JSON) -> JSON:
        """Creates or changes what a manifest says, by server-side apply."""
        path = path_of(document)
        return self.request("PATCH", f"{path}?fieldManager=tests&force=true", document, APPLY)

    def request(
        self,
        method: str,
        path: str,
        body: JSON | None = None,
        content_type: str = "application/json",
        timeout: float = 10.0,
    ) -> JSON:
        """``timeout`` in seconds, of connecting and of reading, and of being put off (429)."""
        last_start = time.monotonic() + timeout
        while True:
            try:
                return self._request(method, path, body, content_type, timeout)
            except client.ApiException as error:
                if error.status != 429 or time.monotonic() > last_start:
                    raise
            time.sleep(0.2)

    def _request(self, method: str, path: str, body: JSON | None, content_type: str, timeout: float) -> JSON:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        call = self.client.param_serialize(
            method, path, None, [], headers, body, auth_settings=["BearerToken"]
        )
        response = self.client.call_api(*call, _request_timeout=timeout)
        text = response.read().decode()
        if response.status >= 400:
            client.ApiException.from_response(http_resp=response, body=text, data=None)
        return json.loads(text)


def path_of(document: JSON) -> str:
    """Where a manifest's object lives."""
    version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = PLURALS.get(kind, f"{kind.lower()}s")
    if kind in CLUSTER_WIDE:
        return f"{root}/{plural}/{metadata['name']}"
    return f"{root}/namespaces/{metadata.get('namespace', 'default')}/{plural}/{metadata['name']}"
