"""Logging once: a line when a text changes, not at each try.

Rules that count keep their own state: how many policies an outage met (controller/outage.py), how many
events it cost (kube/events.py), which statuses it held up (controller/status_queue.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class News:
    """The text that was logged last; empty while all is well."""

    text: str = ""

    def is_new(self, text: str) -> bool:
        """Takes a text, and returns whether it differs from the last one."""
        differs = text != self.text
        self.text = text
        return differs
