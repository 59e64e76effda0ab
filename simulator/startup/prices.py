"""List prices of machines and storage, and the price of ``--price``. Data in ``prices.yaml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from autoscaler.errors import Diagnostic, ProfileError
from simulator.documents.bundled import read_bundled

_TABLE = Path(__file__).with_name("prices.yaml")
_NUMBER = re.compile(r"\$?(\d+(?:\.\d+)?)(?:\$?/GPU-hour)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MachineRow:
    """The price of one machine type with all its GPUs; ``gpu``: words of a profile's ``gpu``."""

    machine: str
    gpu: str
    gpus: int
    on_demand_usd_per_hour: float
    date: date
    source: str
    spot_usd_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class StorageRow:
    """The price of a GiB of one kind of storage for a month."""

    kind: str
    usd_per_gib_month: float
    date: date
    source: str


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a GPU-hour and its source; ``machine`` and ``as_of`` None for the user's own price."""

    usd_per_gpu_hour: float
    machine: str | None
    kind: str
    as_of: str | None
    source: str


@cache
def _machines() -> tuple[MachineRow, ...]:
    return tuple(MachineRow(**row) for row in read_bundled(_TABLE)["machines"])


@cache
def _storage() -> tuple[StorageRow, ...]:
    return tuple(StorageRow(**row) for row in read_bundled(_TABLE)["storage"])


def find_price(gpu: str, gpus: int, asked: str | None = None) -> Price | None:
    """The price of one GPU of a replica; None if no row fits and no price was given.

    ``asked``: dollars a GPU-hour, or ``machine=NAME`` and ``spot``, joined by commas. Of several
    machines with the GPU the smallest that holds the replica is taken, else the largest.

    Raises ``ProfileError``: ``asked`` is neither form, or names a machine without a row or spot price.
    """
    words = [word.strip() for word in asked.split(",")] if asked else []
    if len(words) == 1 and (number := _NUMBER.fullmatch(words[0])):
        return Price(float(number[1]), None, "given", None, "--price")
    spot = "spot" in words
    machines = [word.removeprefix("machine=") for word in words if word.startswith("machine=")]
    if len(machines) > 1 or len(words) != len(machines) + spot:
        raise _refusal(
            asked, "must be dollars a GPU-hour like 2.50, or machine=NAME, spot, or both joined by a comma"
        )
    row = _machine(machines[0], asked) if machines else _fitting(_rows_of(gpu), gpus)
    if row is None:
        if spot:
            raise _refusal(asked, f"no machine with {gpu!r} has a price here: give dollars a GPU-hour")
        return None
    return _priced(row, spot, asked)


def storage_price(kind: str) -> StorageRow | None:
    """The row of a kind of storage, if there is one."""
    return next((row for row in _storage() if row.kind == kind), None)


def machine_names() -> tuple[str, ...]:
    """The machines that have a price."""
    return tuple(row.machine for row in _machines())


def machine_row(name: str) -> MachineRow | None:
    """The row of a machine, if there is one."""
    return next((row for row in _machines() if row.machine == name), None)


def _rows_of(gpu: str) -> list[MachineRow]:
    words = set(re.split(r"[^a-z0-9]+", gpu.lower()))
    return [row for row in _machines() if words >= set(row.gpu.lower().split())]


def _fitting(rows: Sequence[MachineRow], gpus: int) -> MachineRow | None:
    """The smallest machine with ``gpus`` GPUs, else the largest; None if the rows are of different GPUs."""
    if len({row.gpu for row in rows}) != 1:
        return None
    by_size = sorted(rows, key=lambda row: row.gpus)
    return next((row for row in by_size if row.gpus >= gpus), by_size[-1])


def _machine(name: str, asked: str | None) -> MachineRow:
    row = machine_row(name)
    if row is None:
        raise _refusal(asked, f"{name!r} has no price here (there are: {', '.join(machine_names())})")
    return row


def _priced(row: MachineRow, spot: bool, asked: str | None) -> Price:
    usd = row.spot_usd_per_hour if spot else row.on_demand_usd_per_hour
    if usd is None:
        raise _refusal(asked, f"{row.machine} has no spot price here: give dollars a GPU-hour")
    kind = "spot" if spot else "on-demand"
    return Price(usd / row.gpus, row.machine, kind, row.date.isoformat(), row.source)


def _refusal(asked: str | None, message: str) -> ProfileError:
    return ProfileError([Diagnostic(str(asked), None, "--price", message)])
