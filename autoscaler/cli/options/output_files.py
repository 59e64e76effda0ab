"""Before anything runs: what a command writes can be written, and is written over nothing that it needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from autoscaler.files import check_output


def check_files(files: Sequence[tuple[str, Path]], inputs: Iterable[str | Path]) -> None:
    """Checks options and their files; ``inputs`` may hold names that are not files.

    Raises:
        InputError: a file cannot be written.
        click.UsageError: two outputs are the same file, or one is an input.
    """
    read = [Path(one) for one in inputs if Path(one).is_file()]
    for option, path in files:
        check_output(path, option)
        if path.is_file() and any(map(path.samefile, read)):
            raise click.UsageError(f"{option}: {path} is also read: give the result a name of its own")
    if len({os.path.realpath(path) for _, path in files}) < len(files):
        raise click.UsageError("two outputs have the same name: give each its own")
