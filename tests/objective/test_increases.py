"""Scrapes -> a sample, or the reasons why there is none."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from autoscaler.objective.constants import TIMES
from autoscaler.objective.fleet_observation import ObservedPod
from autoscaler.objective.increases import Baseline, Increase, increases
from tests.objective.builders import counters, observed, scrape

A = scrape(100.0, counters(1000, 500, 10, ttft=(10,)), running=4.0)
BASELINE = Baseline(100.0, {"a": A})
LATER = counters(1600, 800, 16, ttft=(13, 3))


def after(*pods, baseline=BASELINE, now=115.0):
    return increases(baseline, observed(*pods), now, TIMES)


def test_a_sample_is_what_grew_between_two_scrapes():
    sample, _ = after(ObservedPod("a", scrape=scrape(115.0, LATER, running=7.0, waiting=2.0)))
    assert isinstance(sample, Increase)
    assert sample.seconds == 15.0
    assert sample.per_s.tolist() == [40.0, 20.0, 0.4]
    assert sample.ttft.tolist() == [3, 3, 0, 0, 0]
    assert sample.arrivals_per_s == pytest.approx((6 + 5) / 15)  # six ended, five more are there
    assert (sample.running, sample.waiting, sample.pods, sample.serving) == (7.0, 2.0, 1, 1)
    assert sample.reasons == ()


@pytest.mark.parametrize(
    ("scraped", "now", "reason"),
    [
        (None, 115.0, "a: no scrape"),
        (scrape(115.0, LATER, running=nan), 115.0, "a: a value is not a number"),
        (scrape(115.0, LATER, waiting=inf), 115.0, "a: a value is not a number"),
        (scrape(115.0, counters(nan)), 115.0, "a: a value is not a number"),
        (scrape(115.0, LATER, running=-1.0), 115.0, "a: a value is negative"),
        (scrape(115.0, counters(1600, 800, 9)), 115.0, "a: a counter fell: the engine has restarted"),
        (scrape(115.0, np.ones(3)), 115.0, "a: its histograms have other buckets than before"),
        (scrape(115.0, LATER), 190.0, "a: its last scrape is 75 s old"),
        (scrape(200.0, LATER), 200.0, "a: no scrape for 100 s before this one"),
    ],
)
def test_what_cannot_be_used_has_its_reason(scraped, now, reason):
    reasons, _ = after(ObservedPod("a", scrape=scraped), now=now)
    assert reasons == (reason,)


def test_the_first_sync_has_nothing_to_compare_with():
    reasons, baseline = after(ObservedPod("a", scrape=A), baseline=Baseline(), now=100.0)
    assert reasons == ("a: no earlier scrape yet",)
    sample, _ = after(ObservedPod("a", scrape=scrape(115.0, LATER)), baseline=baseline)
    assert isinstance(sample, Increase)


def test_a_scrape_that_is_not_due_is_no_gap():
    reasons, baseline = after(ObservedPod("a", scrape=A), now=110.0)
    assert reasons == ()
    assert baseline.pods["a"] is A


def test_a_pod_whose_scrape_is_not_due_goes_at_the_rates_of_the_others():
    baseline = Baseline(100.0, {"a": A, "b": A})
    fresh, same = ObservedPod("a", scrape=scrape(115.0, LATER, running=4.0)), ObservedPod("b", scrape=A)
    sample, _ = after(fresh, same, baseline=baseline)
    assert sample.reasons == ()
    assert sample.per_s.tolist() == [80.0, 40.0, 0.8]
    assert (sample.running, sample.pods, sample.finished) == (8.0, 2, 6.0)


def test_a_source_that_lags_behind_is_no_restart():
    older = ObservedPod("a", scrape=scrape(90.0, counters(900)))
    reasons, baseline = after(older, now=115.0)
    assert reasons == ()
    assert baseline.pods["a"] is A


def test_a_new_pod_counts_from_zero_and_may_wait_for_its_first_scrape():
    old = ObservedPod("a", scrape=scrape(115.0, LATER))
    sample, baseline = after(old, ObservedPod("b"))
    assert sample.reasons == ()
    again = ObservedPod("a", scrape=scrape(130.0, LATER))
    first = ObservedPod("b", scrape=scrape(130.0, counters(300, 0, 3)))
    sample, _ = increases(baseline, observed(again, first), 130.0, TIMES)
    assert sample.reasons == ()
    assert sample.finished == 3.0


def test_a_new_pod_that_is_never_scraped_is_missing():
    baseline, now = Baseline(100.0, {"a": A}), 100.0
    for _ in range(4):
        now += 15.0
        pods = (ObservedPod("a", scrape=scrape(now, LATER)), ObservedPod("b"))
        sample, baseline = increases(baseline, observed(*pods), now, TIMES)
    assert sample.reasons == ("b: no scrape",)
    assert (sample.pods, sample.serving) == (1, 2)


def test_pods_that_end_take_their_last_seconds_with_them():
    baseline = Baseline(100.0, {"a": A, "b": scrape(100.0, running=9.0)})
    sample, after_it = after(ObservedPod("a", scrape=scrape(115.0, LATER, running=4.0)), baseline=baseline)
    assert sample.reasons == ()
    assert sample.arrivals_per_s == pytest.approx(6 / 15)
    assert set(after_it.pods) == {"a"}


def test_a_draining_pod_without_a_scrape_is_no_gap():
    sample, _ = after(ObservedPod("a", scrape=scrape(115.0, LATER)), ObservedPod("b", draining=True))
    assert sample.reasons == ()
    assert (sample.pods, sample.serving) == (1, 1)


def test_one_bad_pod_leaves_the_others_a_partial_sample():
    baseline = Baseline(100.0, {"a": A, "b": A})
    sample, kept = after(ObservedPod("a", scrape=scrape(115.0, LATER)), ObservedPod("b"), baseline=baseline)
    assert sample.reasons == ("b: no scrape",)
    assert kept.pods["b"] is A  # the next increase begins there
