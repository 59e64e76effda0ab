"""What the live processes tell about themselves: logs, metrics, health."""
