"""Times the clairvoyant bound of a day, and its frontier, against one replay of a fixed number of replicas.

    python -m benchmarks.bound [--goal SHARE] [--processes N]

The day of 521,110 requests on llama3.1-8b-l4, start-up 180 s, TTFT 2 s, TPOT 200 ms. Whole processes:
start-up and file reading are in, nothing comes from the cache. Besides wall seconds there are those that all
processes computed, which a busy machine does not change much. Planned and replayed attainment stand side
by side with the gap between them.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, run
from typing import Any, NamedTuple

from benchmarks.recordings import DAY
from simulator.bound.search import FRONTIER
from simulator.compiled import describe
from simulator.report.bound_text import CHECKED_UP_TO, cheapest

TRACE = str(DAY)
SERVERS = ("--profile", "llama3.1-8b-l4", "--slo", "ttft=2s,tpot=200ms")
REPLAY = ("simulate", TRACE, *SERVERS, "--replicas", "8", "--baseline", "off")
BOUND = ("bound", TRACE, *SERVERS, "--startup", "180", "--cache", "off")


class Spent(NamedTuple):
    """Seconds of one process of ours: by the wall, and computed with its children."""

    wall_s: float
    computed_s: float

    def told(self, one: Spent) -> str:
        """Beside those of ``one`` replay."""
        ratio = self.computed_s / one.computed_s
        return f"{self.wall_s:.1f} s, computed {self.computed_s:.1f} s, {ratio:.1f} x one replay's"


def timed(arguments: Sequence[str], out: Path) -> tuple[Spent, dict[str, Any]]:
    """The times of a process, and the JSON that it wrote."""
    command = [sys.executable, "-m", "autoscaler", *arguments, "--json", str(out)]
    start, before = time.perf_counter(), _computed_s()
    run(command, check=True, stdout=DEVNULL, stderr=DEVNULL)
    spent = Spent(time.perf_counter() - start, _computed_s() - before)
    return spent, json.loads(out.read_text())


def _computed_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def line(point: dict[str, Any]) -> str:
    """One point: its cost, and the planned and the replayed attainment in percent."""
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
        replay, _ = timed(REPLAY, out)
        print(f"one replay of 8 replicas: {replay.told(replay)}")
        spent, document = timed(bound, out)
        print(f"the bound at {options.goal}: {spent.told(replay)}")
        print("no plan reaches it" if document["best"] is None else line(document["best"]))
        if document["goal"] > CHECKED_UP_TO:
            print(f"above {100 * CHECKED_UP_TO:g} % it is unknown how much cheaper another plan could be")
        spent, document = timed((*bound, "--frontier"), out)
        print(f"with the frontier of eight goals: {spent.told(replay)}")
        for goal in FRONTIER:
            point = cheapest(document["frontier"], goal)
            print(f"{100 * goal:6g} %: {'not reached' if point is None else line(point)}")


if __name__ == "__main__":
    main()
