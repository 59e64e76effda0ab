"""One cluster, put together: every port of the live side over one API server."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import Api
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.reflector import USUAL_PACE, WatchTimings
from autoscaler.kube.conflicts import HPA_COLLECTION, KEDA_COLLECTION, KubeScalerConflicts, ScalerObjects
from autoscaler.kube.deletion_costs import KubeDeletionCosts
from autoscaler.kube.events import KubeEvents
from autoscaler.kube.overlaps import Overlaps
from autoscaler.kube.pods import PodIndex
from autoscaler.kube.policy_files import PolicyFiles
from autoscaler.kube.targets import KubeTargets
from autoscaler.kube.watched_policies import COLLECTION, KubePolicies, PolicyObjects

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace(outside: str = "default") -> str:
    """The namespace that this process runs in; ``outside`` when it runs outside a cluster."""
    given = os.environ.get("POD_NAMESPACE")
    if given:
        return given
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.is_file() else outside


def own_identity() -> str:
    """A name for this process that no other has, one on the same host included."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"


class ControllerPorts:
    """The ports of the live side.

    ``namespaces``: those to watch, none for all. ``folder``: take the policies from there instead
    of the cluster. ``identity``: this process' name in events.
    """

    def __init__(
        self,
        api: Api,
        identity: str,
        namespaces: Sequence[str] = (),
        folder: Path | None = None,
        pace: WatchTimings = USUAL_PACE,
    ) -> None:
        self.api = api
        hpas = partial(ScalerObjects, "HorizontalPodAutoscaler")
        scaled_objects = partial(ScalerObjects, "ScaledObject")
        pods = Informer(api, "/api/v1/pods", namespaces, PodIndex, pace=pace)
        scalers = [
            Informer(api, HPA_COLLECTION, namespaces, hpas, pace=pace),
            Informer(api, KEDA_COLLECTION, namespaces, scaled_objects, optional=True, pace=pace),
        ]
        objects = None if folder else Informer(api, COLLECTION, namespaces, PolicyObjects, pace=pace)
        self._watched: list[Informer[PodIndex] | Informer[ScalerObjects] | Informer[PolicyObjects]]
        self._watched = [pods, *scalers, *([objects] if objects else [])]
        self.targets = KubeTargets(api, namespaces, pods, pace)
        self.events = KubeEvents(api, identity)
        self.deletion_costs = KubeDeletionCosts(api, pods)
        self.policies: KubePolicies | PolicyFiles
        if objects is not None:
            self.policies = KubePolicies(api, objects)
        else:
            assert folder is not None
            self.policies = PolicyFiles(folder, own_namespace())
        self.owners = KubeScalerConflicts(scalers, self.policies, self.targets)
        self.overlaps = Overlaps(scalers[0], self.policies, self.targets)

    def start(self) -> None:
        """Begins to list and watch; nothing is waited for."""
        for watched in self._watched:
            watched.start()
        self.events.start()

    def wait(self, seconds: float) -> bool:
        """Waits for some seconds at most; True if all lists are complete."""
        deadline = time.monotonic() + seconds
        return all(watched.wait(max(0.0, deadline - time.monotonic())) for watched in self._watched)

    def stale(self) -> str | None:
        """The copy that is too old for decisions, and why; None while all are usable.

        Those of targets are not among them: a scale whose copy is too old is read with a call.
        """
        try:
            for watched in self._watched:
                watched.check()
        except ClusterError as error:
            return str(error)
        return None

    def stop(self) -> None:
        """Ends all threads, and writes the events that are left."""
        self.targets.stop()
        for watched in self._watched:
            watched.stop()
        self.events.stop()
        self.api.close()
