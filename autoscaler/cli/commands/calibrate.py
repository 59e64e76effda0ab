"""`autoscale calibrate`: fits a profile to what a user recorded of a real vLLM."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoscaler.cli.options.declared import Options, argument, option, takes
from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.output_files import check_files
from autoscaler.cli.options.shell_completion import complete_profile
from autoscaler.files import atomic_writer

if TYPE_CHECKING:
    from simulator.calibration.recording import Recording
    from simulator.vllm.profile import Profile, StepTime

_FILE = click.Path(dir_okay=False, path_type=Path)


class CalibrateOptions(Options):
    """The command line."""

    requests: tuple[Path, ...] = argument(nargs=-1, required=True, type=_FILE)
    metrics: tuple[Path, ...] = option(
        multiple=True,
        type=_FILE,
        metavar="FILE",
        help="The scrape series of each requests file, in the same order: says how large the KV cache is.",
    )
    base: str = option(
        required=True,
        metavar="NAME|FILE",
        shell_complete=complete_profile,
        help="The profile to begin with: step times are fitted, and the KV cache with --metrics; the rest "
        "stays.",
    )
    until: float | None = option(
        type=FiniteRange(0, min_open=True),
        metavar="S",
        help="Fit what had ended by second S of the last file only, and judge its rest.",
    )
    output: Path = option(
        "-o", "--output", required=True, type=_FILE, metavar="FILE", help="The profile to write."
    )
    name: str | None = option(metavar="NAME", help="The profile's name.  [default: the output file's]")


@click.command()
@takes(CalibrateOptions)
def calibrate(options: CalibrateOptions) -> None:
    """Fit a profile's step times to recorded REQUESTS, by simulating them.

    REQUESTS is a CSV with sent_s, prompt_tokens, output_tokens, ttft_s and e2e_s, one request a row.
    A minute of real load teaches more than single requests: record some of each, with
    `autoscale load --requests FILE --metrics FILE`.
    """
    from simulator.calibration.fit import fit
    from simulator.calibration.recording import read_recording
    from simulator.vllm.profile import load_profile, profile_yaml

    requests, metrics, until = options.requests, options.metrics, options.until
    if metrics and len(metrics) != len(requests):
        message = f"--metrics goes with each requests file: {len(metrics)} of them with {len(requests)} files"
        raise click.UsageError(message)
    check_files([("--output", options.output)], [*requests, *metrics])
    given = load_profile(options.base)
    scrapes: tuple[Path | None, ...] = metrics or (None,) * len(requests)
    recordings = [read_recording(*files) for files in zip(requests, scrapes, strict=True)]
    known = [*recordings[:-1], recordings[-1] if until is None else recordings[-1].until(until)]
    _check_until(recordings[-1], until)
    start = _with_measured_cache(given, known)
    with _progress() as progress:
        step_time = fit(start, known, progress)
    fitted = _named(given, start, step_time, options.name or options.output.stem, known)
    for recording in known:
        _report(fitted, recording, "fitted")
    if until is not None:
        _report_rest(fitted, recordings[-1], until)
    with atomic_writer(options.output, "--output") as file:
        file.write(profile_yaml(fitted))
    click.echo(f"Wrote {options.output}")


def _check_until(recording: Recording, until: float | None) -> None:
    """There is something to fit before that second, and something to judge after it."""
    if until is None:
        return
    if not any(map(recording.until(until).seen, recording.requests)):
        raise click.UsageError(f"--until {until:g}: no request of {recording.name} had ended by then")
    if all(request.sent_s < until for request in recording.requests):
        raise click.UsageError(f"--until {until:g}: {recording.name} has no request after that")


def _with_measured_cache(start: Profile, known: list[Recording]) -> Profile:
    """The KV cache as the scrape series show it; and a line about where they and the base differ."""
    from simulator.calibration.kv_capacity import measured_blocks, with_blocks

    gauges = [gauge for recording in known for gauge in recording.gauges]
    if not gauges:
        return start
    most = int(max(gauge.running for gauge in gauges))
    if most > start.scheduler.max_num_seqs:
        raise click.UsageError(
            f"{most} requests ran at once, and {start.name} has max_num_seqs {start.scheduler.max_num_seqs}:"
            " write the server's limits into the base profile"
        )
    blocks = measured_blocks(start, known)
    memory = start.memory if blocks is None else with_blocks(start, blocks)
    if blocks is None:
        found = f"as in {start.name}: the scrapes do not show it"
    elif memory is start.memory:
        found = f"as in {start.name}: the scrapes confirm it"
    else:
        found = f"by the scrapes; {start.name} has {start.memory.kv_cache_tokens:,}"
    click.echo(f"KV cache: {memory.kv_cache_tokens:,} tokens, {found}")
    return replace(start, memory=memory)


@contextmanager
def _progress() -> Iterator[Callable[[float], None] | None]:
    """A bar with the time left, on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label="Fitting", file=sys.stderr) as bar:
        yield lambda done: bar.update(int(done * 1000) - bar.pos)


def _named(base: Profile, start: Profile, step_time: StepTime, name: str, known: list[Recording]) -> Profile:
    files = ", ".join(f"{recording.name} ({len(recording.requests):,} requests)" for recording in known)
    cache = "" if start.memory is base.memory else " KV cache from their scrapes,"
    provenance = f"Step times fitted by simulation to {files};{cache} the rest from {base.name}."
    return replace(start, name=name, step_time=step_time, provenance=provenance)


def _report(profile: Profile, recording: Recording, what: str) -> None:
    from simulator.calibration.fidelity import errors, replay_recording, signal_errors

    pairs = zip(replay_recording(profile, recording), recording.requests, strict=True)
    seen = [(ours, real) for ours, real in pairs if recording.seen(real)]
    click.echo(f"{recording.name}, {what}: error of {len(seen):,} requests")
    _table(errors([ours for ours, _ in seen], [real for _, real in seen]))
    if recording.gauges:
        for signal, error in signal_errors(profile, recording).items():
            correlation = "-" if error.correlation is None else f"{error.correlation:.3f}"
            click.echo(
                f"  {signal:<9} real mean {error.real_mean:.3g}, off by {error.bias:+.3g} on average,"
                f" {error.mean_absolute:.3g} absolute, correlation {correlation}"
            )


def _report_rest(profile: Profile, recording: Recording, until: float) -> None:
    """The part that the fit has not seen, simulated with what came before it."""
    from simulator.calibration.fidelity import errors, replay_recording

    pairs = zip(replay_recording(profile, recording), recording.requests, strict=True)
    rest = [(ours, real) for ours, real in pairs if real.sent_s >= until]
    click.echo(f"{recording.name}, from {until:g} s on, not fitted: error of {len(rest):,} requests")
    _table(errors([ours for ours, _ in rest], [real for _, real in rest]))


def _table(found: dict[str, dict[str, float]]) -> None:
    for quantity, statistics in found.items():
        cells = "".join(f"{name:>6} {value:+7.1%}" for name, value in statistics.items())
        click.echo(f"  {quantity:<5}{cells}")
