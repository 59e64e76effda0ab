"""The benchmarks as far as they can be wrong without anybody noticing: what they run, and on what."""

from __future__ import annotations

import re
import subprocess
from itertools import islice
from pathlib import Path

from benchmarks.endurance import end_to_end
from benchmarks.recordings import RECORDINGS
from benchmarks.speed import ours, peers
from simulator.traces.trace import Trace, resolve_trace

ROOT = Path(__file__).parents[1]
HEADER = "timestamp_s,prompt_tokens,output_tokens\n"


def test_every_recording_has_its_source_and_every_source_its_recording():
    """The table of recordings/README.md, whose paths may have stars."""
    page = (RECORDINGS / "README.md").read_text()
    named = {
        found for text in re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE) for found in RECORDINGS.glob(text)
    }
    assert named == set(RECORDINGS.rglob("*.csv.gz"))


def test_a_repeated_trace_goes_on_where_it_ended(tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text(HEADER + "0.5,10,1\n2,20,2\n")
    requests = list(islice(end_to_end(Trace(file)), 5))
    assert [time_s for time_s, _, _ in requests] == [0.5, 2.0, 3.5, 5.0, 6.5]
    assert [prompt for _, prompt, _ in requests] == [10, 20, 10, 20, 10]


def test_a_peer_gets_the_trace_where_it_says_or_last():
    file = str(resolve_trace("azure-conv"))
    commands = peers(["a=run --in={trace} --fast", "b=sh -c 'echo \"$1\"'"], "azure-conv")
    assert commands == {
        "azure-conv a": ["run", f"--in={file}", "--fast"],
        "azure-conv b": ["sh", "-c", 'echo "$1"', file],
    }


def test_our_processes_are_those_of_a_user(tmp_path):
    file, out = tmp_path / "trace.csv", tmp_path / "out.json"
    file.write_text(HEADER + "0,10,10\n1,10,10\n")
    for command in ours(str(file), out).values():
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        assert '"requests": 2' in out.read_text()
        out.unlink()
