"""docs/policy.md is checked against the models, the catalogue and the rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoscaler.api.schema import json_schema
from autoscaler.api.signals import Signal
from autoscaler.documents.policies import load_policy_text
from autoscaler.lint import policy_rules as lint
from autoscaler.lint import workload_rules as fit
from tools.rule_tables import table, with_tables

DOC = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \|(.*)\|$", DOC, re.MULTILINE)
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)

FIELDS = sorted(
    {key for definition in json_schema()["$defs"].values() for key in definition.get("properties", {})}
)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_a_row(field: str) -> None:
    assert any(name.split(".")[-1] == field for name, _ in ROWS), f"{field} is not in docs/policy.md"


def test_every_word_of_an_enumeration_is_explained() -> None:
    words = {word for definition in json_schema()["$defs"].values() for word in definition.get("enum", ())}
    assert {word for word in words if f"`{word}`" not in DOC} == set()


def test_limits_and_defaults_are_in_the_rows_of_their_fields() -> None:
    rows = {name.split(".")[-1]: text for name, text in ROWS}
    for definition in json_schema()["$defs"].values():
        for key, part in definition.get("properties", {}).items():
            if part.get("maximum", 2**31) < 2**31 - 1 and part["type"] == "integer":
                texts = [text for name, text in ROWS if name.split(".")[-1] == key]
                assert any(str(part["maximum"]) in text for text in texts), key
            if isinstance(part.get("default"), int | str) and part["default"] != "None":
                assert key in rows


def test_the_signal_table_is_the_catalogue() -> None:
    table = {name: text for name, text in ROWS if name in tuple(Signal)}
    assert list(table) == [str(signal) for signal in Signal]
    for signal in Signal:
        row, info = table[signal], signal.info
        assert info.unit in row
        assert str(info.scope) in row
        assert all(source.names[0] in row for source in info.sources)


def test_the_tables_of_warnings_are_the_lint_rules() -> None:
    assert with_tables(DOC) == DOC, "make rule-tables writes them"
    assert table(lint.RULES) in DOC
    assert table(fit.RULES) in DOC


def test_every_lint_rule_has_an_id_of_its_own_and_says_when_it_warns() -> None:
    rules = [*lint.RULES, *fit.RULES]
    assert len({rule.id for rule in rules}) == len(rules)
    assert [rule.id for rule in rules if not rule.when.endswith(".")] == []


@pytest.mark.parametrize("example", [text for text in EXAMPLES if text.startswith("apiVersion")])
def test_the_whole_examples_are_valid(example: str) -> None:
    assert load_policy_text(example, "docs/policy.md")


def test_there_are_whole_examples() -> None:
    assert any(text.startswith("apiVersion") for text in EXAMPLES)
