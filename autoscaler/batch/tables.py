"""Results as one table, sorted by row: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from autoscaler.batch.results import FIELDS, RowResult
from autoscaler.errors import Diagnostic, InputError, MissingExtraError
from autoscaler.files import atomic_bytes, atomic_writer

TABLES = (".csv", ".parquet")
LINES = (".jsonl", ".json", ".ndjson")
_ROWS_AT_ONCE = 1024


def check_table(path: Path) -> None:
    """Finds out before the work whether results can be written in the form that a name promises.

    Raises:
        InputError: it is none that is written.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if path.suffix not in (*TABLES, *LINES):
        message = f"has no ending of a form that is written here: end it in {', '.join((*LINES, *TABLES))}"
        raise InputError([Diagnostic(str(path), None, "--output", message)])
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            message = "Parquet needs pyarrow: pip install 'vllm-autoscaler[parquet]'"
            raise MissingExtraError(message) from None


def write_table(path: Path, results: Iterable[RowResult]) -> None:
    """Replaces ``path`` by a table in the order of ``results``; it is whole or not there.

    Raises:
        InputError: it cannot be written.
    """
    if path.suffix == ".parquet":
        with atomic_bytes(path, "--output") as stream:
            _parquet(stream, results)
    else:
        with atomic_writer(path, "--output") as file:
            _csv(file, results)


def _cells(result: RowResult) -> list[Any]:
    """In the order of ``FIELDS``; an answer is JSON text."""
    *cells, response = (getattr(result, name) for name in FIELDS)
    # Half a surrogate pair would be an error in both forms.
    return [*cells, None if response is None else json.dumps(response)]


def _csv(file: TextIO, results: Iterable[RowResult]) -> None:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(FIELDS)
    rows.writerows(map(_cells, results))


def _parquet(stream: BinaryIO, results: Iterable[RowResult]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    text, count = pa.string(), pa.int64()
    kinds = {"row": count, "prompt_tokens": count, "completion_tokens": count, "attempts": count}
    schema = pa.schema([(name, kinds.get(name, text)) for name in FIELDS])
    rest = iter(results)
    with ParquetWriter(stream, schema) as writer:
        while rows := [_cells(result) for result in islice(rest, _ROWS_AT_ONCE)]:
            writer.write_table(pa.table(list(zip(*rows, strict=True)), schema=schema))
