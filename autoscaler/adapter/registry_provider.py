"""The metrics that are declared now: by the policies in force, and by the exports in a folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoscaler.adapter.registry import MetricRegistry, build_registry
from autoscaler.documents.exports import MetricExport, load_exports
from autoscaler.errors import ClusterError, PolicyError
from autoscaler.ports.policies import PolicyStore, StoredPolicy

SUFFIXES = (".yaml", ".yml")
LOOK_SECONDS = 1.0
"""How long a look at the policies and files is good for."""

Exports = tuple[tuple[str, MetricExport], ...]
_Stamp = tuple[int, int, int]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    """A file's exports as of a stamp; while its newest text is broken, the last good ones."""

    stamp: _Stamp
    exports: Exports = ()


class ExportFiles:
    """Every ``*.yaml`` and ``*.yml`` of some folders or files, as they are now.

    ``namespace``: that of exports that name none.
    """

    def __init__(self, paths: Sequence[Path], namespace: str) -> None:
        self._paths = paths
        self._namespace = namespace
        self._files: dict[Path, _File] = {}

    def exports(self) -> Exports:
        """Those in force, each with the namespace that it is served in; equal ones are the same."""
        files = {}
        for path in (file for given in self._paths for file in _yaml_files(given)):
            try:
                stamp = _stamp(path)
            except OSError:
                continue  # it was there a moment ago
            known = self._files.get(path)
            files[path] = known if known and known.stamp == stamp else self._read(path, stamp, known)
        self._files = files
        return tuple(export for path in sorted(files) for export in files[path].exports)

    def _read(self, path: Path, stamp: _Stamp, known: _File | None) -> _File:
        try:
            loaded = load_exports(path)
        except PolicyError as error:
            log.warning("%s%s", error, "; what was there before stays in force" if known else "")
            return _File(stamp, known.exports if known else ())
        exports = (one.export for one in loaded)
        return _File(stamp, tuple((one.metadata.namespace or self._namespace, one) for one in exports))


class RegistryProvider:
    """Calling it gives what is served now: the same object as long as nothing changes."""

    def __init__(
        self,
        policies: PolicyStore,
        exports: ExportFiles,
        queries_in: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policies = policies
        self._exports = exports
        self._queries_in = queries_in
        self._clock = clock
        self._looked = float("-inf")
        self._stored: Sequence[StoredPolicy] = ()
        self._seen: tuple[object, ...] = ()
        self._served = MetricRegistry(())

    def __call__(self) -> MetricRegistry:
        """The served metrics; the sources are read at most once a second."""
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            self._look()
        return self._served

    def _look(self) -> None:
        try:
            self._stored = self._policies.policies()
        except ClusterError as error:
            log.debug("the policies of a moment ago stay in force: %s", error)
        exports = self._exports.exports()
        seen = (tuple((one.namespace, one.name, id(one.policy)) for one in self._stored), exports)
        if seen != self._seen:
            self._seen = seen
            self._served = build_registry(self._stored, exports, self._queries_in)
            for problem in self._served.problems:
                log.warning("not served: %s", problem)


def _yaml_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.is_file() else []
    return [one for one in sorted(path.iterdir()) if one.suffix in SUFFIXES and one.is_file()]


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
