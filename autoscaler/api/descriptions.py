"""The docstrings under the models' fields, for the JSON Schema.

pydantic can collect them when it builds a model, but it reads the source again for every class and
every process then pays a third of the import for text that only ``autoscale schema`` needs.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from types import ModuleType


def field_descriptions(module: ModuleType) -> dict[str, dict[str, str]]:
    """Class name -> field name (as in Python) -> the string that follows the field."""
    tree = ast.parse(inspect.getsource(module))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {node.name: dict(_described(node)) for node in classes}


def _described(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(node.body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield field.target.id, inspect.cleandoc(str(text.value.value))
