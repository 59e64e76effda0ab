"""A text file, plain or gzip, as blocks of whole numbered lines.

Traces and series are read through this module, so that whatever can be wrong with a file as such
(missing, a directory, binary, a truncated gzip ...) is reported once, and in the same words.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from autoscaler.errors import Diagnostic, InputError

MAX_LINE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_CONTAINER = 31  # zlib's window bits for "a gzip header and trailer are required"


def csv_fields(line: str) -> list[str]:
    """The fields of a CSV row, which is one line.

    Raises:
        csv.Error: a quoted field does not end on the line, or a quote stands where none may.
    """
    return next(csv.reader([line], strict=True)) if '"' in line else line.split(",")


class Lines:
    """One file to read; ``error`` is the class of what is raised when it cannot be read."""

    def __init__(self, path: Path, error: type[InputError]) -> None:
        self.path = path
        self._error = error
        self._line = 1

    def fail(self, line: int | None, field: str, message: str) -> InputError:
        """The error that names this file; the caller raises it."""
        return self._error([Diagnostic(str(self.path), line, field, message)])

    def blocks(self) -> Iterator[tuple[int, str]]:
        r"""Yields ``(first line number, text)``; a text is whole lines, each ending in ``\n``.

        A byte order mark is dropped and ``\r\n`` is read as ``\n``. Blocks hold some tens of
        kilobytes, whatever the size of the file.

        Raises the file's error class for everything but what the lines say.
        """
        self._line = 1
        with self._open() as stream:
            mark = "\ufeff"
            for data in self._whole_lines(self._plain_bytes(stream)):
                text = self._decode(data).removeprefix(mark)
                mark = ""
                yield self._line, text
                self._line += text.count("\n")

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            raise self.fail(None, "", "no such file") from None
        except IsADirectoryError:
            raise self.fail(None, "", "is a directory; name one file in it") from None
        except PermissionError:
            raise self.fail(None, "", "may not be read: permission denied") from None
        except (OSError, ValueError) as error:
            raise self.fail(None, "", f"cannot be opened: {error}") from None

    def _plain_bytes(self, stream: BinaryIO) -> Iterator[bytes]:
        blocks = self._raw_bytes(stream)
        first = next(blocks, b"")
        if first.startswith(_GZIP_MAGIC):
            return self._gunzip(first, blocks)
        return self._chained(first, blocks)

    def _raw_bytes(self, stream: BinaryIO) -> Iterator[bytes]:
        try:
            while block := stream.read(_READ_BYTES):
                yield block
        except OSError as error:
            raise self.fail(self._line, "", f"cannot be read on: {error}") from None

    @staticmethod
    def _chained(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
        yield first
        yield from blocks

    def _gunzip(self, first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
        # zlib rather than the gzip module: it hands out every byte before a truncation, so that
        # the line that was reached is the true one.
        member = zlib.decompressobj(_GZIP_CONTAINER)
        for compressed in self._chained(first, blocks):
            rest = compressed
            while rest:
                if member.eof:
                    member = zlib.decompressobj(_GZIP_CONTAINER)
                try:
                    yield member.decompress(rest)
                except zlib.error as error:
                    raise self._broken_gzip(f"the gzip data is corrupt ({error})") from None
                # Zeros after a member are padding (tapes, some object stores).
                rest = member.unused_data.lstrip(b"\0")
        if not member.eof:
            raise self._broken_gzip("the gzip data is truncated")

    def _broken_gzip(self, what: str) -> InputError:
        return self.fail(self._line, "", f"{what}: it cannot be read beyond this line; fetch the file again")

    def _whole_lines(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        tail = b""
        for block in blocks:
            if b"\0" in block:
                line = self._line + block[: block.index(b"\0")].count(b"\n")
                raise self.fail(
                    line, "", "is binary (a zero byte); CSV or JSON lines in UTF-8 are read, plain or gzip"
                )
            cut = block.rfind(b"\n") + 1
            if cut:
                yield tail + block[:cut]
                tail = block[cut:]
            else:
                tail += block
            if len(tail) > MAX_LINE_BYTES:
                raise self.fail(self._line, "", f"the line is longer than {MAX_LINE_BYTES:,} bytes")
        if tail:
            yield tail + b"\n"

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode().replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = self._line + data.count(b"\n", 0, error.start)
            byte = data[error.start]
            message = f"is not UTF-8 text (byte 0x{byte:02x}); save it as UTF-8"
            raise self.fail(line, "", message) from None
