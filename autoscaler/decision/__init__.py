"""The decision engine: pure functions from (policy, observation, state, now) to a decision."""

from autoscaler.decision.evaluate import evaluate as evaluate
from autoscaler.decision.state import initial_state as initial_state
from autoscaler.decision.state import record_scale as record_scale
