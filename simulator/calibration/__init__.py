"""Fits a profile to measurements of a real vLLM."""
