"""Times whole `autoscale simulate` processes against a fixed loop of plain Python.

    python benchmarks/replay.py [--runs N] [TRACE ...]

Without arguments: the bundled Azure hour, with 8 fixed replicas and under the chat policy.
Prints the median seconds of each and the ratio to the loop, measured in turn in one run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOOP = "x=0\nfor i in range(10_000_000): x+=i&7"
AUTOSCALE = Path(sys.executable).with_name("autoscale")
SCALINGS = (("--replicas", "8"), ("--policy", "chat"))


def seconds(command: list[str]) -> float:
    """Wall seconds of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Runs every command in turn and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("traces", nargs="*", default=["azure-conv"], metavar="TRACE")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out.json")
        commands = {"the loop": [sys.executable, "-c", LOOP]}
        for trace in options.traces:
            for scaling in SCALINGS:
                name = f"{Path(trace).name} {' '.join(scaling)}"
                commands[name] = [str(AUTOSCALE), "simulate", trace, *scaling, "--json", out]
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.runs):
            for name, command in commands.items():
                times[name].append(seconds(command))
    loop = statistics.median(times["the loop"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:60} {median:8.3f} s {median / loop:8.2f} x the loop")


if __name__ == "__main__":
    main()
