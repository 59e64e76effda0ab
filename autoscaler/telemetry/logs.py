"""Structured logs on standard output, one JSON object a line, as Cloud Logging reads them.

Severities are Cloud Logging's (``severity``, ``message``, ``time``); whatever a call gives as
``extra`` becomes a field of its own. ``--log-format text`` writes the same for people. Lines are
written by a thread of their own, so that a pipe that is not read stops nothing but the log.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from autoscaler.telemetry.background import BackgroundWriter
from autoscaler.timestamps import to_rfc3339

MAX_WAITING = 10_000
"""Lines that may wait to be written."""

CLOSE_SECONDS = 2.0
"""How long the end of the process waits for the lines that are left."""

_SEVERITIES = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARNING",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "CRITICAL",
}
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: dict[str, Any] = {
            "severity": _SEVERITIES.get(record.levelno, "DEFAULT"),
            "time": to_rfc3339(record.created, digits=6),
            "message": record.getMessage(),
            "logger": record.name,
        }
        fields |= _extra(record)
        if record.exc_info:
            # Error Reporting finds a traceback in the message.
            fields["message"] += "\n" + self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A record as one line for people: time, severity, message, and the fields behind it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; a traceback takes more lines."""
        severity = _SEVERITIES.get(record.levelno, record.levelname)
        fields = "".join(f"  {name}={value}" for name, value in _extra(record).items())
        text = f"{to_rfc3339(record.created)}  {severity:<7}  {record.getMessage()}{fields}"
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


class BackgroundHandler(logging.Handler):
    """Writes records to a stream in a thread of its own. Lines that are lost are counted and marked."""

    def __init__(self, stream: TextIO, limit: int = MAX_WAITING) -> None:
        """``limit``: lines that may wait."""
        super().__init__()
        self.lost = 0
        self._count: Callable[[int], object] = lambda _: None
        self._send = _sender(stream)
        self._writer = BackgroundWriter("logs", self, limit)

    def count_losses(self, count: Callable[[int], object]) -> None:
        """Calls ``count`` with the number of lines that were lost, now and whenever more are."""
        self._count = count
        count(self.lost)

    def emit(self, record: logging.LogRecord) -> None:
        """Hands the record's line over; returns at once."""
        try:
            line = self.format(record)
        except Exception as error:  # logging's own way out, a traceback on stderr, may block
            problem = f"a record could not be formatted: {error}: {record.msg!r}"
            line = self.format(_record(logging.ERROR, problem))
        self._writer.put(line)

    def flush(self) -> None:
        """Waits for what was logged to be written, though not for long."""
        self._writer.flush(CLOSE_SECONDS)

    def close(self) -> None:
        """Writes what is left, and nothing more."""
        self._writer.close(CLOSE_SECONDS)
        super().close()

    def write(self, item: str | None, lost: int, reason: str) -> None:
        """Writes a line, behind one that says how many are missing; called by the writer's thread."""
        lines = [] if item is None else [item]
        if lost:
            record = _record(logging.WARNING, "log lines were lost", lost=lost, error=reason)
            lines.insert(0, self.format(record))
        self._send("".join(f"{line}\n" for line in lines))

    def lose(self, count: int, reason: str) -> None:  # noqa: ARG002 (a log about the log would be lost too)
        """Counts lines that were lost."""
        self.lost += count
        self._count(count)


def _record(level: int, message: str, **fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": __name__,
            "levelno": level,
            "levelname": logging.getLevelName(level),
            "msg": message,
            **fields,
        }
    )


def _sender(stream: TextIO) -> Callable[[str], object]:
    """Writes to the file behind the stream: a thread that blocks in the stream's own lock blocks the exit."""
    try:
        file = stream.fileno()
    except (OSError, ValueError):  # a stream in memory

        def to_stream(text: str) -> None:
            stream.write(text)
            stream.flush()

        return to_stream

    def to_file(text: str) -> None:
        data = text.encode(errors="backslashreplace")
        while data:
            data = data[os.write(file, data) :]

    return to_file


def set_up_logs(
    form: str, level: str, stream: TextIO | None = None, limit: int = MAX_WAITING
) -> BackgroundHandler:
    """Sends all logs of the process to ``stream`` (default: standard output); replaces what was set up.

    ``form`` is ``json`` or ``text``; ``level`` is that of our own loggers. Libraries speak from
    WARNING on. ``limit``: lines that may wait to be written.
    """
    handler = BackgroundHandler(sys.stdout if stream is None else stream, limit)
    handler.setFormatter(TextFormatter() if form == "text" else JsonFormatter())
    root = logging.getLogger()
    for old in root.handlers:
        if isinstance(old, BackgroundHandler):
            old.close()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("autoscaler").setLevel(level.upper())
    return handler
