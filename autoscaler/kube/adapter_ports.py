"""The adapter's ports to a cluster, put together: it reads and asks for reviews; it writes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import Api
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.controller_ports import own_namespace
from autoscaler.kube.pods import PodIndex
from autoscaler.kube.policy_files import PolicyFiles
from autoscaler.kube.reviews import KubeReviews
from autoscaler.kube.targets import KubeTargets
from autoscaler.kube.trust import KubeAuthenticationConfig
from autoscaler.kube.watched_policies import COLLECTION, KubePolicies, PolicyObjects
from autoscaler.ports.policies import PolicyStore


class AdapterPorts:
    """The ports of an extended API server.

    ``namespaces``: those to watch, none for all. ``folder``: take the policies from there instead
    of the cluster, which need not know ScalingPolicies at all.
    """

    def __init__(self, api: Api, namespaces: Sequence[str] = (), folder: Path | None = None) -> None:
        self.api = api
        self._pods = Informer(api, "/api/v1/pods", namespaces, PodIndex)
        self._objects = (
            None if folder else Informer(api, COLLECTION, namespaces, PolicyObjects, optional=True)
        )
        self.targets = KubeTargets(api, namespaces, self._pods)
        self.reviews = KubeReviews(api)
        self.trust = KubeAuthenticationConfig(api)
        self.policies: PolicyStore
        if self._objects is not None:
            self.policies = KubePolicies(api, self._objects)
        else:
            assert folder is not None
            self.policies = PolicyFiles(folder, own_namespace())

    def start(self) -> None:
        """Begins to read and watch; nothing is waited for."""
        self.trust.start()
        self._pods.start()
        if self._objects is not None:
            self._objects.start()

    def wait(self, seconds: float) -> bool:
        """Waits for some seconds at most; True if all was read."""
        deadline = time.monotonic() + seconds
        waits = [self.trust.wait, self._pods.wait, *([self._objects.wait] if self._objects else [])]
        return all(wait(max(0.0, deadline - time.monotonic())) for wait in waits)

    def unready(self) -> list[str]:
        """The parts that are missing for complete answers; empty when nothing is."""
        missing = []
        for look in (self.trust.trust, self._pods.complete, self.policies.policies):
            try:
                look()
            except ClusterError as error:
                missing.append(str(error))
        return missing

    def stop(self) -> None:
        """Ends all threads."""
        self.targets.stop()
        self._pods.stop()
        if self._objects is not None:
            self._objects.stop()
        self.trust.stop()
        self.api.close()
