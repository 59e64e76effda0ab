"""Every policy of the library survives a simulated day."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from autoscaler.documents.library import library_names, library_path
from autoscaler.documents.policies import load_policies
from simulator.report.summary import summarize
from simulator.run.event_loop import simulate
from simulator.run.scenario import Scenario
from simulator.startup.choices import load_startup
from simulator.traces.trace import Trace
from simulator.vllm.profile import Profile, load_profile
from simulator.vllm.request_table import Slo

DAY = Path(__file__).parent / "data" / "servegen_day_20k.csv.gz"
SLOWER = 100
"""The day has 1/26 of its requests. With a replica 100 times slower the queues are those of about
four times the full day's traffic, and every time is 100 times as long."""


def slow_profile() -> Profile:
    """Gemma 2 9B on a 100 times slower H100."""
    profile = load_profile("gemma2-9b-h100")
    times = {name: value * SLOWER for name, value in asdict(profile.step_time).items()}
    return replace(profile, step_time=replace(profile.step_time, **times))


@pytest.mark.slow
@pytest.mark.parametrize("name", library_names())
def test_a_simulated_day_ends_with_every_request_and_within_the_bounds(name):
    [loaded] = load_policies(library_path(name))
    spec = loaded.policy.spec
    slo = Slo(ttft_s=2.0 * SLOWER, tpot_s=0.1 * SLOWER)
    result = simulate(Trace(DAY), loaded.policy, Scenario(slow_profile(), load_startup("warm-node"), slo))
    summary = summarize(result)
    assert summary["end_s"] > 86_000
    assert summary["unfinished"] == 0
    assert summary["completed"] > 19_900
    desired = {point.desired for point in result.timeline}
    assert spec.min_replicas <= min(desired) < max(desired) <= spec.max_replicas
    # batch puts throughput first, and queue-size is there to show what waiting for a queue costs.
    assert summary["slo_attainment"] > (0.9 if name in ("batch", "queue-size") else 0.97)
