"""The exceptions of this project, all in one place.

::

    AutoscalerError
    ├── InputError            a file that a person wrote is wrong; carries every Diagnostic found
    │   ├── PolicyError       a scaling policy
    │   ├── TraceError        a request trace
    │   └── ProfileError      a model or start-up profile
    ├── MissingExtraError     a command needs an optional dependency
    ├── QueryError            a metric source refuses a question: a wrong query or address, or no right to ask
    ├── TargetError           a scale target does not exist, has no scale subresource, or is forbidden
    ├── RequestError          an inference server refuses a request, and will refuse it again
    └── TemporaryError        trying again may help; says when
        ├── SourceError       metrics could not be read
        ├── ServerError       an inference server is overloaded, gone or too slow
        ├── ClusterError      the Kubernetes API did not answer, or not in time
        └── ConflictError     another client wrote first: observe and decide again

Library errors (network, operating system) pass through as they are unless a caller can act on
a translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Severity(StrEnum):
    """How bad a diagnostic is."""

    ERROR = "error"
    """The input is not used."""
    WARNING = "warning"
    """Legal, and harmful."""
    REMARK = "remark"
    """Part of the input is left out, or needs a look."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A diagnostic about an input file: what is wrong, and what would be right.

    ``line`` counts from 1; ``None`` where the input has no lines (binary, directory).
    ``field`` is a dotted path such as ``spec.metrics[0].target`` or a column name; may be empty.
    ``rule`` is the id of the rule that found it, where it has one.
    """

    file: str
    line: int | None
    field: str
    message: str
    severity: Severity = Severity.ERROR
    rule: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        level = "warning: " if self.severity is Severity.WARNING else ""
        rule = f" [{self.rule}]" if self.rule else ""
        field = f"{self.field}: " if self.field else ""
        return f"{place}: {field}{level}{self.message}{rule}"


class AutoscalerError(Exception):
    """Anything this project raises on purpose."""


class InputError(AutoscalerError):
    """A file that a person wrote is wrong. Permanent: trying again cannot help."""

    def __init__(self, problems: Sequence[Diagnostic]) -> None:
        """``problems`` is never empty; all that were found, in file order."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PolicyError(InputError):
    """A scaling policy does not validate."""


class TraceError(InputError):
    """A request trace cannot be read."""


class ProfileError(InputError):
    """A model or start-up profile cannot be read."""


class MissingExtraError(AutoscalerError):
    """A command needs an optional dependency; the message says how to install it."""


class QueryError(AutoscalerError):
    """A metric source refuses a question. Permanent until the query or the rights change."""


class TargetError(AutoscalerError):
    """A scale target cannot be scaled. Permanent until the cluster changes."""


class RequestError(AutoscalerError):
    """An inference server refuses a request, and will refuse it again."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """``status``: HTTP's, if it came to that."""
        self.status = status
        super().__init__(message)


class TemporaryError(AutoscalerError):
    """Trying again may help."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        """``retry_after_seconds``: the pause that the server asked for, if any."""
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class SourceError(TemporaryError):
    """Metrics could not be read."""


FailureKind = Literal["refused", "unreachable", "aborted", "timeout", "broken", "failed"]
"""Why there is no answer: 429 or 503, no connection, ended by the server before it was whole, too late, cut
off or unreadable, and every other error of the server."""


class ServerError(TemporaryError):
    """An inference server is overloaded, gone, or did not answer in time."""

    def __init__(
        self, message: str, retry_after_seconds: float | None = None, *, kind: FailureKind = "failed"
    ) -> None:
        self.kind = kind
        super().__init__(message, retry_after_seconds)

    @property
    def unavailable(self) -> bool:
        """True if the request is not the cause: another server, or a later one, may answer it."""
        return self.kind in ("refused", "unreachable", "aborted")


class ClusterError(TemporaryError):
    """The Kubernetes API did not answer, or not in time."""


class ConflictError(TemporaryError):
    """Another client wrote first: observe and decide again."""
