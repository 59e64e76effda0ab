"""The decision engine: pure functions from (policy, observation, state, now) to a decision."""
