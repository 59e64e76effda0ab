"""The other end of an OpenAI-compatible server: one client for measuring and for batches."""
