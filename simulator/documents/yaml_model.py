"""Reads one YAML document into a dataclass; pydantic's problems are named by file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from autoscaler.documents.messages import describe
from autoscaler.documents.yaml_source import Node, dotted, read_documents
from autoscaler.errors import Diagnostic, ProfileError

Model = TypeVar("Model")


def read_model(path: Path, model: type[Model]) -> Model:
    """The dataclass in a YAML file. Raises ``ProfileError`` with all problems in file order."""
    file = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ProfileError([Diagnostic(file, None, "", f"cannot be read: {error.strerror}")]) from None
    documents, problems = read_documents(raw, file)
    if not problems and len(documents) != 1:
        message = f"has {len(documents)} YAML documents; exactly one belongs here"
        problems.append(Diagnostic(file, None, "", message))
    if problems:
        raise ProfileError(problems)
    return _validated(documents[0], file, model)


def _validated(root: Node, file: str, model: type[Model]) -> Model:
    adapter = TypeAdapter(model)
    try:
        return adapter.validate_python(root.data)
    except ValidationError as error:
        schema = adapter.json_schema()
        problems = [
            Diagnostic(file, root.line_of(fault["loc"]), dotted(fault["loc"]), describe(fault, schema))
            for fault in error.errors()
        ]
    raise ProfileError(sorted(problems, key=lambda problem: problem.line or 0))
