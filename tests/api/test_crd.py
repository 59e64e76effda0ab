from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from autoscaler.api.cel import CEL_RULES, quantity_rules
from autoscaler.api.crd import crd_text, custom_resource_definition
from autoscaler.api.schema import json_schema
from autoscaler.cli.commands.schema import schema

CRD_FILE = Path(__file__).parents[2] / "deploy" / "base" / "crd.yaml"
VERSION = custom_resource_definition()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def parts(part: Any) -> list[dict[str, Any]]:
    """Every mapping within the schema."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    here = [part] if isinstance(part, dict) else []
    return here + [found for item in inner for found in parts(item)]


def at(path: str) -> dict[str, Any]:
    """The schema of a field: ``spec.metrics[].target``."""
    part = SCHEMA
    for step in path.split("."):
        part = part["properties"][step.removesuffix("[]")]
        part = part["items"] if step.endswith("[]") else part
    return part


def test_the_committed_crd_is_up_to_date() -> None:
    """Else: autoscale schema --crd > deploy/base/crd.yaml"""
    assert CRD_FILE.read_text(encoding="utf-8") == crd_text()


def test_the_command_prints_the_crd() -> None:
    result = CliRunner().invoke(schema, ["--crd"])
    assert (result.exit_code, yaml.safe_load(result.output)) == (0, custom_resource_definition())


def test_the_command_prints_one_of_two() -> None:
    result = CliRunner().invoke(schema, ["--crd", "--exports"])
    assert result.exit_code == 2
    assert "--crd or --exports, not both" in result.output


def test_the_schema_is_structural() -> None:
    """Every field has one type or is integer-or-string, and nothing refers to elsewhere."""
    text = crd_text()
    assert not [
        word for word in ("$ref", "$defs", "title:", "const:", "additionalProperties") if word in text
    ]
    for part in parts(SCHEMA):
        for field in part.get("properties", {}).values() if part.get("type") == "object" else ():
            assert field.get("type") or field["x-kubernetes-int-or-string"]


def test_every_field_that_a_person_writes_is_described() -> None:
    for part in parts(SCHEMA["properties"]["spec"]):
        for name, field in part.get("properties", {}).items() if part.get("type") == "object" else ():
            assert field["description"], name
            assert "\n" not in field["description"]


def test_defaults_are_those_of_the_policy_schema() -> None:
    def defaults(whole: Any) -> list[Any]:
        return sorted(str(part["default"]) for part in parts(whole) if "default" in part)

    written_once = json_schema()["$defs"]
    assert set(defaults(SCHEMA["properties"]["spec"])) == set(defaults(written_once))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spec.minReplicas", {"type": "integer", "default": 1, "minimum": 0}),
        ("spec.metrics[].quantile", {"type": "number", "maximum": 1.0, "exclusiveMaximum": True}),
        ("spec.metrics[].role", {"type": "string", "default": "Driver", "enum": ["Driver", "Guard"]}),
        ("spec.behavior.scaleUp.tolerance", {"x-kubernetes-int-or-string": True, "minimum": 0}),
        ("spec.guards.remainingCapacity.kvCacheUsage", {"default": "800m", "maximum": 1}),
        ("status.lastDecision", {"x-kubernetes-map-type": "atomic"}),
    ],
)
def test_the_models_shape_in_openapi_words(path: str, expected: dict[str, Any]) -> None:
    field = at(path)
    assert {key: field[key] for key in expected} == expected


def test_lists_with_keys_are_maps_to_server_side_apply() -> None:
    for path, key in (("spec.schedules", "name"), ("status.conditions", "type")):
        assert (at(path)["x-kubernetes-list-type"], at(path)["x-kubernetes-list-map-keys"]) == ("map", [key])


def test_a_status_is_bounded_and_has_no_defaults() -> None:
    status = parts(SCHEMA["properties"]["status"])
    assert [part for part in status if "default" in part] == []
    assert [part for part in status if part.get("type") == "array" and "maxItems" not in part] == []


def test_every_rule_stands_at_its_object() -> None:
    places = {"Target": "spec.metrics[].target", "Metric": "spec.metrics[]", "Schedule": "spec.schedules[]"}
    for name, rules in CEL_RULES.items():
        assert at(places.get(name, "spec"))["x-kubernetes-validations"] == list(rules)


def test_a_quantity_has_the_limits_of_both_its_forms() -> None:
    tolerance = at("spec.behavior.scaleUp.tolerance")
    assert tolerance["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert tolerance["x-kubernetes-validations"] == quantity_rules(None, 0, None)
    assert [rule["message"] for rule in quantity_rules(0, None, 1)] == [
        "must be above 0",
        "must be at most 1",
    ]


def test_kubectl_get_shows_what_matters() -> None:
    shown = [column["name"] for column in VERSION["additionalPrinterColumns"] if "priority" not in column]
    assert shown == ["Target", "Min", "Max", "Current", "Desired", "Mode", "Reason", "Age"]


@pytest.mark.parametrize(
    "column", VERSION["additionalPrinterColumns"], ids=lambda column: str(column["name"])
)
def test_every_column_shows_a_field_that_exists(column: dict[str, Any]) -> None:
    path = column["jsonPath"].removeprefix(".")
    assert path.startswith("metadata.") or at(path)["type"] == column["type"]
