"""Traces of requests, and series of measured values: formats and reading."""
