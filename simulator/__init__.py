"""Replays LLM traffic through simulated vLLM replicas under a scaling policy."""
