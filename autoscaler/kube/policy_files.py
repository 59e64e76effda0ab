"""Policies from a folder of YAML files, for a cluster without the CRD, or a first look."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoscaler.api.models import Mode
from autoscaler.documents.policies import LoadedPolicy, load_policies
from autoscaler.errors import PolicyError
from autoscaler.kube.client.references import WorkloadRef, workload
from autoscaler.ports.policies import AnyPolicy, RefusedPolicy, StoredPolicy
from autoscaler.telemetry.log_once import News

SUFFIXES = (".yaml", ".yml")
LOOK_SECONDS = 1.0
"""How long a look at the folder is good for."""

_Stamp = tuple[int, int, int]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    """A file's policies that are in force, as of a stamp; ``problem``: its newest text is broken."""

    stamp: _Stamp
    policies: tuple[LoadedPolicy, ...] = ()
    problem: str | None = None


class PolicyFiles:
    """``ports.policies.PolicyStore`` over every ``*.yaml`` and ``*.yml`` of a folder, as it is now.

    ``namespace``: that of policies that name none. Each file counts as a whole: while it is broken,
    its last good text stays in force. There is nowhere to write a status to, so it is kept in
    memory.
    """

    def __init__(self, folder: Path, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._namespace = namespace
        self._clock = clock
        self._files: dict[Path, _File] = {}
        self._statuses: dict[tuple[str, str], Mapping[str, object]] = {}
        self._owners: Mapping[WorkloadRef, str] = {}
        self._looked = float("-inf")
        self._problem = News()

    def policies(self) -> Sequence[StoredPolicy]:
        """See ``ports.policies.PolicyStore.policies``."""
        return [policy for policy in self._all() if isinstance(policy, StoredPolicy)]

    def refused(self) -> Sequence[RefusedPolicy]:
        """See ``ports.policies.PolicyStore.refused``; a file without one good policy counts as one."""
        return [policy for policy in self._all() if isinstance(policy, RefusedPolicy)]

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        """See ``ports.policies.PolicyStore.write_status``."""
        self._statuses[stored.namespace, stored.name] = status

    def older(self, stored: StoredPolicy, target: WorkloadRef) -> Sequence[str]:
        """See ``owners.Rivals``: a file has no age, so the first by file and place owns the target."""
        owner = self._owners.get(target, stored.name)
        return [owner] if owner != stored.name else []

    def _all(self) -> list[AnyPolicy]:
        self._look()
        found: dict[tuple[str, str], AnyPolicy] = {}
        for path, file in sorted(self._files.items()):
            if file.problem is not None and not file.policies:
                name = path.stem
                found[self._namespace, name] = RefusedPolicy(self._namespace, name, file.problem)
            for loaded in file.policies:
                stored = self._stored(loaded, file.problem)
                first = found.setdefault((stored.namespace, stored.name), stored)
                if first is not stored and isinstance(first, StoredPolicy):
                    message = f"the policy was already defined; {path.name} defines it again"
                    found[stored.namespace, stored.name] = replace(first, problem=message)
        self._owners = _owners(found.values())
        return list(found.values())

    def _stored(self, loaded: LoadedPolicy, problem: str | None) -> StoredPolicy:
        metadata = loaded.policy.metadata
        namespace = metadata.namespace or self._namespace
        status = self._statuses.get((namespace, metadata.name))
        return StoredPolicy(namespace, metadata.name, loaded.policy, problem=problem, status=status)

    def _look(self) -> None:
        """Reads what has changed. A folder that cannot be read changes nothing."""
        if self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        try:
            stamps = {path: _stamp(path) for path in self._folder.iterdir() if _is_policy(path)}
        except OSError as error:
            problem = f"{self._folder} cannot be read: {(error.strerror or str(error)).lower()}"
            if self._problem.is_new(problem):
                log.warning(problem)
            return
        self._problem.text = ""
        for path in self._files.keys() - stamps.keys():
            del self._files[path]
        for path, stamp in stamps.items():
            old = self._files.get(path)
            if old is None or old.stamp != stamp:
                self._files[path] = _read(path, stamp, old)


def _owners(policies: Iterable[AnyPolicy]) -> Mapping[WorkloadRef, str]:
    owners: dict[WorkloadRef, str] = {}
    for one in policies:
        if isinstance(one, StoredPolicy) and one.policy.spec.mode is Mode.ACTIVE:
            owners.setdefault(workload(one.namespace, one.policy.spec.scale_target_ref), one.name)
    return owners


def _is_policy(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _stamp(path: Path) -> _Stamp:
    """A value that changes with the file, also when a ConfigMap's link is turned to another one."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, stamp: _Stamp, old: _File | None) -> _File:
    try:
        return _File(stamp, load_policies(path))
    except PolicyError as error:
        return _File(stamp, old.policies if old else (), str(error).replace("\n", "; "))
