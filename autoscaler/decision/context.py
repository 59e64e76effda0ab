"""The data that the stages share: the context, which none of them changes, and the draft."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from autoscaler.api.models import Metric, Spec
from autoscaler.decision.bounds import ReplicaBounds
from autoscaler.decision.pod_groups import PodGroups
from autoscaler.decision.replicas import Tolerance
from autoscaler.decision.stabilize import Recommendations
from autoscaler.decision.types import Observation, Proposal, ScalingState, Step
from autoscaler.decision.zero import wakes_by_metrics

EvaluatedMetrics = tuple[tuple[Metric, Proposal], ...]


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """The facts that a decision begins with.

    ``hpa_parity``: HPA's rules to the bit. ``current``: the replicas that are ordered, which every
    stage starts from. ``memory``: the state of the sync before, brought up to this observation.
    """

    spec: Spec
    hpa_parity: bool
    observation: Observation
    current: int
    pods: PodGroups
    bounds: ReplicaBounds
    tolerance: Tolerance
    memory: ScalingState
    now: float

    @property
    def wakes_by_metrics(self) -> bool:
        """True where metrics are read before an own 0 is corrected up to a minReplicas that was raised."""
        return wakes_by_metrics(self.spec, self.current, self.memory.scaled_to_zero)


class DecidedBy(Enum):
    """Why a draft asks for its replicas; which of the later stages look at it depends on that."""

    RULE = auto()
    """No metric was read: a mode, zero replicas, the bounds or an ambiguous selector settle it."""
    NO_DATA = auto()
    """The replicas are kept because the metrics are missing or incomplete."""
    FALLBACK = auto()
    """The metrics were missing for longer than the policy's fallback waits."""
    METRICS = auto()


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision on its way through the stages. ``recommendations``: those for the next sync."""

    steps: tuple[Step, ...]
    decided_by: DecidedBy
    recommendations: Recommendations
    evaluated: EvaluatedMetrics = ()

    @property
    def replicas(self) -> int:
        """The replicas after the stages so far."""
        return self.steps[-1].replicas

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """The proposal of each metric."""
        return tuple(proposal for _, proposal in self.evaluated)

    def then(self, step: Step | None, decided_by: DecidedBy | None = None) -> Draft:
        """The draft after another stage; a stage without a step leaves it as it is."""
        if step is None:
            return self
        return replace(self, steps=(*self.steps, step), decided_by=decided_by or self.decided_by)
