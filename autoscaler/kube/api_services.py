"""APIServices: who owns a metrics API of the cluster, and the trust in ours."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from autoscaler.errors import TargetError
from autoscaler.kube.client.api import Api, ApiError, Object

COLLECTION = "/apis/apiregistration.k8s.io/v1/apiservices"
CERT_MANAGER = "cert-manager.io/inject-ca-from"

_KNOWN = {
    "keda-operator-metrics-apiserver": "KEDA",
    "keda-metrics-apiserver": "KEDA",
    "prometheus-adapter": "prometheus-adapter",
    "custom-metrics-stackdriver-adapter": "the Stackdriver adapter",
    "kube-metrics-adapter": "kube-metrics-adapter",
    "datadog-cluster-agent-metrics-api": "the Datadog cluster agent",
    "datadog-custom-metrics-server": "the Datadog cluster agent",
}
_LABELS = ("app.kubernetes.io/part-of", "app.kubernetes.io/name", "app")


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """A Service by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ApiService:
    """One version of an API, and who serves it. ``service`` is None for the API server itself."""

    name: str
    service: ServiceRef | None
    owner: str
    available: bool
    ca_bundle: str
    injected_by_cert_manager: bool
    resource_version: str


class ApiServices:
    """The APIServices of a cluster."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, name: str) -> ApiService | None:
        """The APIService of a name like ``v1beta1.external.metrics.k8s.io``; None where there is none.

        Raises:
            ClusterError: the API did not answer, or says no.
        """
        try:
            return _read(self._api.get(f"{COLLECTION}/{name}"))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def trust(self, found: ApiService, ours: ServiceRef, ca_bundle: str) -> bool:
        """Has the aggregator verify our certificate by ``ca_bundle`` (PEM); whether that is a change.

        Raises:
            TargetError: the APIService is another Service's. Nothing was changed.
            ClusterError: another client wrote meanwhile, it is forbidden, or the API did not answer.
        """
        if found.service != ours:
            raise TargetError(f"{found.name} is served by {found.owner} ({found.service}), not by {ours}")
        if found.ca_bundle == ca_bundle or found.injected_by_cert_manager:
            return False
        encoded = base64.b64encode(ca_bundle.encode()).decode()
        change = {
            "metadata": {"resourceVersion": found.resource_version},
            "spec": {"caBundle": encoded, "insecureSkipTLSVerify": None},
        }
        self._api.patch(f"{COLLECTION}/{found.name}", change)
        return True


def _read(obj: Object) -> ApiService:
    metadata, spec = obj["metadata"], obj["spec"]
    given = spec.get("service")
    service = ServiceRef(given["namespace"], given["name"]) if given else None
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return ApiService(
        name=metadata["name"],
        service=service,
        owner=_owner(service, metadata),
        available=any(one.get("type") == "Available" and one.get("status") == "True" for one in conditions),
        ca_bundle=base64.b64decode(spec.get("caBundle") or "").decode(errors="replace"),
        injected_by_cert_manager=CERT_MANAGER in (metadata.get("annotations") or {}),
        resource_version=metadata["resourceVersion"],
    )


def _owner(service: ServiceRef | None, metadata: Object) -> str:
    """The owner of an APIService, by name where the name is known, else by its labels."""
    if service is None:
        return "the API server itself"
    if service.name in _KNOWN:
        return _KNOWN[service.name]
    labels = metadata.get("labels") or {}
    return next((labels[key] for key in _LABELS if key in labels), "another server")
