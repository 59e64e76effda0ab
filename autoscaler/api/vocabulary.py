"""The words of a policy: its enumerations, and the signals that share a property.

They stand apart from the models because the rules between fields need them too.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from autoscaler.api.signals import Scope, Signal

QUANTILE_SIGNALS = frozenset(signal for signal in Signal if signal.info.is_quantile)
FRACTION_SIGNALS = frozenset(signal for signal in Signal if signal.info.is_share)
CLUSTER_SIGNALS = frozenset(signal for signal in Signal if signal.info.scope is Scope.CLUSTER)
"""Signals without a pod, quantiles among them."""
ABSTAINING_SIGNALS = frozenset(signal for signal in Signal if signal.info.abstains)
ZERO_REPLICA_SIGNALS = frozenset(signal for signal in Signal if signal.info.exists_at_zero)
ENDED_REQUESTS_SIGNALS = frozenset(signal for signal in Signal if signal.info.counts_ended)


def named(signals: Collection[Signal]) -> str:
    """Signals in a sentence, in the catalogue's order: ``ttft and itl``."""
    *first, last = (str(signal) for signal in Signal if signal in signals)
    return f"{', '.join(first)} and {last}" if first else last


class TargetType(StrEnum):
    """How a metric becomes replicas; HPA's three rules."""

    PODS_AVERAGE = "PodsAverage"
    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


class MissingData(StrEnum):
    """The meaning of a pod without a usable sample."""

    HOLD = "Hold"
    CONSERVATIVE = "Conservative"
    ZERO = "Zero"


class Role(StrEnum):
    """The part of a metric: to propose replicas, or only to limit scale-downs."""

    DRIVER = "Driver"
    GUARD = "Guard"


class SelectPolicy(StrEnum):
    """Which of several scaling policies wins; HPA's words."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class Semantics(StrEnum):
    """The rules: HPA's to the bit, or HPA's with the guards that LLM serving needs."""

    LLM = "LLM"
    HPA = "HPA"


class Mode(StrEnum):
    """The use of decisions: written to the target, or only reported."""

    ACTIVE = "Active"
    DRY_RUN = "DryRun"
    PAUSED = "Paused"


class Action(StrEnum):
    """The outcome of a decision."""

    SCALED = "Scaled"
    HELD = "Held"
    DRY_RUN = "DryRun"
    REFUSED = "Refused"
    FAILED = "Failed"
