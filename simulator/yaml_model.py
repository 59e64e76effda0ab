"""One YAML document as a pydantic model, with every problem named by file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from autoscaler.errors import Problem, ProfileError
from autoscaler.policy.document import Node, dotted, read_documents
from autoscaler.policy.wording import describe

Model = TypeVar("Model", bound=BaseModel)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_model(path: Path, model: type[Model]) -> Model:
    """The model in a YAML file. Raises ``ProfileError`` with all problems in file order."""
    file = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ProfileError([Problem(file, None, "", f"cannot be read: {error.strerror}")]) from None
    documents, problems = read_documents(raw, file)
    if not problems and len(documents) != 1:
        message = f"has {len(documents)} YAML documents; exactly one belongs here"
        problems.append(Problem(file, None, "", message))
    if problems:
        raise ProfileError(problems)
    return _validated(documents[0], file, model)


def read_own(path: Path) -> Any:
    """The document in a YAML file that comes along, as it is: tests have looked at it."""
    return yaml.load(path.read_bytes(), Loader=_LOADER)


def _validated(root: Node, file: str, model: type[Model]) -> Model:
    try:
        return model.model_validate(root.data)
    except ValidationError as error:
        schema = model.model_json_schema()
        problems = [
            Problem(file, root.line_of(fault["loc"]), dotted(fault["loc"]), describe(fault, schema))
            for fault in error.errors()
        ]
    raise ProfileError(sorted(problems, key=lambda problem: problem.line or 0))
