"""Results as one table, sorted by row: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from autoscaler.batch.journal import FIELDS, Result
from autoscaler.errors import InputError, MissingExtraError, Problem

TABLES = (".csv", ".parquet")
LINES = (".jsonl", ".json", ".ndjson")


def check_table(path: Path) -> None:
    """Finds out before the work whether results can be written in the form that a name promises.

    Raises:
        InputError: it is none that is written.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if path.suffix not in (*TABLES, *LINES):
        message = f"names no form that is written here: end it in {', '.join((*LINES, *TABLES))}"
        raise InputError([Problem(str(path), None, "--output", message)])
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            message = "Parquet needs pyarrow: pip install 'vllm-autoscaler[parquet]'"
            raise MissingExtraError(message) from None


def write_table(path: Path, results: Sequence[Result]) -> None:
    """Replaces ``path``; it is whole or not there."""
    ordered = sorted(results, key=lambda result: result.row)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.suffix == ".parquet":
            _parquet(draft, ordered)
        else:
            _csv(draft, ordered)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _csv(path: Path, results: Sequence[Result]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(FIELDS)
        rows.writerows(astuple(result) for result in results)


def _parquet(path: Path, results: Sequence[Result]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table as write

    text, count = pa.string(), pa.int64()
    kinds = {"row": count, "prompt_tokens": count, "completion_tokens": count, "attempts": count}
    schema = pa.schema([(name, kinds.get(name, text)) for name in FIELDS])
    columns = [[getattr(result, name) for result in results] for name in FIELDS]
    write(pa.table(columns, schema=schema), path)
