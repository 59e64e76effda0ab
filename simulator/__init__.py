"""Replays LLM traffic through simulated vLLM replicas under a scaling policy."""

from simulator.compiled import prefer_compiled

prefer_compiled(__path__)
