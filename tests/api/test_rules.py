"""The rules between fields: each is broken by an example, and each has its twin in CEL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from autoscaler.api.metric_rules import METRIC_RULES, TARGET_RULES
from autoscaler.api.models import Metric
from autoscaler.api.rules import Data, FieldRule, FieldRules
from autoscaler.api.spec_rules import SCHEDULE_RULES, SPEC_RULES
from tests.documents.broken import WRONG_LINES, WRONG_METRICS

ALL = {rules.of: rules for rules in (TARGET_RULES, METRIC_RULES, SCHEDULE_RULES, SPEC_RULES)}
FURTHER_METRICS = [
    "{signal: ttft, target: {type: Value}}",
    "{signal: ttft, target: {type: Value, averageValue: 1}}",
]
FURTHER_LINES = [
    "schedules: [{name: a, minReplicas: 3, maxReplicas: 2}]",
    "{minReplicas: 2, schedules: [{name: a, maxReplicas: 1}]}",
    "schedules: [{name: a}, {name: a}]",
    "metrics: [{query: up}, {query: down}]",
]


def objects() -> Iterator[tuple[str, Data]]:
    """The objects of the examples, as the model's name and the data."""
    for text in [*(text for text, _ in WRONG_METRICS), *FURTHER_METRICS]:
        metric = yaml.safe_load(text)
        yield "Metric", metric
        yield "Spec", {"metrics": [metric]}
        if "target" in metric:
            yield "Target", metric["target"]
    for line in [*(line for line, _ in WRONG_LINES), *FURTHER_LINES]:
        spec = {"maxReplicas": 10, **yaml.safe_load(f"  {line}")}
        yield "Spec", spec
        for schedule in spec["schedules"] if isinstance(spec.get("schedules"), list) else ():
            yield "Schedule", schedule


EXAMPLES = list(objects())
CASES = [(of, rule) for of, rules in ALL.items() for rule in rules]


@pytest.mark.parametrize(("of", "rule"), CASES, ids=lambda case: getattr(case, "says", case))
def test_every_rule_is_broken_by_an_example(of: str, rule: FieldRule) -> None:
    assert [data for name, data in EXAMPLES if name == of and list(rule.find(data))]


def test_every_rule_has_its_twin_in_cel_but_one_that_the_list_type_holds() -> None:
    alone = [(of, rule.path) for of, rule in CASES if rule.cel is None]
    assert alone == [("Spec", ("schedules",))]


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [3], {"type": ["x"]}], ids=repr)
@pytest.mark.parametrize("rules", ALL.values(), ids=ALL.keys())
def test_data_of_another_type_is_passed_over(rules: FieldRules, value: object) -> None:
    """The models report it; a rule that broke over it would hide the rest."""
    fields = ("type", "value", "signal", "query", "cloudMonitoring", "target", "windowSeconds", "quantile")
    fields += ("name", "minReplicas", "maxReplicas", "metrics", "schedules", "semantics", "zeroRule", "role")
    data = dict.fromkeys(fields, value)
    rules.check(data, print)
    rules.check({"cloudMonitoring": data, "target": data, "metrics": [data], "schedules": [data]}, print)


def test_the_words_name_what_is_there() -> None:
    with pytest.raises(ValueError, match=r"target\.type kvCacheUsage is each pod's own share.*not Value"):
        Metric.model_validate({"signal": "kvCacheUsage", "target": {"type": "Value", "value": 1}})
