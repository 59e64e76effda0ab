"""Which pods a scale-down takes first: the annotation that the ReplicaSet controller looks at."""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import Api, ApiError
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.pods import COST_ANNOTATION, PodIndex


class KubeDeletionCosts:
    """``ports.cluster.DeletionCosts``. Needs the right to patch pods, which is opt-in."""

    def __init__(self, api: Api, pods: Informer[PodIndex]) -> None:
        self._api = api
        self._pods = pods

    def write(self, namespace: str, costs: Mapping[str, int]) -> None:
        """See ``ports.cluster.DeletionCosts.write``."""
        index = self._pods.at(namespace)
        failures = []
        for name, cost in costs.items():
            entry = index.find(namespace, name)
            if entry is not None and entry.deletion_cost != str(cost):
                failures += self._annotate(namespace, name, cost)
        if failures:
            raise ClusterError(f"{len(failures)} deletion costs were not written: {failures[0]}")

    def _annotate(self, namespace: str, name: str, cost: int) -> list[ClusterError]:
        try:
            self._api.patch(
                f"/api/v1/namespaces/{namespace}/pods/{name}",
                {"metadata": {"annotations": {COST_ANNOTATION: str(cost)}}},
            )
        except ClusterError as error:
            is_gone = isinstance(error, ApiError) and error.status == 404
            return [] if is_gone else [error]
        return []
