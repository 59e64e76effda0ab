"""Batch inference: every row of a file to an OpenAI-compatible server, each result kept exactly once."""
