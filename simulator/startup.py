"""From "replicas + 1" to a ready pod: node, image, weights, engine. Data in ``startup.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from autoscaler.errors import Problem, ProfileError
from simulator.profile import Profile
from simulator.yaml_model import read_model

MAX_SECONDS = 86400.0
Seconds = Annotated[float, Field(ge=0.0, le=MAX_SECONDS)]
GIB = 2**30


class StartUp(BaseModel):
    """How long a replica takes to start. The pod is Pending for node and image, then loads."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    node_s: Seconds = 0.0
    """Until a node with the GPU is there; 0 where one waits."""
    image_s: Seconds = 0.0
    """Until the container's image is there."""
    weights_gb_per_s: Annotated[float, Field(gt=0.0, le=1000.0)] | None = None
    """The lesser of the storage's and the loader's bandwidth, in 10^9 bytes a second. None: the
    engine's time includes the weights."""
    engine_s: Seconds = 0.0
    """Imports, compilation, CUDA graphs, until the server answers."""
    provenance: str = ""

    def seconds(self, profile: Profile) -> tuple[float, float]:
        """(seconds Pending, seconds loading) of one replica of this profile."""
        weights_s = 0.0
        if self.weights_gb_per_s is not None:
            weights_s = profile.memory.weights_gib * GIB / (self.weights_gb_per_s * 1e9)
        return self.node_s + self.image_s, weights_s + self.engine_s


class _Presets(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    presets: tuple[StartUp, ...]


def startup_presets() -> dict[str, StartUp]:
    """The named start-ups that come along."""
    presets = read_model(Path(__file__).with_name("startup.yaml"), _Presets).presets
    return {preset.name: preset for preset in presets}


def load_startup(name_or_seconds: str) -> StartUp:
    """A named start-up, or one that loads for this many seconds (the pod is never Pending).

    Raises ``ProfileError``: it is neither.
    """
    presets = startup_presets()
    if name_or_seconds in presets:
        return presets[name_or_seconds]
    try:
        return StartUp(name=name_or_seconds, engine_s=float(name_or_seconds.removesuffix("s")))
    except ValueError:
        wanted = f"one of {', '.join(presets)}, or seconds from 0 to {MAX_SECONDS:g}"
        raise ProfileError([Problem(name_or_seconds, None, "--startup", f"must be {wanted}")]) from None
