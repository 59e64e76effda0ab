"""The files that a simulation writes: which run goes into which, and in what format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from autoscaler.cli.commands.simulate.options import STDOUT, SimulateOptions
from autoscaler.cli.options.output_files import check_files
from autoscaler.files import atomic_writer
from simulator.report.csv_files import (
    write_decisions_jsonl,
    write_requests_csv,
    write_timeline_csv,
)
from simulator.report.summary import render_json
from simulator.run.result import RunResult

Summaries = Sequence[dict[str, Any]]


def outputs(options: SimulateOptions) -> list[tuple[str, Path]]:
    """Option and file of everything that shall be written."""
    files = {
        "--json": options.json_file,
        "--html": options.html_file,
        "--requests": options.requests_file,
        "--timeline": options.timeline_file,
        "--decisions": options.decisions_file,
    }
    return [(option, path) for option, path in files.items() if path is not None]


def check_outputs(options: SimulateOptions, labels: Sequence[str]) -> None:
    """Every file can be written, and nothing is written over another, or over an input.

    Raises InputError for a file that cannot be, a usage error for two that are one.
    """
    for option, path in outputs(options):
        if (
            option in _PER_RUN
            and len(labels) > 1
            and (path == STDOUT or (path.exists() and not path.is_file()))
        ):
            message = f"{option} writes one file a run, and {path} cannot hold {len(labels)}: name a file"
            raise click.UsageError(message)
    files = [(option, file) for option, path in outputs(options) for file in _files(option, path, labels)]
    named = (options.trace, *options.policies, options.replica.profile, options.replica.startup)
    check_files(files, [*named, *options.series.values()])


def write_outputs(results: Sequence[RunResult], summaries: Summaries, options: SimulateOptions) -> None:
    """Writes everything that was asked for, each file whole or not at all."""
    labels = [result.label for result in results]
    for option, path in outputs(options):
        if option in _PER_RUN:
            for own, result in zip(_files(option, path, labels), results, strict=True):
                _PER_RUN[option](own, result)
        else:
            with atomic_writer(path, option) as file:
                file.write(_TOGETHER[option](results, summaries))


def _files(option: str, path: Path, labels: Sequence[str]) -> list[Path]:
    """One file for all runs, or one for each: ``out.csv.gz`` of the run ``chat`` is ``out.chat.csv.gz``.

    Labels that differ only in what a file name leaves out are numbered.
    """
    if option not in _PER_RUN or len(labels) == 1:
        return [path]
    stem, dot, suffixes = path.name.partition(".")
    names = [re.sub("[^A-Za-z0-9-]+", "-", label).strip("-") or "run" for label in labels]
    seen = Counter(name for name, label in zip(names, labels, strict=True) if name == label)
    for index, (name, label) in enumerate(zip(tuple(names), labels, strict=True)):
        if name != label:  # a label that is a file name as it stands keeps it
            seen[name] += 1
            names[index] = name if seen[name] == 1 else f"{name}.{seen[name]}"
    return [path.with_name(f"{stem}.{name}{dot}{suffixes}") for name in names]


def _json(_results: Sequence[RunResult], summaries: Summaries) -> str:
    return render_json(summaries)


def _html(results: Sequence[RunResult], summaries: Summaries) -> str:
    from simulator.report.html import render_html  # only those pay who want it

    return render_html(results, summaries)


_TOGETHER: dict[str, Callable[[Sequence[RunResult], Summaries], str]] = {"--json": _json, "--html": _html}
_PER_RUN: dict[str, Callable[[Path, RunResult], None]] = {
    "--requests": lambda path, result: write_requests_csv(path, result.requests),
    "--timeline": lambda path, result: write_timeline_csv(path, result.timeline),
    "--decisions": lambda path, result: write_decisions_jsonl(path, result.decisions),
}
