"""``autoscale startup``: what each way of starting a replica takes and costs."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from autoscaler.cli.options.declared import Options, argument, option, takes
from autoscaler.cli.options.shell_completion import complete_profile, complete_startup
from autoscaler.files import atomic_writer, check_output

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B?|B)", re.IGNORECASE)
_NUMBERS = ("seconds", "model_seconds", "gb_per_s", "shared_gb_per_s")
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


class SizeType(click.ParamType[float]):
    """``18GiB`` or ``18GB`` as bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to bytes; a usage error says what is wrong."""
        if isinstance(value, float):
            return value
        match = _SIZE.fullmatch(value.strip())
        if match is None or float(match[1]) == 0.0:
            self.fail(f"{value!r} is not a size: write it like 18GiB (2^30 bytes) or 18GB (10^9)", param, ctx)
        unit = match[2].lower()
        step = 1024.0 if "i" in unit else 1000.0
        return float(match[1]) * float(step ** _POWERS.get(unit[0], 0))


class StartupOptions(Options):
    """The command line."""

    names: tuple[str, ...] = argument(nargs=-1, metavar="[NAME[+NAME…]]…", shell_complete=complete_startup)
    model_size: float | None = option(type=SizeType(), metavar="SIZE", help="Bytes of weights, like 18GiB.")
    layers: int | None = option(
        type=click.IntRange(1, 10_000),
        metavar="N",
        help="The model's layers.  [default: as usual for the size]",
    )
    profile: str | None = option(
        metavar="NAME|FILE",
        shell_complete=complete_profile,
        help="Take size, layers, GPU and GPUs from a profile.  [default: gemma2-9b-h100]",
    )
    gpus: int | None = option(type=click.IntRange(1, 64), metavar="N", help="GPUs of one replica.")
    pods: int = option(
        type=click.IntRange(1, 10_000), default=1, metavar="K", help="Pods that start at once."
    )
    image_size: float | None = option(
        type=SizeType(), metavar="SIZE", help="The container image.  [default: 16GB]"
    )
    node: str = option(
        default="standard-node",
        metavar="NAME",
        help="The node of the rows that name none; its usual image and engine are taken too.",
    )
    price: str | None = option(
        metavar="USD|machine=NAME|spot", help="Dollars a GPU-hour, or whose list price."
    )
    json_file: Path | None = option(
        "--json",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the rows with all sources; - for standard output.",
    )
    components: bool = option(is_flag=True, help="List every component with its numbers' source.")


@click.command(context_settings={"show_default": True})
@takes(StartupOptions)
def startup(options: StartupOptions) -> None:
    """Compare ways of starting a replica: node, image, weights, engine.

    A NAME is a list of components joined by +, as for `autoscale simulate --startup`; without any,
    every way of loading weights is compared. Numbers are measured, reported or assumed: each has
    its source in --components and --json.
    """
    if options.components:
        click.echo(_listing(), nl=False)
        return
    if options.json_file:
        check_output(options.json_file, "--json")
    document = _document(options)
    if options.json_file:
        with atomic_writer(options.json_file, "--json") as file:
            file.write(json.dumps(document, indent=2) + "\n")
    click.echo("\n".join(_table(document)), err=options.json_file == Path("-"))


def _document(options: StartupOptions) -> dict[str, Any]:
    from simulator.startup.alternatives import COMPARED, StartConditions, compare
    from simulator.startup.plan import profile_model, sized
    from simulator.startup.prices import find_price
    from simulator.vllm.profile import load_profile

    profile = load_profile(options.profile or "gemma2-9b-h100")
    gpus = options.gpus or profile.gpus_per_replica
    model = profile_model(profile)
    if options.model_size:
        model = sized(options.model_size, profile.layers if options.profile else None)
    if options.layers:
        model = replace(model, layers=options.layers)
    image = options.image_size and options.image_size / 1e9
    price = find_price(profile.gpu, gpus, options.price)
    question = StartConditions(model, image, gpus, options.pods, price)
    rows = compare(options.names or COMPARED, options.node, question)
    return {
        "model_bytes": round(model.weights_bytes),
        "layers": round(model.layers),
        "gpu": profile.gpu,
        "gpus": gpus,
        "pods": options.pods,
        "price": None
        if price is None
        else {"usd_per_gpu_hour": price.usd_per_gpu_hour, "machine": price.machine, "as_of": price.as_of},
        "rows": [row.as_json() for row in rows],
    }


def _table(document: dict[str, Any]) -> Iterator[str]:
    pods, gpus = document["pods"], document["gpus"]
    size = f"{document['model_bytes'] / 2**30:.1f} GiB"
    size += f" of weights in {document['layers']} layers"
    yield f"{size}, {gpus} x {document['gpu']}, {pods} pod{'' if pods == 1 else 's'} at once"
    yield ""
    rows = document["rows"]
    width = max(14, *(len(row["name"]) for row in rows))
    yield f"{'median seconds':<{width}}  node image weights engine total   p95 GPU-hours      cost"
    for row in rows:
        cost = "-" if row["cost_usd"] is None else f"${row['cost_usd']:,.2f}"
        yield (
            f"{row['name']:<{width}} {row['node_s']:5.0f} {row['image_s']:5.0f} {row['weights_s']:7.0f}"
            f" {row['engine_s']:6.0f} {row['total_s']:5.0f} {row['p95_s']:5.0f}"
            f" {row['gpu_hours']:9.3f} {cost:>9}"
        )
    yield ""
    yield from _guide(rows)
    yield ""
    yield _told("", _sources(rows))
    yield _told("", _price(document))


def _guide(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The columns of words, once for each way of storing weights."""
    seen = set()
    for row in rows:
        weights = row["components"][2]
        if weights in seen:
            continue
        seen.add(weights)
        yield f"{weights}"
        yield _told("  warm-up            ", row["warm_up"])
        yield _told("  model update       ", row["model_update"])
        yield _told("  over-provisioning  ", row["over_provisioning"])
        if row["storage_gib"] is not None:
            usd = row["storage_usd_per_month"]
            price = "no price here" if usd is None else f"${usd:,.2f} a month"
            storage = f"{row['storage_gib']:,.0f} GiB for {row['storage_shared_by']}: {price}"
            yield _told("  storage            ", storage)


def _sources(rows: Sequence[dict[str, Any]]) -> str:
    """The storages whose rates are not published, and where the other sources are."""
    storages = dict.fromkeys(row["components"][2] for row in rows)
    sources = {name: source for row in rows for name, source in row["sources"].items()}
    assumed = ", ".join(name for name in storages if sources[name].startswith("assumed"))
    told = f"Assumed, without a published figure: the storage rate of {assumed}. " if assumed else ""
    return f"{told}Every number's source: --components."


def _told(head: str, text: str) -> str:
    """A text beside its head, wrapped for a terminal of 80 columns."""
    indent = " " * len(head)
    return textwrap.fill(text, 80, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)


def _price(document: dict[str, Any]) -> str:
    price = document["price"]
    if price is None:
        return f"No price is known for {document['gpu']}: give dollars a GPU-hour with --price."
    usd = f"${price['usd_per_gpu_hour']:.2f} a GPU-hour"
    if price["machine"] is None:
        return f"Price: {usd}, as given."
    return f"Price: {usd}, {price['machine']}, list price of {price['as_of']}; --price overrides."


def _listing() -> str:
    from simulator.startup.components import components

    known = components()
    lines = []
    for title, parts in (
        ("node", known.nodes),
        ("image", known.images),
        ("weights", known.weights),
        ("loader", known.loaders),
        ("imports", known.imports),
        ("engine", known.engines),
    ):
        lines.append(f"{title}")
        for part in parts:
            numbers = ((name, getattr(part, name, None)) for name in _NUMBERS)
            shown = ", ".join(f"{name} {value:g}" for name, value in numbers if value is not None)
            lines.append(f"  {part.name:<22} {shown}")
            lines.append(_told(" " * 25, part.source))
    lines.append("preset")
    lines += [_told(f"  {name:<22} ", parts_) for name, parts_ in known.presets.items()]
    return "\n".join(lines) + "\n"
