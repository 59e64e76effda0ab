"""Policies from ScalingPolicy objects, and their status back into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoscaler.api.crd import GROUP, PLURAL, VERSION
from autoscaler.api.models import Mode
from autoscaler.documents.policies import load_policy_object
from autoscaler.errors import ClusterError, PolicyError
from autoscaler.kube.client.api import JSON_PATCH, Api, ApiError, Object
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.references import References, WorkloadRef, workload
from autoscaler.ports.policies import AnyPolicy, RefusedPolicy, StoredPolicy

COLLECTION = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """An object's policy; the newest generation that was looked at, and the age of the object.

    ``created`` is RFC 3339 in UTC, so that texts compare as times do.
    """

    policy: AnyPolicy
    generation: int
    created: str

    @property
    def is_active(self) -> bool:
        """True if it may write; a policy that only observes competes with no other."""
        return isinstance(self.policy, StoredPolicy) and self.policy.policy.spec.mode is Mode.ACTIVE


class PolicyObjects:
    """A reflector's sink: each object as the policy that is in force for it.

    A broken edit leaves the policy before it in force, for as long as this process remembers it.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._references = References()

    def all(self) -> list[AnyPolicy]:
        """Those in force and those refused, by namespace and name."""
        return [entry.policy for _, entry in sorted(self._entries.copy().items(), key=lambda item: item[0])]

    def older(self, stored: StoredPolicy, target: WorkloadRef) -> list[str]:
        """The names of active policies that scale the target of a policy and were there before it."""
        own = self._entries.get((stored.namespace, stored.name))
        entries = [
            (name, self._entries.get((stored.namespace, name))) for name in self._references.to(target)
        ]
        return [
            name
            for name, entry in entries
            if entry and own and (entry.created, name) < (own.created, stored.name) and entry.is_active
        ]

    def replace(self, objects: Iterable[Object]) -> None:
        """All objects that there are now."""
        found = {_key(obj): obj for obj in objects}
        self._references.keep(set(found))
        for key in self._entries.keys() - found.keys():
            del self._entries[key]
        for obj in found.values():
            self.put(obj)

    def put(self, obj: Object) -> None:
        """An object is new or has changed."""
        key, metadata = _key(obj), obj["metadata"]
        generation = metadata.get("generation", 0)
        old = self._entries.get(key)
        if old is not None and old.policy.uid != metadata["uid"]:
            old = None
        if old is not None and old.generation == generation:
            policy = _with_status(old.policy, obj)
        else:
            policy = _loaded(obj, old.policy if old else None)
            self._references.put(*key, _target(policy))
        self._entries[key] = _Entry(policy, generation, metadata.get("creationTimestamp", ""))

    def drop(self, obj: Object) -> None:
        """An object is gone."""
        self._references.put(*_key(obj), None)
        self._entries.pop(_key(obj), None)


class KubePolicies:
    """``ports.policies.PolicyStore`` over ScalingPolicy objects."""

    def __init__(self, api: Api, watched: Informer[PolicyObjects]) -> None:
        self._api = api
        self._watched = watched

    def policies(self) -> Sequence[StoredPolicy]:
        """See ``ports.policies.PolicyStore.policies``."""
        return [policy for policy in self._all() if isinstance(policy, StoredPolicy)]

    def refused(self) -> Sequence[RefusedPolicy]:
        """See ``ports.policies.PolicyStore.refused``."""
        return [policy for policy in self._all() if isinstance(policy, RefusedPolicy)]

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        """See ``ports.policies.PolicyStore.write_status``. A new object of the same name is left alone."""
        root = f"/apis/{GROUP}/{VERSION}/namespaces/{stored.namespace}/{PLURAL}"
        changes = [
            {"op": "test", "path": "/metadata/uid", "value": stored.uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        self._api.patch(f"{root}/{stored.name}/status", changes, JSON_PATCH)

    def older(self, stored: StoredPolicy, target: WorkloadRef) -> Sequence[str]:
        """See ``owners.Rivals``. Raises ``ClusterError`` where the copy cannot be relied on."""
        return self._watched.at(stored.namespace).older(stored, target)

    def _all(self) -> list[AnyPolicy]:
        return [policy for objects in self._watched.complete() for policy in objects.all()]


def read_policies(api: Api, namespaces: Sequence[str] = ()) -> list[AnyPolicy]:
    """The policies as they are now, read once; ``namespaces``: none means all.

    Raises:
        ClusterError: the API did not answer, or does not know the kind.
    """
    root = f"/apis/{GROUP}/{VERSION}"
    paths = [f"{root}/namespaces/{namespace}/{PLURAL}" for namespace in namespaces] or [COLLECTION]
    objects = PolicyObjects()
    try:
        objects.replace(obj for path in paths for obj in api.get(path).get("items") or ())
    except ApiError as error:
        raise _unknown(api) if error.status == 404 else error from None
    return objects.all()


def _unknown(api: Api) -> ClusterError:
    crd = "autoscale schema --crd | kubectl apply --server-side -f -"
    return ClusterError(f"{api.server} knows no ScalingPolicies; install the definition: {crd}")


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _target(policy: AnyPolicy) -> WorkloadRef | None:
    if isinstance(policy, RefusedPolicy):
        return None
    return workload(policy.namespace, policy.policy.spec.scale_target_ref)


def _with_status(policy: AnyPolicy, obj: Object) -> AnyPolicy:
    """The same policy with the object's newest status (``replace`` would look at every field)."""
    if isinstance(policy, StoredPolicy):
        return StoredPolicy(
            policy.namespace,
            policy.name,
            policy.policy,
            policy.uid,
            policy.generation,
            policy.problem,
            obj.get("status"),
        )
    return RefusedPolicy(
        policy.namespace, policy.name, policy.problem, policy.uid, policy.generation, obj.get("status")
    )


def _loaded(obj: Object, old: AnyPolicy | None) -> AnyPolicy:
    metadata, status = obj["metadata"], obj.get("status")
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    generation = metadata.get("generation", 0)
    written = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {"namespace": namespace, "name": name},
        "spec": obj.get("spec"),
    }
    try:
        policy = load_policy_object(written, f"ScalingPolicy {namespace}/{name}")
    except PolicyError as error:
        problem = "; ".join(f"{one.field}: {one.message}" for one in error.problems)
        if isinstance(old, StoredPolicy):
            return StoredPolicy(namespace, name, old.policy, uid, old.generation, problem, status)
        return RefusedPolicy(namespace, name, problem, uid, generation, status)
    return StoredPolicy(namespace, name, policy, uid, generation, None, status)
