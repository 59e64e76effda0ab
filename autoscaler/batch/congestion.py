"""How many requests may be in flight: TCP's answer, additive increase and multiplicative decrease."""

from __future__ import annotations

from random import Random

from autoscaler.exponential_backoff import doubled

FIRST = 4.0


class CongestionWindow:
    """Grows while answers come, halves when the server refuses, and pauses as long as it asks for.

    Up to the first refusal every answer adds one place (so the window doubles each round trip); after
    it, a whole window of answers does. Pure: ``now`` is an argument, in seconds.

    Pauses begin with at most ``shortest_pause_s`` and double with each refusal, up to ``longest_pause_s``.
    """

    def __init__(
        self, most: int, chance: Random, shortest_pause_s: float = 0.5, longest_pause_s: float = 30.0
    ) -> None:
        self.most = most
        self._shortest_s = shortest_pause_s
        self._longest_s = longest_pause_s
        self.paused_until = 0.0
        self._limit = min(FIRST, float(most))
        self._chance = chance
        self._doubling = True
        self._cut_at = float("-inf")
        self._refusals = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight, at least 1."""
        return int(self._limit)

    def answered(self) -> None:
        """A request was answered."""
        self._refusals = 0
        growth = 1.0 if self._doubling else 1.0 / self._limit
        self._limit = min(self._limit + growth, float(self.most))

    def refused(self, sent_at: float, now: float, retry_after_s: float | None) -> None:
        """A request that was sent at ``sent_at`` met an overload, or no server.

        What was in flight together is refused together: only the first of them halves the window.
        """
        if sent_at > self._cut_at:
            self._limit = max(self._limit / 2.0, 1.0)
            self._doubling = False
            self._cut_at = now
            self._refusals += 1
            self.paused_until = max(self.paused_until, now + self.pause_s(self._refusals))
        if retry_after_s is not None:
            self.paused_until = max(self.paused_until, now + retry_after_s)

    def pause_s(self, failures: int) -> float:
        """A pause after consecutive failures: doubling, bounded, and never the same for two clients."""
        return doubled(self._shortest_s, self._longest_s, failures - 1) * self._chance.uniform(0.5, 1.0)
