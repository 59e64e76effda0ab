"""The rows of a batch: JSON lines, CSV or Parquet, one after the other."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autoscaler.documents.text_lines import Lines
from autoscaler.errors import Diagnostic, InputError, MissingExtraError

_FIELD_BYTES = 64 * 2**20
_BATCH_ROWS = 1024
_TABLES = (".csv", ".parquet")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


class InputRow(NamedTuple):
    """One row: its number from 0, its line where it has one, and its columns."""

    number: int
    line: int | None
    columns: Mapping[str, Any]


def read_rows(path: Path) -> Iterator[InputRow]:
    """The rows of a file, by the end of its name: .csv, .parquet, otherwise JSON lines (also .gz).

    Raises:
        InputError: while iterating; the file cannot be read, or a row is wrong.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    table_inside = Path(path.stem).suffix in _TABLES
    if path.suffix in _COMPRESSED and (table_inside or path.suffix != ".gz"):
        message = "is compressed, which only JSON lines may be, by gzip: decompress it"
        raise InputError([Diagnostic(str(path), None, "", message)])
    if path.suffix == ".parquet":
        return _parquet(path)
    return _csv(path) if path.suffix == ".csv" else _json_lines(path)


def _json_lines(path: Path) -> Iterator[InputRow]:
    lines = Lines(path, InputError)
    number = 0
    for first, block in lines.blocks():
        for line, text in enumerate(block.splitlines(), start=first):
            if not text.strip():
                continue
            try:
                columns = json.loads(text)
            except ValueError as error:
                raise lines.fail(line, "", f"is not valid JSON: {error}") from None
            if not isinstance(columns, dict):
                raise lines.fail(line, "", 'is not a JSON object; write one a line, like {"prompt": "Hi"}')
            yield InputRow(number, line, columns)
            number += 1


def _csv(path: Path) -> Iterator[InputRow]:
    """Fields may hold line ends, so this is not read line by line; a row's line is its last one."""
    csv.field_size_limit(_FIELD_BYTES)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for number, columns in enumerate(reader):
                if None in columns or None in columns.values():
                    message = f"does not have the header's {len(reader.fieldnames or ())} fields"
                    raise InputError([Diagnostic(str(path), reader.line_num, "", message)])
                yield InputRow(number, reader.line_num, columns)
    except csv.Error as error:
        raise InputError([Diagnostic(str(path), reader.line_num, "", f"is not a CSV row: {error}")]) from None
    except UnicodeDecodeError as error:
        raise InputError([Diagnostic(str(path), None, "", f"is not UTF-8 (byte {error.start})")]) from None
    except OSError as error:
        raise InputError([Diagnostic(str(path), None, "", f"cannot be read: {error.strerror}")]) from None


def _parquet(path: Path) -> Iterator[InputRow]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        message = "Parquet needs pyarrow: pip install 'vllm-autoscaler[parquet]'"
        raise MissingExtraError(message) from None
    try:
        with ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS):
                for columns in batch.to_pylist():
                    yield InputRow(number, None, columns)
                    number += 1
    except (ArrowException, OSError) as error:
        raise InputError([Diagnostic(str(path), None, "", f"cannot be read: {error}")]) from None
