"""Two replays whose every figure is written down: a change that moves one must be meant.

To accept new figures, then read the difference before committing it:

    AUTOSCALE_WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/simulator/run/test_golden.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autoscaler.documents.library import library_path
from autoscaler.documents.policies import load_policies
from simulator.report.summary import render_json, summarize
from simulator.run.event_loop import simulate
from simulator.run.result import RunResult
from simulator.run.scenario import FixedScaling, Scenario
from simulator.startup.choices import load_startup
from simulator.traces.trace import Trace, bundled_trace
from simulator.vllm.profile import load_profile
from simulator.vllm.request_table import Slo

GOLDEN = Path(__file__).parents[2] / "golden"


def fixed() -> RunResult:
    """The Azure hour on three replicas, at three times its rate."""
    scenario = Scenario(load_profile("gemma2-9b-h100"), load_startup("warm-node"), Slo(2.0, 0.1))
    trace = Trace(bundled_trace("azure-conv")).window(rate_scale=3.0)
    return simulate(trace, FixedScaling(3), scenario, label="3 replicas")


def policy() -> RunResult:
    """Twenty minutes of it at six times its rate, under the chat policy, with slow starts."""
    scenario = Scenario(load_profile("llama3-8b-h100"), load_startup("new-node"), Slo(1.0, 0.05), seed=3)
    trace = Trace(bundled_trace("azure-conv")).window(start_s=600, span_s=1200, rate_scale=6.0)
    [loaded] = load_policies(library_path("chat"))
    return simulate(trace, loaded.policy, scenario, label="chat")


@pytest.mark.parametrize("run", [fixed, policy])
def test_the_figures_are_those_written_down(run):
    file = GOLDEN / f"azure-conv-{run.__name__}.json"
    text = render_json([summarize(run())])
    if os.environ.get("AUTOSCALE_WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()
