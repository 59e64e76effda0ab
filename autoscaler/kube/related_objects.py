"""Objects around a policy in a cluster: its target, volumes, pod monitors and other workloads.

For ``autoscale validate --cluster``, with the rights of the person who asks. What cannot be read
is left out, except the target itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from autoscaler.api.models import ScaleTargetRef
from autoscaler.documents.manifests import Manifest
from autoscaler.errors import TargetError
from autoscaler.kube.client.api import Api, ApiError, Object
from autoscaler.kube.client.discovery import Discovery
from autoscaler.ports.targets import TargetKey
from autoscaler.workload_kinds import WORKLOAD_KINDS

_MONITORS = (
    ("/apis/monitoring.googleapis.com/v1", "podmonitorings", "PodMonitoring"),
    ("/apis/monitoring.googleapis.com/v1", "clusterpodmonitorings", "ClusterPodMonitoring"),
    ("/apis/monitoring.coreos.com/v1", "podmonitors", "PodMonitor"),
    ("/apis/monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor"),
)


def surroundings(api: Api, namespace: str, ref: ScaleTargetRef) -> list[Manifest]:
    """The objects to compare a policy for ``ref`` with; empty where the target does not exist.

    Raises:
        ClusterError: the API did not answer, or the target may not be read.
    """
    try:
        path = Discovery(api).resource(TargetKey(namespace, ref)).path(namespace, ref.name)
        target = api.get(path)
    except TargetError:
        return []
    except ApiError as error:
        if error.status != 404:
            raise
        return []
    target |= {"apiVersion": ref.api_version, "kind": ref.kind}
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    found = [_manifest(target), *_listed(api, claims, "PersistentVolumeClaim", "v1")]
    for root, plural, kind in _MONITORS:
        scope = "" if kind.startswith("Cluster") else f"/namespaces/{namespace}"
        version = root.removeprefix("/apis/")
        found += _listed(api, f"{root}{scope}/{plural}", kind, version)
    known = found[0].group, found[0].kind, found[0].name
    for other in (kind for kind in WORKLOAD_KINDS if kind.compared):
        path = f"{other.root}/namespaces/{namespace}/{other.plural}"
        others = _listed(api, path, other.name, other.api_version)
        found += (one for one in others if (one.group, one.kind, one.name) != known)
    return found


def _listed(api: Api, path: str, kind: str, version: str) -> Iterator[Manifest]:
    try:
        items = api.get(path).get("items") or ()
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return
    for item in items:
        yield _manifest({**item, "apiVersion": version, "kind": kind})


def _manifest(obj: Object) -> Manifest:
    metadata = obj["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return Manifest(f"{obj['kind']} {place}{metadata['name']}", obj)
