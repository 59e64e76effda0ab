"""The words of a policy: its enumerations, and which signals share a property.

They stand apart from the models because the rules between fields need them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf


class Signal(StrEnum):
    """The signals that every vLLM deployment can be asked for, by our own stable names."""

    WAITING = "waiting"
    RUNNING = "running"
    RUNNING_WAITING = "running+waiting"
    KV_CACHE_USAGE = "kvCacheUsage"
    GPU_UTILIZATION = "gpuUtilization"
    GPU_MEMORY_USED = "gpuMemoryUsed"
    TTFT = "ttft"
    ITL = "itl"
    PROMPT_TOKENS_RATE = "promptTokensPerSecond"
    GENERATION_TOKENS_RATE = "generationTokensPerSecond"
    REQUESTS_RATE = "requestsPerSecond"
    REJECTED_RATE = "rejectedPerSecond"
    GATEWAY_QUEUE = "gatewayQueue"


QUANTILE_SIGNALS = frozenset({Signal.TTFT, Signal.ITL})
"""One value over all pods: a quantile cannot be averaged or summed over pods."""

FRACTION_SIGNALS = frozenset({Signal.KV_CACHE_USAGE, Signal.GPU_UTILIZATION})
"""Each pod's own share: a sum over pods means nothing without the number of pods."""

CLUSTER_SIGNALS = frozenset({Signal.GATEWAY_QUEUE}) | QUANTILE_SIGNALS
"""Signals without a pod."""

ZERO_REPLICA_SIGNALS = frozenset({Signal.GATEWAY_QUEUE})
"""Signals that exist while there are no replicas."""


ENDED_REQUESTS_SIGNALS = frozenset({Signal.REQUESTS_RATE, Signal.REJECTED_RATE})
"""Counts of requests that ended. Those that end in a draining pod are as real as any others."""


@dataclass(frozen=True, slots=True)
class ValueBounds:
    """What a value can be, in its signal's unit; NaN and the infinities never are."""

    low: float = 0.0
    high: float = inf

    def hold(self, value: float) -> bool:
        """Whether the value can be."""
        return self.low <= value <= self.high and value < inf

    def __str__(self) -> str:
        return f"{self.low:g} or more" if self.high == inf else f"{self.low:g} to {self.high:g}"


BOUNDS = {
    signal: ValueBounds(high=1.05) if signal in FRACTION_SIGNALS else ValueBounds() for signal in Signal
}
"""The bounds of every signal. An exporter's share may pass 1 by its own rounding, and not by more:
DCGM's "blank" for a percentage is 2**63 - 14, and counters that jump make thousands of percent."""


class TargetType(StrEnum):
    """How a metric becomes replicas; HPA's three rules."""

    PODS_AVERAGE = "PodsAverage"
    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


class MissingData(StrEnum):
    """What a pod without a usable sample means."""

    HOLD = "Hold"
    CONSERVATIVE = "Conservative"
    ZERO = "Zero"


class Role(StrEnum):
    """Whether a metric proposes replicas, or only keeps others from removing them."""

    DRIVER = "Driver"
    GUARD = "Guard"


class SelectPolicy(StrEnum):
    """Which of several scaling policies wins; HPA's words."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class Semantics(StrEnum):
    """Whose rules: HPA's to the bit, or HPA's with the guards that LLM serving needs."""

    LLM = "LLM"
    HPA = "HPA"


class Mode(StrEnum):
    """Whether decisions are written."""

    ACTIVE = "Active"
    DRY_RUN = "DryRun"
    PAUSED = "Paused"


class Action(StrEnum):
    """What becomes of a decision."""

    SCALED = "Scaled"
    HELD = "Held"
    DRY_RUN = "DryRun"
    REFUSED = "Refused"
    FAILED = "Failed"
