"""How many replicas' worth of work arrives, whatever the number of replicas is; and a replica's load.

There are four indices, because no single one explains the misses of every workload: prompts that interrupt
short outputs, long outputs, or sheer concurrency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp
from typing import overload

import numpy as np

from autoscaler.objective.constants import Times
from autoscaler.objective.fleet_observation import Numbers, Prior, Vector
from autoscaler.objective.increases import Increase

INDICES: Vector = np.array([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [1.0, 0.3, 0.0], [0.0, 0.0, 1.0]])
"""Weights of prompt work, output work and requests in flight."""

NAMES = ("prompts", "prompts and 0.1 of the outputs", "prompts and 0.3 of the outputs", "requests in flight")

OVERHEAD = 0.8
"""A fleet serves as if it had so much of a replica less: the smaller it is, the less evenly it is loaded."""
LEAST_CAPACITY = 0.3

FIRST_OUTPUT_TOKENS = 150.0
"""The mean output while fewer than ``ENOUGH_REQUESTS`` have finished."""
ENOUGH_REQUESTS = 20.0
PREFILLED = 0.3
"""Of the requests in flight, so many have their prompts in the counter but have not finished."""


@overload
def capacity(replicas: float) -> float: ...
@overload
def capacity(replicas: Numbers) -> Vector: ...
def capacity(replicas: float | Numbers) -> float | Vector:
    """The demand that so many replicas serve, in replicas of a large fleet."""
    return np.maximum(np.asarray(replicas, dtype=float) - OVERHEAD, LEAST_CAPACITY)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens and requests that were seen, older ones for less: mean lengths."""

    prompt_tokens: float = 0.0
    output_tokens: float = 0.0
    requests: float = 0.0

    def after(self, sample: Increase, times: Times) -> Lengths:
        """With the sample's requests."""
        keep = exp(-sample.seconds / times.lengths_s)
        prompt, output, finished = sample.per_s * sample.seconds
        return Lengths(
            self.prompt_tokens * keep + float(prompt),
            self.output_tokens * keep + float(output),
            self.requests * keep + float(finished),
        )

    def prompt(self, in_flight: float) -> float:
        """The mean prompt."""
        return self.prompt_tokens / max(1.0, self.requests + PREFILLED * in_flight)

    @property
    def output(self) -> float:
        """The mean output."""
        if self.requests <= ENOUGH_REQUESTS:
            return FIRST_OUTPUT_TOKENS
        return self.output_tokens / self.requests


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Per index, in replicas. ``backlog``: replica-seconds of requests that wait; ``stay_s``: how long a
    request stays (Little's law).
    """

    arriving: Vector
    backlog: Vector
    stay_s: float

    def load(self, serving: int, times: Times) -> Vector:
        """The load of each replica."""
        return (self.arriving + self.backlog / times.backlog_s) / capacity(max(1, serving))

    def scaled(self, factor: float) -> Demand:
        """Of so many times the pods."""
        return replace(self, arriving=self.arriving * factor, backlog=self.backlog * factor)


def demand(sample: Increase, lengths: Lengths, prior: Prior, times: Times) -> Demand:
    """The demand that a sample shows."""
    in_flight = sample.running + sample.waiting
    prompt_s, output_s = prior.prompt_s * lengths.prompt(in_flight), prior.output_s * lengths.output
    queued_tokens = sample.waiting_change_per_s * lengths.prompt(in_flight)
    arriving = np.array(
        [
            prior.prompt_s * max(0.0, float(sample.per_s[0]) + queued_tokens),
            sample.arrivals_per_s * output_s,
            in_flight / prior.batch,
        ]
    )
    backlog = sample.waiting * np.array([prompt_s, output_s, 0.0])  # in flight counts what waits already
    stay_s = in_flight / sample.arrivals_per_s if sample.arrivals_per_s > 0.0 else times.slot_s / 2.0
    stay_s = min(times.longest_stay_s, max(times.shortest_stay_s, stay_s))
    return Demand(INDICES @ arriving, INDICES @ backlog, stay_s)
