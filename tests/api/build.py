"""Policies for tests: a small valid one, and variations of it."""

from __future__ import annotations

from autoscaler.api.models import Spec
from autoscaler.documents.policies import LoadedPolicy, load_policy_text

HEAD = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: ScalingPolicy
metadata:
  name: chat
spec:
  scaleTargetRef: {kind: Deployment, name: vllm}
"""
HEAD_LINES = 6
METRICS = """\
  metrics:
  - signal: running+waiting
    target: {type: PodsAverage, averageValue: 32}
"""
VALID = f"{HEAD}  maxReplicas: 10\n{METRICS}"


def load_spec(*lines: str, metrics: str = METRICS, replicas: str = "  maxReplicas: 10\n") -> LoadedPolicy:
    """A valid policy with further lines in its spec."""
    text = HEAD + replicas + metrics + "".join(f"  {line}\n" for line in lines)
    (loaded,) = load_policy_text(text, "p.yaml")
    return loaded


def spec_of(*lines: str) -> Spec:
    return load_spec(*lines).policy.spec
