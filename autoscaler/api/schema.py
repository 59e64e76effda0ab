"""The JSON Schema of a policy, generated from the models: for editors and for our own messages."""

from __future__ import annotations

import json
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from autoscaler.api import models
from autoscaler.api.descriptions import field_descriptions

DIALECT = "http://json-schema.org/draft-07/schema#"


@cache
def json_schema() -> dict[str, Any]:
    """The schema as data. ``null`` appears nowhere: a field is set or left out."""
    return {"$schema": DIALECT, **model_schema(models.ScalingPolicy, models)}


def model_schema(model: type[BaseModel], *modules: ModuleType) -> dict[str, Any]:
    """The schema of a model, with the docstrings of its fields; ``modules`` hold it and its parts."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    parts = {model.__name__: schema, **schema["$defs"]}
    described = [entry for module in modules for entry in field_descriptions(module).items()]
    for name, fields in described:
        for field, text in fields.items():
            if name in parts:
                parts[name]["properties"][to_camel(field)]["description"] = text
    tidy: dict[str, Any] = _tidy(schema)
    return tidy


def _tidy(part: Any) -> Any:
    """Without null, and without the defaults of whole objects (their fields have their own)."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    tidy = {
        key: _tidy(value)
        for key, value in part.items()
        if not (key == "default" and (value in (None, "") or isinstance(value, dict)))
    }
    options = [option for option in tidy.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del tidy["anyOf"]
        return {**options[0], **tidy}
    return {**tidy, "anyOf": options} if options else tidy


def schema_text() -> str:
    """The schema as the file in ``policies/`` has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
