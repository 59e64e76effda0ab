"""Time and cost of each way of starting, side by side: ``autoscale startup``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from autoscaler.errors import Diagnostic, ProfileError
from simulator.startup.choices import Choice, assemble, choose, component_names
from simulator.startup.components import WeightsPart
from simulator.startup.plan import GIB, ModelSize, StartDraw, StartupModel
from simulator.startup.prices import Price, storage_price

COMPARED = (
    "gcsfuse",
    "gcsfuse-parallel",
    "local-ssd",
    "pd-ssd",
    "hyperdisk-ml",
    "hyperdisk-ml+streamer",
    "filestore",
    "gcs-streamer",
    "hf-hub",
)
"""The weights of the guide's table, with the loaders that matter; other phases take the usual component."""

SAMPLES = 4000
_SEED = 0


@dataclass(frozen=True, slots=True)
class StartConditions:
    """The scale-up to compare: a model, and ``pods`` that start at once."""

    model: ModelSize
    image_gb: float | None = None
    gpus: int = 1
    pods: int = 1
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class StartRow:
    """One way of starting. Seconds; dollars where a price is known.

    ``median``: the medians of the phases; ``p95_s``: the 95th percentile of their sum. ``gpu_hours``
    and ``cost_usd`` are for all GPUs of all pods of one scale-up. ``storage_gib`` is provisioned for
    one node, or for all nodes where the storage is shared.
    """

    startup: StartupModel
    weights: WeightsPart
    median: StartDraw
    p95_s: float
    gpu_hours: float
    cost_usd: float | None
    storage_gib: float | None
    storage_usd_per_month: float | None

    def as_json(self) -> dict[str, Any]:
        """The row, JSON-ready."""
        return {
            "name": self.startup.name,
            "components": list(self.startup.components),
            "node_s": round(self.median.node_s, 3),
            "image_s": round(self.median.image_s, 3),
            "weights_s": round(self.median.weights_s, 3),
            "engine_s": round(self.median.engine_s, 3),
            "total_s": round(self.median.total_s, 3),
            "p95_s": round(self.p95_s, 3),
            "gpu_hours": round(self.gpu_hours, 6),
            "cost_usd": None if self.cost_usd is None else round(self.cost_usd, 6),
            "warm_up": self.weights.warm_up,
            "model_update": self.weights.model_update,
            "over_provisioning": self.weights.over_provisioning,
            "storage_gib": None if self.storage_gib is None else round(self.storage_gib, 3),
            "storage_shared_by": self.weights.storage.shared_by if self.weights.storage else None,
            "storage_usd_per_month": (
                None if self.storage_usd_per_month is None else round(self.storage_usd_per_month, 2)
            ),
            "sources": self.startup.sources,
        }


def compare(names: Sequence[str], node: str, question: StartConditions) -> list[StartRow]:
    """One row for each start-up, in the order given; ``node``: for start-ups that name no node.

    Raises ``ProfileError``: a name does not exist.
    """
    nodes = component_names()["node"]
    if node not in nodes:
        message = f"is not a node: must be one of {', '.join(nodes)}"
        raise ProfileError([Diagnostic(node, None, "--node", message)])
    return [_row(name, choose(name, node, "NAME"), question) for name in names]


def _row(name: str, choice: Choice, question: StartConditions) -> StartRow:
    startup = _shared(assemble(name, choice, question.image_gb), question.pods)
    median = startup.median(question.model)
    gpu_hours = median.total_s * question.gpus * question.pods / 3600.0
    price = question.price
    storage = choice.weights.storage
    gib = storage.gib(question.model.weights_bytes / GIB) if storage else None
    row = storage_price(storage.kind) if storage else None
    return StartRow(
        startup=startup,
        weights=choice.weights,
        median=median,
        p95_s=_p95(startup, question.model),
        gpu_hours=gpu_hours,
        cost_usd=None if price is None else gpu_hours * price.usd_per_gpu_hour,
        storage_gib=gib,
        storage_usd_per_month=None if gib is None or row is None else gib * row.usd_per_gib_month,
    )


def _shared(startup: StartupModel, pods: int) -> StartupModel:
    """The start-up when ``pods`` equally fast readers begin at one moment: each gets an equal share."""
    rate, shared = startup.weights_gb_per_s, startup.shared_gb_per_s
    if rate is None or shared is None:
        return startup
    return replace(startup, weights_gb_per_s=min(rate, shared / pods))


def _p95(startup: StartupModel, model: ModelSize) -> float:
    """The 95th percentile of the sum, from a fixed sample."""
    totals = sorted(startup.draw(model, _SEED, index).total_s for index in range(SAMPLES))
    return totals[round(0.95 * (SAMPLES - 1))]
