"""Replays ten million requests in one process and prints its seconds and its peak memory.

    python -m benchmarks.endurance [TRACE] [--requests N]

TRACE (default: a day of 521,110 requests) is repeated end to end until there are N requests. Takes
minutes, and some hundred megabytes in the folder for temporary files.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.recordings import DAY
from simulator.traces.rows import Request
from simulator.traces.trace import Trace

SCALINGS = (("--replicas", "8"), ("--policy", "chat"))
LIMIT_MB = 400


def end_to_end(trace: Trace) -> Iterator[Request]:
    """The trace again and again; each pass begins a second after the last request of the one before."""
    start_s = 0.0
    while True:
        time_s = 0.0
        for time_s, prompt, output in trace:
            yield start_s + time_s, prompt, output
        start_s += time_s + 1.0


def write(trace: Trace, requests: int, file: Path) -> None:
    """The first ``requests`` of the repeated trace, in our own format."""
    with file.open("w", encoding="utf-8") as stream:
        stream.write("timestamp_s,prompt_tokens,output_tokens\n")
        rows = (f"{time_s:.3f},{prompt},{output}\n" for time_s, prompt, output in end_to_end(trace))
        stream.writelines(islice(rows, requests))


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident megabytes (10^6 bytes) of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    """One process for each way of scaling."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("trace", nargs="?", type=Path, default=DAY, metavar="TRACE")
    parser.add_argument("--requests", type=int, default=10_000_000, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace, out = Path(folder) / "trace.csv", Path(folder) / "out.json"
        write(Trace(options.trace), options.requests, trace)
        for scaling in SCALINGS:
            command = [sys.executable, "-m", "autoscaler", "simulate", str(trace), *scaling]
            seconds, megabytes = measure([*command, "--json", str(out)])
            verdict = "within" if megabytes <= LIMIT_MB else "OVER"
            what = f"{options.requests:,} requests {' '.join(scaling)}"
            print(f"{what:40} {seconds:8.1f} s {megabytes:6.0f} MB, {verdict} {LIMIT_MB} MB", flush=True)


if __name__ == "__main__":
    main()
