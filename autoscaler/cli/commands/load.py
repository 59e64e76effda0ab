"""`autoscale load TRACE --url …`: replays a trace against a real server and says how it did."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from autoscaler.cli.options.declared import Options, argument, group, option, takes
from autoscaler.cli.options.llm_server import ServerOptions
from autoscaler.cli.options.output_files import check_files
from autoscaler.cli.options.shell_completion import complete_trace
from autoscaler.cli.options.trace import TraceOptions
from autoscaler.files import atomic_writer

if TYPE_CHECKING:
    from autoscaler.client.endpoint import Endpoint
    from autoscaler.client.load_generator import OpenLoop
    from autoscaler.client.scrapes import Scrapes

_FILE = click.Path(dir_okay=False, path_type=Path)
_INTERRUPTED = 130


class LoadOptions(Options):
    """The command line."""

    trace: str = argument(shell_complete=complete_trace)
    server: ServerOptions = group(ServerOptions)
    endpoint: Literal["completions", "chat"] = option(
        type=click.Choice(["completions", "chat"]),
        default="completions",
        help="Completions get prompts of exactly the trace's length, as token ids; chats get about that.",
    )
    replay: TraceOptions = group(TraceOptions)
    seed: int = option(type=int, default=0, help="For the prompts' tokens.")
    json_file: Path | None = option(
        "--json", type=_FILE, metavar="FILE", help="Write the figures; - for standard output."
    )
    requests_file: Path | None = option(
        "--requests", type=_FILE, metavar="FILE.csv[.gz]", help="Write every request."
    )
    metrics_file: Path | None = option(
        "--metrics",
        type=_FILE,
        metavar="FILE.csv[.gz]",
        help="Scrape the server's /metrics every second and write vLLM's gauges.",
    )


@click.command(context_settings={"show_default": True})
@takes(LoadOptions)
def load(options: LoadOptions) -> int:
    """Replay the requests of TRACE against an OpenAI-compatible server, open loop.

    \b
    autoscale load azure-conv --url http://localhost:8000 --span 120
    autoscale load my.csv --url https://chat.example --requests measured.csv

    Requests leave at the trace's times, however slow the answers are, and stream. TRACE, --start,
    --span and --rate-scale are those of `autoscale simulate`, so the same command line predicts what
    this one measures; `autoscale calibrate` reads --requests and --metrics. Ctrl-C reports what there is.
    Status 1: a request failed. One for a wrong model, key or address ends the run at once.
    """  # noqa: D301 (click wants the character, not a backslash)
    return asyncio.run(_run(options))


async def _run(options: LoadOptions) -> int:
    trace = options.replay.open(options.trace)
    files = {
        "--json": options.json_file,
        "--requests": options.requests_file,
        "--metrics": options.metrics_file,
    }
    check_files([(name, path) for name, path in files.items() if path is not None], [options.trace])
    window = trace.window(**options.replay.window)
    async with options.server.endpoint() as endpoint:
        loop = await _open_loop(endpoint, options)
        async with _progress(loop), _scraping(loop, endpoint, options) as scrapes:
            interrupted = await _until_interrupted(asyncio.ensure_future(loop.run(window)))
    failed = _report(loop, scrapes, options)
    return _INTERRUPTED if interrupted else int(failed)


async def _open_loop(endpoint: Endpoint, options: LoadOptions) -> OpenLoop:
    from autoscaler.client.load_generator import OpenLoop
    from autoscaler.client.prompts import Prompts

    model = options.server.model or await endpoint.model()
    return OpenLoop(endpoint, Prompts(model, options.endpoint, options.seed))


@asynccontextmanager
async def _scraping(
    loop: OpenLoop, endpoint: Endpoint, options: LoadOptions
) -> AsyncIterator[Scrapes | None]:
    """Scrapes beside the load, where a file for it was named."""
    from autoscaler.client.scrapes import Scrapes

    if options.metrics_file is None:
        yield None
        return
    scrapes = Scrapes(endpoint, loop.now)
    await scrapes.check()
    async with scrapes.running():
        yield scrapes


async def _until_interrupted(run: asyncio.Future[None]) -> bool:
    """Waits for the run; Ctrl-C and SIGTERM cut it off, and then this is True."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, run.cancel)
    try:
        await run
    except asyncio.CancelledError:
        return True
    return False


@asynccontextmanager
async def _progress(loop: OpenLoop) -> AsyncIterator[None]:
    """A line about the run, every second, on a terminal."""

    async def tell() -> None:
        while True:
            done = sum(request.completed for request in loop.requests)
            counts = f"{len(loop.requests):,} sent, {loop.in_flight:,} running, {done:,} done"
            click.echo(f"\r\x1b[K{loop.now():6.0f} s: {counts}", nl=False, err=True)
            await asyncio.sleep(1.0)

    if not sys.stderr.isatty():
        yield
        return
    teller = asyncio.create_task(tell())
    try:
        yield
    finally:
        teller.cancel()
        click.echo("\r\x1b[K", nl=False, err=True)


def _report(loop: OpenLoop, scrapes: Scrapes | None, options: LoadOptions) -> bool:
    """Writes and prints what was measured; whether any request failed."""
    import json

    from autoscaler.cli.commands.load_report import render, summarize, write_metrics, write_requests

    slo = options.replay.slo
    summary = summarize(loop.requests, slo, _inputs(options))
    if options.requests_file is not None:
        write_requests(options.requests_file, loop.requests)
    if options.metrics_file is not None and scrapes is not None:
        write_metrics(options.metrics_file, scrapes.rows)
        if scrapes.failed:
            click.echo(f"{scrapes.failed} scrapes of /metrics failed", err=True)
    if options.json_file is not None:
        with atomic_writer(options.json_file, "--json") as file:
            file.write(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    click.echo("\n".join(render(summary, slo)), err=options.json_file == Path("-"))
    return bool(summary["failed"])


def _inputs(options: LoadOptions) -> dict[str, Any]:
    """The command line, as far as it makes the run what it is."""
    replay = options.replay
    return {
        "url": options.server.url,
        "trace": options.trace,
        "endpoint": options.endpoint,
        "start": replay.start,
        "span": replay.span,
        "rate_scale": replay.rate_scale,
        "slo": replay.slo,
        "seed": options.seed,
    }
