"""The named components of a start, read from ``components.yaml``.

Plain dataclasses: the file is bundled and tested, and building validators would cost every command
more than reading it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from simulator.documents.bundled import read_bundled


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One option of one phase, with the source of its numbers."""

    name: str
    source: str
    p95_over_p50: float = 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePart(Component):
    """Seconds until a node is there, and the components that usually go with it."""

    seconds: float
    image: str = "image-streaming"
    engine: str = "first-start"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart(Component):
    """The time to get the image: fixed, or from a rate in 10^9 bytes a second."""

    seconds: float = 0.0
    gb_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The storage to provision for the weights. ``kind``: the row of the storage prices."""

    kind: str
    least_gib: float = 0.0
    size_factor: float = 1.0
    shared_by: str
    source: str

    def gib(self, weights_gib: float) -> float:
        """Provisioned GiB for weights of this size."""
        return max(self.least_gib, self.size_factor * weights_gib)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsPart(Component):
    """The place of the weights. The guide's columns: warm-up, model update, over-provisioning.

    Rates in 10^9 bytes a second: of one pod, and of all pods together (None: no shared limit).
    ``then_reads``: the loader begins after the download, not with it, so the two times add up.
    """

    gb_per_s: float
    shared_gb_per_s: float | None = None
    loader: str
    warm_up: str
    model_update: str
    over_provisioning: str
    storage: Storage | None = None
    then_reads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderPart(Component):
    """The rate at which weights get from the storage to the GPU."""

    gb_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportsPart(Component):
    """The time of Python's imports and the API server's start, from a warm page cache."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePart(Component):
    """The time on top of the imports: cold files, compilation, CUDA graphs and the rest."""

    seconds: float = 0.0
    model_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Every component and preset, by phase."""

    image_gb: float
    nodes: tuple[NodePart, ...]
    images: tuple[ImagePart, ...]
    weights: tuple[WeightsPart, ...]
    loaders: tuple[LoaderPart, ...]
    imports: tuple[ImportsPart, ...]
    engines: tuple[EnginePart, ...]
    presets: dict[str, str]


@cache
def components() -> Components:
    """The bundled components."""
    data = read_bundled(Path(__file__).with_name("components.yaml"))
    for row in data["weights"]:
        if "storage" in row:
            row["storage"] = Storage(**row["storage"])
    return Components(
        image_gb=data["image_gb"],
        nodes=tuple(NodePart(**row) for row in data["nodes"]),
        images=tuple(ImagePart(**row) for row in data["images"]),
        weights=tuple(WeightsPart(**row) for row in data["weights"]),
        loaders=tuple(LoaderPart(**row) for row in data["loaders"]),
        imports=tuple(ImportsPart(**row) for row in data["imports"]),
        engines=tuple(EnginePart(**row) for row in data["engines"]),
        presets=data["presets"],
    )
