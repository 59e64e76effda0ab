"""The named components of a start, read from ``components.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from simulator.yaml_model import read_model

Positive = Annotated[float, Field(gt=0.0, le=1e6)]
Seconds = Annotated[float, Field(ge=0.0, le=86400.0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(_Part):
    """One option of one phase, with where its numbers come from."""

    name: str
    source: str
    p95_over_p50: Annotated[float, Field(ge=1.0, le=10.0)] = 1.3


class NodePart(Component):
    """How a node comes; the components that usually go with it."""

    seconds: Seconds
    image: str = "image-streaming"
    engine: str = "first-start"


class ImagePart(Component):
    """How the image comes: in a fixed time, or at a rate."""

    seconds: Seconds = 0.0
    gb_per_s: Positive | None = None


class Storage(_Part):
    """What has to be provisioned to hold the weights."""

    kind: str
    """The row of the storage prices."""
    least_gib: Seconds = 0.0
    size_factor: Positive = 1.0
    """Times the weights' size."""
    shared_by: str
    source: str

    def gib(self, weights_gib: float) -> float:
        """Provisioned GiB for weights of this size."""
        return max(self.least_gib, self.size_factor * weights_gib)


class WeightsPart(Component):
    """Where the weights lie. The guide's columns: warm-up, model update, over-provisioning."""

    gb_per_s: Positive
    shared_gb_per_s: Positive | None = None
    loader: str
    warm_up: str
    model_update: str
    over_provisioning: str
    storage: Storage | None = None
    then_reads: bool = False
    """The loader begins after the download, not with it: the two times add up."""


class LoaderPart(Component):
    """How weights get from the storage to the GPU."""

    gb_per_s: Positive


class EnginePart(Component):
    """Imports, compilation, CUDA graphs and the rest, until the server answers."""

    seconds: Seconds
    model_seconds: Seconds


class Components(_Part):
    """All that can be named."""

    image_gb: Positive
    image_source: str
    nodes: tuple[NodePart, ...]
    images: tuple[ImagePart, ...]
    weights: tuple[WeightsPart, ...]
    loaders: tuple[LoaderPart, ...]
    engines: tuple[EnginePart, ...]
    presets: dict[str, str]


@cache
def components() -> Components:
    """The components that come along."""
    return read_model(Path(__file__).with_name("components.yaml"), Components)
