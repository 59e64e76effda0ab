"""Findings name the field that would change what went wrong."""

from __future__ import annotations

from array import array

import pytest

from autoscaler.decision.types import Decision, Proposal, Reason, Step
from autoscaler.documents.policies import load_policy_text
from simulator.run.decision_counts import DecisionCounts
from simulator.verdict.findings import Course, findings
from simulator.verdict.goal import Goal, Verdict

POLICY = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: ScalingPolicy
metadata: {{ name: mine }}
spec:
  scaleTargetRef: {{ kind: Deployment, name: vllm }}
  maxReplicas: 4
  semantics: {semantics}
  metrics: [{{ signal: running, target: {{ type: PodsAverage, averageValue: 8 }} }}]
"""


def spec(semantics="LLM"):
    return load_policy_text(POLICY.format(semantics=semantics), "mine.yaml")[0].policy.spec


def decision(current, wanted, desired, reason=Reason.READY_FOR_NEW_SCALE, usage=9.0):
    steps = (
        Step("metrics", wanted, Reason.ABOVE_TARGET, ""),
        Step("rateLimit", desired, reason, ""),
    )
    proposal = Proposal("running", wanted, int(usage * 1000), 8000, Reason.ABOVE_TARGET, "")
    return Decision(current, desired, reason, "", steps, (proposal,))


def fields(decisions, semantics="LLM", misses=(), startup_s=120.0):
    counts = DecisionCounts()
    for now, one in decisions:
        counts.add(one, now)
    verdict = Verdict(Goal(), 100, len(misses), 0, array("d", misses))
    return [finding.field for finding in findings(Course(spec(semantics), counts, verdict, startup_s))]


STORIES = {
    "nothing to find": ([(15.0, decision(2, 2, 2))], {}, []),
    "a period shorter than the start-up": (
        [(15.0, decision(1, 2, 2)), (30.0, decision(2, 4, 4))],
        {"semantics": "HPA"},
        [f"spec.behavior.scaleUp.policies[{index}].periodSeconds" for index in (0, 1)],
    ),
    "the same with the credit of pending replicas": (
        [(15.0, decision(1, 2, 2)), (30.0, decision(2, 4, 4))],
        {},
        [],
    ),
    "a target that is never reached": (
        [(15.0, decision(2, 2, 2, usage=3.0))],
        {},
        ["spec.metrics[0].target"],
    ),
    "maxReplicas": ([(15.0, decision(4, 7, 4, Reason.TOO_MANY_REPLICAS))], {}, ["spec.maxReplicas"]),
    "a limit while requests missed": (
        [(15.0, decision(1, 4, 2, Reason.SCALE_UP_LIMIT))],
        {"misses": (10.0,)},
        ["spec.behavior.scaleUp.policies"],
    ),
    "a limit while none missed": (
        [(15.0, decision(1, 4, 2, Reason.SCALE_UP_LIMIT))],
        {"misses": (40.0,)},
        [],
    ),
    "a replica that went and came back": (
        [(15.0, decision(3, 2, 2)), (300.0, decision(2, 3, 3))],
        {},
        ["spec.behavior.scaleDown.stabilizationWindowSeconds"],
    ),
    "one that came back after a while": ([(15.0, decision(3, 2, 2)), (700.0, decision(2, 3, 3))], {}, []),
}


@pytest.mark.parametrize("story", STORIES)
def test_findings(story):
    decisions, given, expected = STORIES[story]
    assert fields(decisions, **given) == expected
