"""Times whole `autoscale simulate` processes against a fixed loop of plain Python, and other simulators.

    python -m benchmarks.speed [--runs N] [--peer NAME=COMMAND]... [TRACE ...]

Without arguments: the bundled Azure hour and the day of 521,110 requests, each with 8 fixed replicas and
under the chat policy. Start-up, file reading and `--json` are in. Everything runs in turn, several times,
in one run of this script; it prints medians, and their ratio to the loop, which says what a machine is
worth.

A peer is any command that replays a trace of 8 replicas: `{trace}` in it becomes the file's path, and
without it the path comes last. What converts formats is its own part of COMMAND.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recordings import DAY
from simulator.compiled import describe
from simulator.traces.trace import resolve_trace

LOOP = "x=0\nfor i in range(10_000_000): x+=i&7"
SCALINGS = (("--replicas", "8"), ("--policy", "chat"))
SINGLE = {"--replicas": ("--baseline", "off"), "--policy": ("--baseline", "off", "--initial-replicas", "min")}
"""Options that limit a process to one replay of the trace."""

Commands = dict[str, list[str]]


def seconds(command: list[str]) -> float:
    """Wall seconds of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def ours(trace: str, out: Path) -> Commands:
    """Our own processes on a trace, by their name in the table."""
    simulate = [sys.executable, "-m", "autoscaler", "simulate", trace, "--json", str(out)]
    return {
        f"{Path(trace).name} {' '.join(scaling)}": [*simulate, *scaling, *SINGLE[scaling[0]]]
        for scaling in SCALINGS
    }


def peers(given: list[str], trace: str) -> Commands:
    """Other simulators' processes on the same trace."""
    file = str(resolve_trace(trace))
    commands = {}
    for text in given:
        name, _, command = text.partition("=")
        words = shlex.split(command)
        filled = [word.replace("{trace}", file) for word in words]
        commands[f"{Path(trace).name} {name}"] = filled if filled != words else [*words, file]
    return commands


def measured(commands: Commands, runs: int) -> dict[str, float]:
    """The median seconds of each command; all take turns, so that a busy moment affects all alike."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(seconds(command))
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Runs every command in turn and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("traces", nargs="*", metavar="TRACE")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    options = parser.parse_args()
    traces = options.traces or ["azure-conv", str(DAY)]
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        commands = {"the loop": [sys.executable, "-c", LOOP]}
        for trace in traces:
            commands |= ours(trace, Path(folder) / "out.json") | peers(options.peer, trace)
        medians = measured(commands, options.runs)
    for name, median in medians.items():
        print(f"{name:60} {median:8.3f} s {median / medians['the loop']:8.2f} x the loop")


if __name__ == "__main__":
    main()
