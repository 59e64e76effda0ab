"""The figures of the README and the guides are those that their own commands print."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.recordings import RECORDINGS
from simulator.number_formats import share

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def replay(arguments: str, folder: Path) -> dict[str, dict]:
    """The summaries of a documented ``autoscale simulate``, by their labels; compiled, as users have it."""
    return {run["label"]: run for run in autoscale("simulate", arguments, folder)["runs"]}


def autoscale(name: str, arguments: str, folder: Path) -> dict:
    """What a documented command writes with ``--json``."""
    out = folder / f"{name}.json"
    command = [sys.executable, "-m", "autoscaler", name, *shlex.split(arguments), "--json", str(out)]
    compiled = {name: value for name, value in os.environ.items() if name != "AUTOSCALE_PURE"}
    subprocess.run(command, check=True, capture_output=True, env=compiled, cwd=ROOT)
    found: dict = json.loads(out.read_text())
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[str, dict[str, dict]]:
    """The README's text in one line, and the summaries of `make demo`."""
    makefile = (ROOT / "Makefile").read_text()
    [arguments] = re.findall(r"autoscale simulate (azure-conv .*) \\\n", makefile)
    readme = " ".join((ROOT / "README.md").read_text().split())
    return readme, replay(arguments, tmp_path_factory.mktemp("demo"))


def test_the_readme_tells_what_the_demo_shows(demo):
    readme, runs = demo
    chat, queue = runs["chat"], runs["queue-size"]
    assert 0.9999 < chat["slo_attainment"] < 1
    assert "more than 99.99 % of 19,366 requests" in readme
    assert f"for {chat['gpu_hours']:.2f} GPU-hours" in readme
    assert f"kept {100 * queue['slo_attainment']:.2f} %" in readme


def test_the_readme_admits_that_fixed_replicas_are_cheaper_in_the_demo(demo):
    readme, runs = demo
    chat, queue = runs["chat"]["verdict"], runs["queue-size"]["verdict"]
    assert (chat["holds"], queue["holds"]) == (True, False)
    fixed = chat["cheapest_fixed"]
    assert fixed["replicas"] == 2
    assert f"(${runs['chat']['cost_usd']:.2f})" in readme
    assert f"Two fixed replicas would have held 99 % for ${fixed['cost_usd']:.2f}" in readme
    assert fixed["cost_usd"] < runs["chat"]["cost_usd"], "then the README argues against us for no reason"


def test_the_readme_has_the_cost_with_the_future_known(demo, tmp_path):
    readme, _ = demo
    bound = autoscale("bound", "azure-conv --rate-scale 2 --cache off", tmp_path)
    assert f"the hour would cost ${bound['goal_cost_usd']:.2f}" in readme


def test_the_guide_to_signals_tells_what_its_commands_show(tmp_path):
    guide = (ROOT / "docs/choosing-signals.md").read_text()
    commands = re.findall(r"```sh\nautoscale simulate (.*?)\n```(.*?)(?=```|\n## )", guide, re.DOTALL)
    assert len(commands) == 2
    for arguments, below in commands:
        trace, _, options = arguments.replace("\\\n", " ").partition(" ")
        file = RECORDINGS / trace if trace.endswith(".csv.gz") else trace
        for label, run in replay(f"{file} {options}", tmp_path).items():
            assert f"{shown(run)} |" in row(below, label)


def row(text: str, label: str) -> str:
    """The row of a policy in the first table of a text, without stars."""
    [found, *_] = re.findall(rf"^\| `{label}` \|.*$", text, re.MULTILINE)
    return found.replace("*", "")


def shown(run: dict) -> str:
    """The last three cells of its row."""
    kept = re.sub(r"^>", "> ", share(run["slo_attainment"])).replace("%", " %")
    return f"{kept} | {run['ttft_s']['p95']:.2f} s | {run['gpu_hours']:.2f}"
