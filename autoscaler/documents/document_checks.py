"""The common steps of loading a document: read the file, check its head, report its model's errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoscaler.api.fields import RULE_ERROR
from autoscaler.api.models import API_VERSION
from autoscaler.api.rules import FieldPath, Say
from autoscaler.documents.messages import close_unknown, describe, shown
from autoscaler.documents.yaml_source import POLICY_FILE, Node, ReadLimits, dotted
from autoscaler.errors import Diagnostic, PolicyError, Severity


def read_file(path: Path, limits: ReadLimits = POLICY_FILE) -> bytes:
    """The bytes of a YAML file, one more than are allowed at most. Raises ``PolicyError``."""
    try:
        with path.open("rb") as stream:
            return stream.read(limits.size + 1)
    except IsADirectoryError:
        message = "is a directory: name a YAML file in it"
    except FileNotFoundError:
        message = "does not exist"
    except OSError as error:
        message = f"cannot be read: {(error.strerror or str(error)).lower()}"
    except ValueError as error:
        message = f"is not a file name: {error}"
    raise PolicyError([Diagnostic(str(path), None, "", message)])


def diagnostic_at(
    file: str, root: Node, path: FieldPath, message: str, severity: Severity = Severity.ERROR
) -> Diagnostic:
    """A diagnostic of the field at a path of a document, with its line."""
    return Diagnostic(file, root.line_of(path), dotted(path), message, severity)


@dataclass(slots=True)
class Report:
    """Everything that is wrong with one document, except where its YAML is already refused."""

    file: str
    root: Node
    found: list[Diagnostic] = field(default_factory=list)

    def say(self, path: FieldPath, message: str) -> None:
        """Adds a problem of the field at a path."""
        if not self.root.is_refused(path):
            self.found.append(diagnostic_at(self.file, self.root, path, message))


def check_head(document: Mapping[str, Any], kind: str, say: Say) -> None:
    """Checks the apiVersion and the kind of a document."""
    for key, right in (("apiVersion", API_VERSION), ("kind", kind)):
        if key not in document:
            say((key,), f"is missing: write {key}: {right}")
        elif document[key] != right:
            say((key,), f"must be {right}, not {shown(document[key])}")


def say_model_errors(error: ValidationError, schema: dict[str, Any], say: Say) -> None:
    """Reports errors of the models in plain words, without those that other checks report.

    ``schema``: the JSON Schema of the same models. Rules between fields and the head have their
    own functions.
    """
    errors = [
        item
        for item in error.errors(include_url=False)
        if item["type"] != RULE_ERROR
        and item["loc"] not in (("apiVersion",), ("kind",))
        and not (item["type"] == "too_short" and item["input"])  # only entries that are wrong
    ]
    meant = {
        (*item["loc"][:-1], close_unknown(item, schema))
        for item in errors
        if item["type"] == "extra_forbidden"
    }
    for item in errors:
        if item["type"] != "missing" or item["loc"] not in meant:  # else: only misspelt
            say(item["loc"], describe(item, schema))
