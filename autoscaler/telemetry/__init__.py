"""Telemetry of the live processes: logs, metrics, health."""
