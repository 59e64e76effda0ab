"""Which samples count, and what is said about the others."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from autoscaler.decision.types import Pod, Proposal, Reading, Sample

from .builders import NOW, decide, hpa, metric, observe, per_pod, pods, policy, series


def judge(sample: Sample, semantics: str = "LLM", **fields: Any) -> Proposal:
    """The proposal of a metric with one good sample at twice the target, and this one."""
    good = Sample(20.0, NOW, "pod-0")
    observation = observe(2, Reading("load", (good, sample)))
    return decide(policy(metric(10, **fields), semantics=semantics), observation).proposals[0]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (Sample(nan, NOW, "pod-1"), "pod-1: not a number"),
        (Sample(inf, NOW, "pod-1"), "pod-1: infinite"),
        (Sample(-inf, NOW, "pod-1"), "pod-1: infinite"),
        (Sample(-1.0, NOW, "pod-1"), "pod-1: negative (-1)"),
        (Sample(1.0, NOW - 91, "pod-1"), "pod-1: 91 s old, at most 90 s is usable"),
        (Sample(1.0, nan, "pod-1"), "pod-1: nan s old, at most 90 s is usable"),
        (Sample(1.0, NOW + 61, "pod-1"), "pod-1: 61 s in the future"),
        (Sample(1.0, NOW, "pod-7"), "pod-7: pod is gone"),
        (Sample(1.0, NOW), "series: has no pod label"),
    ],
)
def test_an_unusable_sample_is_refused_with_its_reason(sample: Sample, reason: str) -> None:
    proposal = judge(sample)
    assert proposal.rejected == (reason,)
    assert (proposal.used, proposal.missing, proposal.complete) == (1, ("pod-1",), False)


@pytest.mark.parametrize(
    "sample",
    [Sample(0.0, NOW, "pod-1"), Sample(1.0, NOW - 90, "pod-1"), Sample(1.0, NOW + 60, "pod-1")],
)
def test_the_edges_are_usable(sample: Sample) -> None:
    assert judge(sample).rejected == ()


@pytest.mark.parametrize(
    ("sample", "refused"),
    [
        (Sample(nan, NOW, "pod-1"), True),
        (Sample(inf, NOW, "pod-1"), True),
        (Sample(-1.0, NOW, "pod-1"), False),
        (Sample(1.0, NOW - 1e6, "pod-1"), False),
        (Sample(1.0, NOW + 1e6, "pod-1"), False),
        (Sample(1.0, NOW, "pod-7"), False),
        (Sample(1.0, NOW), True),
    ],
)
def test_hpa_semantics_refuse_only_what_hpa_cannot_be_given(sample: Sample, refused: bool) -> None:
    assert bool(judge(sample, "HPA").rejected) is refused


@pytest.mark.parametrize("semantics", ["LLM", "HPA"])
@pytest.mark.parametrize(
    ("signal", "value", "reason"),
    [
        ("gpuUtilization", 9223372036854775794 / 100, "9.22337e+16, which is not within 0 to 1.05"),
        ("gpuUtilization", 1.06, "1.06, which is not within 0 to 1.05"),
        ("gpuUtilization", 1.05, None),
        ("kvCacheUsage", 63.5, "63.5, which is not within 0 to 1.05"),
        ("kvCacheUsage", -0.1, "negative (-0.1)"),
        ("waiting", -1.0, "negative (-1)"),
        ("requestsPerSecond", -0.5, "negative (-0.5)"),
        ("waiting", 1e6, None),
    ],
)
def test_what_a_signal_cannot_be_is_not_a_sample(
    signal: str, value: float, reason: str | None, semantics: str
) -> None:
    """DCGM says 2**63 - 14 for a percentage that it does not know: 2 -> 6 replicas without a bound."""
    reading = Reading(signal, (Sample(0.5, NOW, "pod-0"), Sample(value, NOW, "pod-1")))
    rules = policy(metric("0.8", signal=signal), semantics=semantics)
    proposal = decide(rules, observe(2, reading)).proposals[0]
    assert proposal.rejected == ((f"pod-1: {reason}",) if reason else ())
    assert proposal.missing == (("pod-1",) if reason else ())


def test_an_impossible_share_scales_nothing_in_either_direction() -> None:
    rules = policy(metric("0.8", signal="gpuUtilization"), guards={"remainingCapacity": {"enabled": False}})
    for share in (0.1, 0.6):
        reading = Reading("gpuUtilization", (Sample(share, NOW, "pod-0"), Sample(9e16, NOW, "pod-1")))
        assert decide(rules, observe(2, reading)).desired_replicas == 2


@pytest.mark.parametrize(
    ("limit", "ahead", "refused"), [(5, 5, False), (5, 6, True), (90, 60, False), (90, 61, True)]
)
@pytest.mark.parametrize("semantics", ["LLM", "HPA"])
def test_a_sample_is_ahead_of_the_clock_no_further_than_it_may_be_old(
    limit: int, ahead: float, refused: bool, semantics: str
) -> None:
    """A source that stops while its clock is ahead must not look fresh for longer than maxAgeSeconds."""
    proposal = judge(Sample(1.0, NOW + ahead, "pod-1"), semantics, maxAgeSeconds=limit)
    assert proposal.rejected == ((f"pod-1: {ahead} s in the future",) if refused else ())


def test_hpa_semantics_keep_to_a_written_age_limit() -> None:
    assert judge(Sample(1.0, NOW - 31, "pod-1"), "HPA", maxAgeSeconds=30).rejected


def test_negative_values_in_hpa_semantics_propose_no_replicas() -> None:
    rules = hpa(metric(10, "AverageValue", type="Object"), minReplicas=0)
    assert decide(rules, observe(2, series(-50.0))).desired_replicas == 0


def test_all_samples_too_old_is_a_stale_metric() -> None:
    decision = decide(policy(), observe(2, per_pod([1.0, 1.0], at=NOW - 300)))
    assert (decision.reason, decision.desired_replicas) == ("StaleMetric", 2)
    assert "300 s old" in decision.message


def test_all_samples_unusable_for_several_reasons_is_a_failed_metric() -> None:
    samples = (Sample(nan, NOW, "pod-0"), Sample(1.0, NOW - 300, "pod-1"))
    assert decide(policy(), observe(2, Reading("load", samples))).reason == "FailedGetPodsMetric"


def test_samples_of_other_pods_say_nothing_about_the_metric() -> None:
    """They make it neither failed instead of stale, nor failed instead of empty."""
    old = Sample(1.0, NOW - 300, "pod-0")
    foreign = Sample(1.0, NOW, "gone")
    assert decide(policy(), observe(1, Reading("load", (foreign, old)))).reason == "StaleMetric"
    empty = policy(metric(10, "AverageValue", signal="running", missingData="Zero"))
    assert decide(empty, observe(1, Reading("running", (foreign,)))).proposals[0].replicas == 0


def test_several_series_of_a_pod_are_added_up() -> None:
    """A replica with two engines."""
    samples = tuple(Sample(10.0, NOW, f"pod-{i}") for i in (0, 0, 1, 1))
    assert decide(policy(), observe(2, Reading("load", samples))).proposals[0].usage_milli == 20_000


def test_a_pod_with_one_unusable_series_is_missing_altogether() -> None:
    proposal = decide(
        policy(),
        observe(2, Reading("load", (*per_pod([10.0, 10.0]).samples, Sample(nan, NOW, "pod-1")))),
    ).proposals[0]
    assert (proposal.missing, proposal.usage_milli) == (("pod-1",), 10_000)


def test_a_sum_over_own_pods_leaves_out_pods_that_are_gone_and_misses_silent_ones() -> None:
    running = metric(10, "AverageValue", signal="running")
    reading = per_pod({"pod-0": 20.0, "old": 500.0}, "running")
    proposal = decide(policy(running), observe(2, reading)).proposals[0]
    assert (proposal.usage_milli, proposal.missing) == (10_000, ("pod-1",))
    assert proposal.rejected == ("old: pod is gone",)


def test_a_sum_over_a_query_takes_any_pod() -> None:
    """It may be the gateway's pods that the series belong to."""
    reading = per_pod({"gateway-0": 20.0, "gateway-1": 20.0})
    proposal = decide(policy(metric(10, "AverageValue")), observe(2, reading)).proposals[0]
    assert (proposal.replicas, proposal.missing, proposal.complete) == (4, (), True)


def test_a_pod_that_is_being_deleted_is_gone() -> None:
    there = (*pods(1), Pod("pod-1", deleting=True))
    proposal = decide(policy(), observe(1, per_pod([10.0, 500.0]), pods_=there)).proposals[0]
    assert (proposal.usage_milli, proposal.rejected) == (10_000, ("pod-1: pod is gone",))


# missingData: two of four pods answer


@pytest.mark.parametrize(
    ("missing", "level", "desired", "reason"),
    [
        (None, 30.0, 6, "AboveTarget"),
        ("Hold", 30.0, 6, "AboveTarget"),
        ("Conservative", 30.0, 6, "AboveTarget"),
        ("Zero", 30.0, 6, "AboveTarget"),
        (None, 2.0, 4, "IncompleteData"),
        ("Hold", 2.0, 4, "IncompleteData"),
        ("Conservative", 2.0, 3, "BelowTarget"),
        ("Zero", 2.0, 1, "BelowTarget"),
    ],
)
def test_what_a_silent_pod_means(missing: str | None, level: float, desired: int, reason: str) -> None:
    """Up it counts 0 in any case; down it forbids, counts as at target, or counts 0."""
    fields = {"missingData": missing} if missing else {}
    rules = policy(
        metric(10, **fields),
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
        guards={"remainingCapacity": {"enabled": False}},
    )
    decision = decide(rules, observe(4, per_pod([level] * 2)))
    assert (decision.desired_replicas, decision.reason) == (desired, reason)


@pytest.mark.parametrize("semantics", ["LLM", "HPA"])
@pytest.mark.parametrize(("guard", "desired"), [(True, 4), (False, 3)])
def test_an_unset_missing_data_follows_the_guard(semantics: str, guard: bool, desired: int) -> None:
    rules = policy(
        semantics=semantics,
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
        guards={"completeDataForScaleDown": guard, "remainingCapacity": {"enabled": False}},
    )
    assert decide(rules, observe(4, per_pod([2.0] * 2))).desired_replicas == desired


@pytest.mark.parametrize("kind", ["PodsAverage", "AverageValue", "Value"])
def test_zero_takes_an_empty_answer_for_no_load(kind: str) -> None:
    proposal = decide(policy(metric(10, kind, missingData="Zero")), observe(4, Reading("load"))).proposals[0]
    assert (proposal.replicas, proposal.usage_milli) == (0, 0)


@pytest.mark.parametrize(
    "reading", [Reading("load", error="timeout"), series(nan), series(5.0, at=NOW - 1000)]
)
def test_zero_takes_no_failure_and_no_bad_sample_for_no_load(reading: Reading) -> None:
    proposal = decide(policy(metric(10, "AverageValue", missingData="Zero")), observe(4, reading)).proposals[
        0
    ]
    assert proposal.replicas is None
