"""The check that a signal may replace a metric, and the target in the signal's unit."""

from __future__ import annotations

from math import ceil
from typing import Any

from autoscaler.api.metric_rules import METRIC_RULES
from autoscaler.api.quantity import from_milli, parse_quantity
from autoscaler.api.rules import FieldPath
from autoscaler.exchange.metric_names import Meaning
from autoscaler.exchange.source_documents import SourceDocument


def suits(meant: Meaning, target: dict[str, Any]) -> bool:
    """True if the signal may have such a target; else the metric stays a query."""
    return why_unsuited(meant, target) is None


def why_unsuited(meant: Meaning, target: dict[str, Any]) -> str | None:
    """Why the signal may not have such a target; None where it may."""
    found: list[str] = []
    metric = {"signal": meant.signal, "target": target}
    METRIC_RULES.check(metric, lambda _path, message: found.append(message))
    return found[0] if found else None


def in_units_of_the_signal(
    source: SourceDocument, path: FieldPath, meant: Meaning, target: dict[str, Any]
) -> dict[str, Any]:
    """The metric of a policy; ``path`` is the field for remarks. A bad target stays as it is."""
    metric = {"signal": str(meant.signal), "target": target}
    if meant.scale == 1:
        return metric
    key = "value" if "value" in target else "averageValue"
    try:
        milli = ceil(parse_quantity(target.get(key)) * meant.scale * 1000)
    except ValueError:
        return metric  # the policy's own check reports it
    message = f"{meant.signal} is {float(meant.scale):g} of the metric's unit: the target is converted"
    source.remark(path, message)
    return {**metric, "target": {**target, key: from_milli(milli)}}
