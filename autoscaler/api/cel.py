"""The rules of a schema for the API server, in CEL: those between fields, and the limits of quantities."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from autoscaler.api.metric_rules import METRIC_RULES, TARGET_RULES
from autoscaler.api.rules import FieldRules
from autoscaler.api.spec_rules import SCHEDULE_RULES, SPEC_RULES


class CelRule(TypedDict):
    """An entry of x-kubernetes-validations."""

    rule: str
    message: str
    fieldPath: NotRequired[str]


def _entries(rules: FieldRules) -> tuple[CelRule, ...]:
    entries = []
    for rule in rules:
        if rule.cel is not None:
            entry = CelRule(rule=rule.cel, message=rule.cel_says or rule.says)
            if rule.path:
                entry["fieldPath"] = "".join(f".{step}" for step in rule.path)
            entries.append(entry)
    return tuple(entries)


CEL_RULES = {rules.of: _entries(rules) for rules in (TARGET_RULES, METRIC_RULES, SCHEDULE_RULES, SPEC_RULES)}
"""By the name of the model that ``self`` is. Defaults are filled in before a rule is evaluated."""


def quantity_rules(above: float | None, least: float | None, most: float | None) -> list[CelRule]:
    """The limits of a quantity: above one number, at least one, at most one; None sets no limit.

    A schema can only limit quantities that are written as integers, and its pattern refuses what is not
    a quantity.
    """
    limits = (
        (above, "isGreaterThan", "{}", "must be above {}"),
        (least, "isLessThan", "!{}", "must be at least {}"),
        (most, "isGreaterThan", "!{}", "must be at most {}"),
    )
    return [
        {
            "rule": "type(self) == int || !isQuantity(self) || "
            + form.format(f"quantity(self).{compare}(quantity('{limit}'))"),
            "message": message.format(limit),
        }
        for limit, compare, form, message in limits
        if limit is not None
    ]
