"""The policy's ``fallback``: replicas to run once no metric has been usable for a while."""

from __future__ import annotations

from autoscaler.api.models import Spec
from autoscaler.decision.types import Reason, Step


def fall_back(spec: Spec, current: int, failing_since: float | None, now: float) -> Step | None:
    """The fallback's step once every driver has failed for ``afterSeconds``; None before."""
    fallback = spec.fallback
    if fallback is None or failing_since is None or now - failing_since < fallback.after_seconds:
        return None
    replicas = fallback.replicas
    if fallback.behavior == "CurrentReplicasIfHigher":
        replicas = max(current, replicas)
    message = f"no metric was usable for {now - failing_since:g} s: fallback {replicas}"
    return Step("fallback", replicas, Reason.FALLBACK, message)
