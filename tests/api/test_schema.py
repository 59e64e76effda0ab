from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator
from pydantic import BaseModel

from autoscaler.api import models
from autoscaler.api.schema import json_schema, schema_text
from autoscaler.cli.commands.schema import schema
from autoscaler.documents.library import library_folder, library_names, library_path
from tests.api.build import VALID

FILE_NAME = "scalingpolicy.schema.json"
VALIDATOR = Draft7Validator(json_schema())


def errors(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def parts(part: Any) -> list[dict[str, Any]]:
    """Every mapping within the schema."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    here = [part] if isinstance(part, dict) else []
    return here + [found for item in inner for found in parts(item)]


def test_the_committed_schema_is_up_to_date() -> None:
    """Else: autoscale schema > policies/scalingpolicy.schema.json."""
    assert (library_folder() / FILE_NAME).read_text(encoding="utf-8") == schema_text()


def test_the_command_prints_the_schema() -> None:
    result = CliRunner().invoke(schema)
    assert (result.exit_code, json.loads(result.output)) == (0, json_schema())


def test_the_schema_is_a_valid_one_and_asks_for_no_null() -> None:
    Draft7Validator.check_schema(json_schema())
    assert "null" not in schema_text()


@pytest.mark.parametrize("name", library_names())
def test_every_shipped_policy_fits_and_tells_editors_so(name: str) -> None:
    text = library_path(name).read_text(encoding="utf-8")
    assert errors(text) == []
    assert text.startswith(f"# yaml-language-server: $schema=./{FILE_NAME}\n")


@pytest.mark.parametrize(
    "line",
    [
        "max_age: 1",
        "minReplicas: true",
        'minReplicas: "3"',
        "minReplicas: -1",
        "mode: dryrun",
        "syncPeriodSeconds: 3601",
        "behavior: {scaleUp: {policies: []}}",
        "behavior: {scaleUp: {tolerance: -1}}",
        "behavior: {scaleUp: {tolerance: a lot}}",
        "guards: {remainingCapacity: {kvCacheUsage: 1.5}}",
        "schedules: [{name: A, cron: 0 8 * * *, durationSeconds: 60}]",
        "fallback: {}",
        "mode:",
    ],
)
def test_an_editor_sees_what_the_loader_refuses(line: str) -> None:
    assert errors(f"{VALID}  {line}\n")


@pytest.mark.parametrize("value", ["10", "1.5", '"850m"', "2k", '"1e3"', '"1.5Gi"'])
def test_quantities_are_numbers_or_strings(value: str) -> None:
    assert errors(VALID.replace("averageValue: 32", f"averageValue: {value}")) == []


def test_defaults_are_those_of_the_models() -> None:
    for name, definition in json_schema()["$defs"].items():
        model = getattr(models, name)
        if not issubclass(model, BaseModel):
            continue
        dumped = {
            field.alias: field.default for field in model.model_fields.values() if not field.is_required()
        }
        shown = {key: part["default"] for key, part in definition["properties"].items() if "default" in part}
        quantities = {"kvCacheUsage": 800, "waiting": 1000}
        for key, default in shown.items():
            real = dumped[key]
            assert quantities.get(key, default) == (list(real) if isinstance(real, tuple) else real), key


def test_defaults_that_depend_on_the_semantics_are_described() -> None:
    described = {
        f"{name}.{key}"
        for name, definition in json_schema()["$defs"].items()
        for key, part in definition.get("properties", {}).items()
        if "(`LLM`)" in part["description"] and "(`HPA`)" in part["description"].replace("\n", " ")
    }
    assert described == {
        "Guards.completeDataForScaleDown",
        "Metric.maxAgeSeconds",
        "Metric.missingData",
        "PendingReplicas.credit",
        "RejectedRequests.enabled",
        "RemainingCapacity.enabled",
    }


def test_every_field_has_a_description() -> None:
    bare = {
        f"{name}.{key}"
        for name, definition in json_schema()["$defs"].items()
        for key, part in definition.get("properties", {}).items()
        if "description" not in part
    }
    assert bare == set()


def test_titles_are_the_names_of_the_fields() -> None:
    for definition in json_schema()["$defs"].values():
        for key, part in definition.get("properties", {}).items():
            assert part.get("title", key) == key
