"""Output files: each appears whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from autoscaler.errors import Diagnostic, InputError

_STDOUT = ("-", "/dev/stdout")
# Higher levels take two to three times as long for files that are a tenth smaller.
_GZIP_LEVEL = 1


def check_output(path: Path, option: str = "") -> None:
    """Finds out early whether a file can be written here; ``option`` names the option that asked for it.

    Raises:
        InputError: it is a directory, or its folder is missing or may not be written.
    """
    if str(path) in _STDOUT:
        return
    mode = _mode(path, option)
    if mode is None or stat.S_ISREG(mode):
        _check_folder(path, option)
    elif stat.S_ISDIR(mode):
        raise _refusal(path, option, "is a directory; name a file to write")


def _mode(path: Path, option: str) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _refusal(path, option, f"cannot be written: {error}") from None


def _check_folder(path: Path, option: str) -> None:
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        what = "is not a directory" if folder.exists() else "does not exist; make it first"
        raise _refusal(path, option, f"cannot be written: the folder {str(folder)!r} {what}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(path, option, f"cannot be written: no permission in the folder {str(folder)!r}")


def _refusal(path: Path, option: str, message: str) -> InputError:
    return InputError([Diagnostic(str(path), None, option, message)])


@contextmanager
def atomic_writer(path: Path, option: str = "") -> Iterator[TextIO]:
    r"""A UTF-8 text file (``\n`` line ends) that appears when the block ends, and not if it raises.

    A name that ends in ``.gz`` is compressed, to the same bytes for the same text.

    Raises:
        InputError, BrokenPipeError: as ``atomic_bytes``.
    """
    with atomic_bytes(path, option) as raw, _compressed(path, raw) as plain:
        text = io.TextIOWrapper(plain, encoding="utf-8", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            text.detach()  # what is below is closed by its own owner


@contextmanager
def atomic_bytes(path: Path, option: str = "") -> Iterator[BinaryIO]:
    """A binary file that appears when the block ends, and not if it raises.

    ``-`` and ``/dev/stdout`` are standard output; pipes and devices are written directly.

    Raises:
        InputError: as ``check_output``, or the disk is full, or fails.
        BrokenPipeError: the reader has left.
    """
    check_output(path, option)
    try:
        with _binary(path, option) as stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        raise _refusal(path, option, f"cannot be written: {error.strerror}") from None


@contextmanager
def _compressed(path: Path, raw: BinaryIO) -> Iterator[BinaryIO]:
    if path.suffix != ".gz":
        yield raw
        return
    # Neither a name nor a time in the header: same inputs, same bytes.
    with (
        gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed,
        io.BufferedWriter(packed, 1 << 16) as buffer,
    ):
        yield cast(BinaryIO, buffer)


@contextmanager
def _binary(path: Path, option: str) -> Iterator[BinaryIO]:
    if str(path) in _STDOUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    mode = _mode(path, option)
    # A pipe or a device cannot be replaced; it is written as it goes.
    in_place = mode is not None and not stat.S_ISREG(mode)
    with path.open("wb") if in_place else _replacement(Path(os.path.realpath(path)), option) as stream:
        yield stream


@contextmanager
def _replacement(path: Path, option: str) -> Iterator[BinaryIO]:
    # In the same folder, because only a rename inside one file system is atomic.
    draft = path.with_name(f".autoscale-{os.urandom(8).hex()}.tmp")
    try:
        stream = draft.open("xb")
    except OSError as error:
        raise _refusal(path, option, f"cannot be written: {error.strerror}") from None
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            draft.unlink()
        raise
