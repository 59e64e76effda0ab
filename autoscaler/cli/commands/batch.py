"""`autoscale batch INPUT --url … --output …`: every row of a file to a server, each result once."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import click

from autoscaler.cli.options.declared import Options, argument, group, option, takes
from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.llm_server import ServerOptions
from autoscaler.cli.options.output_files import check_files

if TYPE_CHECKING:
    from autoscaler.batch.journal import Journal
    from autoscaler.batch.request_builder import BatchRequest
    from autoscaler.batch.results import RowResult
    from autoscaler.batch.runner import BatchRun
    from autoscaler.client.endpoint import Endpoint
    from autoscaler.client.prompts import Form

_FILE = click.Path(dir_okay=False, path_type=Path)
_INTERRUPTED = 130
MOST_REASONS = 3
"""So many of the errors' reasons are shown; all are in the file."""


def _parameters(_ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=VALUE`` as a mapping; a value is JSON where it can be read as such, else text."""
    given: dict[str, Any] = {}
    for text in values:
        name, separator, value = text.partition("=")
        if not (name and separator):
            raise click.BadParameter(f"{text!r}: write NAME=VALUE, like max_tokens=256", param=param)
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    if given.get("stream"):
        raise click.BadParameter("stream: a batch keeps whole answers, leave it out", param=param)
    return given


class BatchOptions(Options):
    """The command line."""

    input_file: Path = argument(metavar="INPUT", type=_FILE)
    server: ServerOptions = group(ServerOptions)
    output: Path = option(
        "-o",
        "--output",
        required=True,
        type=_FILE,
        metavar="FILE",
        help="Where results go: .jsonl as they come; .csv and .parquet at the end, from a .jsonl beside "
        "them.",
    )
    endpoint: Form = option(
        type=click.Choice(["chat", "completions"]), default="chat", help="What a prompt becomes."
    )
    prompt_column: str = option(default="prompt", metavar="NAME", help="The column that holds the prompt.")
    parameters: Mapping[str, Any] = option(
        "--param",
        multiple=True,
        callback=_parameters,
        metavar="NAME=VALUE",
        help="A parameter of every request, like max_tokens=256 or temperature=0.",
    )
    concurrency: int = option(
        type=click.IntRange(1, 10_000),
        default=64,
        metavar="N",
        help="At most N requests in flight; fewer while the server refuses some.",
    )
    attempts: int = option(
        type=click.IntRange(1, 1000),
        default=5,
        metavar="N",
        help="Send a row that fails N times; then it gets an error.",
    )
    patience: float = option(
        type=FiniteRange(0),
        default=1800.0,
        metavar="S",
        help="Give up after this long without any answer; a server that scales from zero needs minutes.",
    )
    retry_errors: bool = option(is_flag=True, help="Send the rows again that have an error.")
    metrics_port: int | None = option(
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help="Serve /metrics: what waits, which is the signal gatewayQueue.",
    )
    linger: float = option(
        type=FiniteRange(0, 86400),
        default=0.0,
        metavar="S",
        help="With --metrics-port: serve it this long after the end, so that a policy sees an empty queue.",
    )


@click.command(context_settings={"show_default": True})
@takes(BatchOptions)
def batch(options: BatchOptions) -> int:
    """Send every row of INPUT to an OpenAI-compatible server, and keep each answer exactly once.

    \b
    autoscale batch in.jsonl --url http://vllm:8000 -o out.jsonl
    autoscale batch in.csv --url http://vllm:8000 -o out.csv --param max_tokens=64

    INPUT is JSON lines, CSV or Parquet, with a column prompt (or messages, or OpenAI's body). Stopped
    in any way, kill -9 included, the same command continues where it was. Status 1: a row has an
    error, or the server was gone for too long.
    """  # noqa: D301 (click wants the character, not a backslash)
    return asyncio.run(_interruptible(options))


async def _interruptible(options: BatchOptions) -> int:
    """Ctrl-C and SIGTERM end the run; what is in flight will be sent again by the next."""
    work = asyncio.ensure_future(_run(options))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        click.echo("Interrupted; the same command continues from here", err=True)
        return _INTERRUPTED


async def _run(options: BatchOptions) -> int:
    from autoscaler.batch.journal import Journal
    from autoscaler.batch.tables import TABLES, check_table

    check_table(options.output)
    if options.linger and options.metrics_port is None:
        raise click.UsageError("--linger needs --metrics-port: nothing else is served")
    path = options.output
    if path.suffix in TABLES:
        path = path.with_name(path.name + ".jsonl")
    check_files([("--output", file) for file in {options.output, path}], [options.input_file])
    with Journal(path, retry_errors=options.retry_errors) as journal:
        if journal.lost:
            message = "rows of an earlier run have an aborted answer, or none; they are sent again"
            click.echo(f"{path}: {journal.lost:,} {message}", err=True)
        async with options.server.endpoint() as endpoint:
            await _send(endpoint, journal, options)
        return int(journal.failed > 0)


async def _send(endpoint: Endpoint, journal: Journal, options: BatchOptions) -> None:
    from autoscaler.batch.congestion import CongestionWindow
    from autoscaler.batch.request_builder import RequestBuilder
    from autoscaler.batch.runner import BatchRun

    model = options.server.model
    chosen = {"model": model} if model is not None else {}
    asking = RequestBuilder(options.endpoint, options.prompt_column, {**chosen, **options.parameters})
    total, left = _count(asking.read(options.input_file), journal)
    window = CongestionWindow(options.concurrency, Random())
    run = BatchRun(endpoint, journal, window, model, options.attempts, options.patience)
    run.on_wait = lambda error: click.echo(f"Waiting for up to {options.patience:g} s: {error}", err=True)
    async with _queue_told(run, total, options):
        if left:
            with _progress(total, len(journal.done)) as run.on_result:
                await run.run(asking.read(options.input_file))
        _finish(journal, options.output)


def _finish(journal: Journal, output: Path) -> None:
    """Writes the table, where one was asked for, and says how it went."""
    from autoscaler.batch.tables import TABLES, write_table

    if output.suffix in TABLES:
        write_table(output, journal.ordered())
    click.echo(f"{len(journal.done):,} rows, {journal.failed:,} with an error: {output}")
    results = journal.results() if journal.failed else ()
    errors = Counter(result.error for result in results if result.error is not None)
    for message, count in errors.most_common(MOST_REASONS):
        click.echo(f"  {count:,} x {message}")


@asynccontextmanager
async def _queue_told(run: BatchRun, total: int, options: BatchOptions) -> AsyncIterator[None]:
    """Serves the queue's length, and after the end long enough for a policy to see an empty queue."""
    if options.metrics_port is None:
        yield
        return
    from autoscaler.batch.progress_metrics import BatchCollector, served

    async with served(BatchCollector(run, total), options.metrics_port) as port:
        click.echo(f"Metrics on port {port}", err=True)
        yield
        with suppress(asyncio.CancelledError):  # all is done, so nothing is interrupted
            await asyncio.sleep(options.linger)


def _count(asks: Iterable[BatchRequest], journal: Journal) -> tuple[int, int]:
    """All rows, and those without a result; finds every row that is wrong before the first is sent."""
    total = left = 0
    for ask in asks:
        total += 1
        left += not journal.has(ask.row, ask.key)
    journal.check_size(total - left)
    return total, left


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[RowResult], None]]:
    """A bar with the time left, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label="Rows", file=sys.stderr, show_pos=True) as bar:
        bar.update(done)
        yield lambda _: bar.update(1)
