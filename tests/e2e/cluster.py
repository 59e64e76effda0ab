"""The cluster that the tests run on: what KUBECONFIG names, else a control plane of their own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

import urllib3
import yaml
from kubernetes.client import ApiException

from tests.servers.api import JSON, Api
from tests.servers.controlplane import ControlPlane


@dataclass
class Cluster:
    """A kubeconfig with an administrator's rights, and identities of service accounts.

    ``plane``: the composed control plane, for tests that need to break it; None for a real cluster.
    """

    kubeconfig: Path
    folder: Path
    plane: ControlPlane | None = None
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.kubeconfig)

    def account(self, namespace: str, name: str) -> Path:
        """A kubeconfig with the rights of a service account."""
        if self.plane:
            return self.plane.kubeconfig_of_service_account(namespace, name)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.api.post(path, asked)["status"]["token"]
        document = copy.deepcopy(yaml.safe_load(self.kubeconfig.read_text()))
        current = next(c for c in document["contexts"] if c["name"] == document["current-context"])
        current["context"]["user"] = name
        document |= {"contexts": [current], "users": [{"name": name, "user": {"token": token}}]}
        written = self.folder / f"{namespace}-{name}.kubeconfig"
        written.write_text(yaml.safe_dump(document))
        return written


def whereabouts(kubeconfig: Path) -> str:
    """Which cluster a kubeconfig leads to, in one line, for who has it set without thinking of it."""
    document = yaml.safe_load(kubeconfig.read_text())
    name = document["current-context"]
    context = next(one["context"] for one in document["contexts"] if one["name"] == name)
    cluster = next(one["cluster"] for one in document["clusters"] if one["name"] == context["cluster"])
    return f"KUBECONFIG is set: testing on {cluster['server']} (context {name}), and changing what is there"


class Part(Protocol):
    """Something that follows the pods."""

    def sync(self, pods: list[JSON]) -> None:
        """One round, with all pods as they are now."""


class Rounds:
    """Calls each part with all pods, several times a second, for as long as it is open.

    While the API server cannot be reached, nothing happens, as nothing would in a cluster. Whatever else
    goes wrong is raised at the end, and the rounds go on: pods that stand still would fail every later test.
    """

    def __init__(self, api: Api, *parts: Part, every: float = 0.2) -> None:
        self._api = api
        self._parts = parts
        self._every = every
        self._over = Event()
        self._faults: list[Exception] = []
        self._thread = Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self._every):
            try:
                pods = self._api.get("/api/v1/pods", timeout=2)["items"]
                for part in self._parts:
                    part.sync(pods)
            except (ApiException, OSError, urllib3.exceptions.HTTPError):
                continue  # the next round finds out what came of it
            except Exception as error:
                self._faults.append(error)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        if self._faults:
            raise self._faults[0]
