"""Structured logs on standard output, one JSON object a line, as Cloud Logging reads them.

Severities are Cloud Logging's (``severity``, ``message``, ``time``); whatever a call gives as
``extra`` becomes a field of its own. ``--log-format text`` writes the same for people.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO

from autoscaler.timestamps import to_rfc3339

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


def set_up_logs(form: str, level: str, stream: TextIO | None = None) -> None:
    """Sends all logs of the process to ``stream`` (default: standard output); replaces what was set up.

    ``form`` is ``json`` or ``text``; ``level`` is that of our own loggers. Libraries speak from
    WARNING on.
    """
    handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(TextFormatter() if form == "text" else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("autoscaler").setLevel(level.upper())
