"""Times the clairvoyant bound of a day, and its frontier, against one replay of a fixed number of replicas.

    python -m benchmarks.bound [--goal SHARE] [--processes N]

The day of 521,110 requests on llama3.1-8b-l4, start-up 180 s, TTFT 2 s, TPOT 200 ms. Whole processes:
start-up and file reading are in, nothing comes from the cache. Planned and replayed attainment stand side
by side with the gap between them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, run
from typing import Any

from benchmarks.recordings import DAY
from simulator.compiled import describe
from simulator.report.bound_text import CHECKED_UP_TO

TRACE = str(DAY)
SERVERS = ("--profile", "llama3.1-8b-l4", "--slo", "ttft=2s,tpot=200ms")
REPLAY = ("simulate", TRACE, *SERVERS, "--replicas", "8", "--baseline", "off")
BOUND = ("bound", TRACE, *SERVERS, "--startup", "180", "--cache", "off")


def timed(arguments: Sequence[str], out: Path) -> tuple[float, dict[str, Any]]:
    """Wall seconds of one process of ours, and the JSON that it wrote."""
    command = [sys.executable, "-m", "autoscaler", *arguments, "--json", str(out)]
    start = time.perf_counter()
    run(command, check=True, stdout=DEVNULL, stderr=DEVNULL)
    return time.perf_counter() - start, json.loads(out.read_text())


def line(point: dict[str, Any]) -> str:
    """One point: what it costs, what was planned and what its replay reached, in percent."""
    planned, replayed = 100 * point["planned_attainment"], 100 * point["attainment"]
    return (
        f"{point['replicas']:6.2f} replicas, planned {planned:7.3f} %, replayed {replayed:7.3f} %, "
        f"gap {planned - replayed:+.3f} points"
    )


def main() -> None:
    """One replay, the bound, the bound with its frontier: each once, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--goal", default="99%")
    parser.add_argument("--processes", default="2")
    options = parser.parse_args()
    bound = (*BOUND, "--goal", options.goal, "--processes", options.processes)
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        replay_s, _ = timed(REPLAY, out)
        print(f"one replay of 8 replicas: {replay_s:.1f} s")
        bound_s, document = timed(bound, out)
        print(f"the bound at {options.goal}: {bound_s:.1f} s, {bound_s / replay_s:.1f} x the replay")
        print("no plan reaches it" if document["best"] is None else line(document["best"]))
        if document["goal"] > CHECKED_UP_TO:
            print(f"above {100 * CHECKED_UP_TO:g} % no one knows how much cheaper another plan could be")
        frontier_s, document = timed((*bound, "--frontier"), out)
        points = document["frontier"]
        print(
            f"with the frontier of eight goals: {frontier_s:.1f} s, {frontier_s / replay_s:.1f} x the replay"
        )
        for point in points:
            print(line(point))


if __name__ == "__main__":
    main()
