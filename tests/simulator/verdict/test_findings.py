"""Findings name the field that would change what went wrong."""

from __future__ import annotations

from array import array

import pytest

from autoscaler.decision.types import Decision, Proposal, Reason, Step
from autoscaler.documents.policies import load_policy_text
from simulator.run.decision_counts import DecisionCounts
from simulator.startup.replica_life import ReplicaLife, StartPhases
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


def blind(current):
    """No metric could be read, and the replicas are kept."""
    steps = (Step("metrics", current, Reason.FAILED_PODS_METRIC, ""),)
    return Decision(current, current, Reason.FAILED_PODS_METRIC, "", steps)


def waited(ordered_s, waiting_s):
    """A replica that had no node for a while."""
    ready_s = ordered_s + waiting_s + 120.0
    return ReplicaLife("replica-2", ordered_s, ready_s, None, 2000.0, StartPhases(waiting_s=waiting_s))


def decision(current, wanted, desired, reason=Reason.READY_FOR_NEW_SCALE, usage=9.0):
    steps = (
        Step("metrics", wanted, Reason.ABOVE_TARGET, ""),
        Step("rateLimit", desired, reason, ""),
    )
    proposal = Proposal("running", wanted, int(usage * 1000), 8000, Reason.ABOVE_TARGET, "")
    return Decision(current, desired, reason, "", steps, (proposal,))


def found(decisions, semantics="LLM", misses=(), startup_s=120.0, lives=(), written=True):
    counts = DecisionCounts(written=written)
    for now, one in decisions:
        counts.add(one, now)
    verdict = Verdict(Goal(), 100, len(misses), 0, array("d", misses))
    return findings(Course(spec(semantics), counts, verdict, startup_s, lives))


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
        {"misses": (10.0, 20.0)},
        ["spec.metrics[0].target"],
    ),
    "the same where the goal is held": ([(15.0, decision(2, 2, 2, usage=3.0))], {}, []),
    "no metric at 0 replicas": ([(15.0, blind(0))], {"misses": (140.0,)}, ["spec.metrics"]),
    "no metric while replicas serve": (
        [(now, blind(2)) for now in (15.0, 30.0, 45.0, 60.0)],
        {"misses": (140.0, 160.0, 170.0, 185.0)},
        ["spec.fallback"],
    ),
    "no metric before the first scrape": ([(15.0, blind(2))], {"misses": (140.0, 141.0)}, []),
    "no metric, and nothing missed": ([(15.0, blind(0))], {}, []),
    "a wait for a node while requests missed": (
        [(15.0, decision(1, 2, 2))],
        {"misses": (200.0,), "lives": [waited(15.0, 300.0)]},
        ["--nodes"],
    ),
    "a wait for a node after which none missed": (
        [(15.0, decision(1, 2, 2))],
        {"misses": (100.0, 500.0), "lives": [waited(15.0, 300.0)]},
        [],
    ),
    "maxReplicas": ([(15.0, decision(4, 7, 4, Reason.TOO_MANY_REPLICAS))], {}, ["spec.maxReplicas"]),
    "a limit while requests missed": (
        [(15.0, decision(1, 4, 2, Reason.SCALE_UP_LIMIT))],
        {"misses": (140.0,)},
        ["spec.behavior.scaleUp.policies"],
    ),
    "a limit at a cold start, where what missed came before any order could serve": (
        [(15.0, decision(1, 4, 2, Reason.SCALE_UP_LIMIT))],
        {"misses": (10.0, 20.0, 120.0)},
        [],
    ),
    "a limit while none missed": (
        [(15.0, decision(1, 4, 2, Reason.SCALE_UP_LIMIT))],
        {"misses": (400.0,)},
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
    assert [finding.field for finding in found(decisions, **given)] == expected


def test_times_read_as_people_write_them():
    [finding] = found([(15.0, decision(4, 7, 4, Reason.TOO_MANY_REPLICAS))])
    assert finding.message == "the metrics asked for more than 4 replicas for 1 minute"


def test_a_dry_run_would_have_asked_and_orders_nothing():
    removed_and_back = [(15.0, decision(3, 2, 2)), (30.0, decision(3, 7, 4, Reason.TOO_MANY_REPLICAS))]
    [finding] = found(removed_and_back, written=False)
    assert finding.message == "the metrics would have asked for more than 4 replicas for 1 minute"
