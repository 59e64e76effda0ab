"""`autoscale bound`: what it prints and writes, what it keeps, and how it fails."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autoscaler.cli.main import cli
from autoscaler.errors import InputError

SHORT = ("azure-conv", "--span", "120", "--processes", "1")
HEADER = "timestamp_s,prompt_tokens,output_tokens\n"
KEYS = [
    *("goal", "slo", "requests", "unavoidable", "startup_s", "window_s", "requests_by_window"),
    *("goal_replicas", "goal_replica_hours", "goal_gpu_hours", "goal_cost_usd", "price"),
    *("best", "cheapest_fixed", "frontier", "fixed", "inputs"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of the bounds that are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vllm-autoscaler" / "bounds"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["bound", *map(str, arguments)])


def test_it_says_what_the_goal_takes_and_writes_the_plan(tmp_path):
    out = tmp_path / "bound.json"
    result = run(*SHORT, "--json", out)
    assert result.exit_code == 0
    assert result.stdout.startswith("Reaching 99% takes 1.00 replicas on average when the future is known: ")
    assert "The fewest fixed replicas that reach it: 1 (100%)." in result.stdout
    document = json.loads(out.read_text())
    assert list(document) == KEYS
    assert document["goal_replicas"] == document["best"]["replicas"] == 1
    assert document["best"]["plan"] == 1
    assert document["inputs"]["trace"] == "azure-conv"


def test_without_a_terminal_the_work_ahead_is_said_once():
    result = run(*SHORT, "--json", "-")
    assert " in 1 window, each window with several replicas, then whole plans" in result.stderr
    assert "bound: replaying" not in run(*SHORT, "--json", "-").stderr, "what was kept takes no time"


def test_standard_input_has_a_name():
    with pytest.raises(InputError, match="standard input is /dev/stdin"):
        CliRunner().invoke(cli, ["bound", "-"], catch_exceptions=False)


def test_the_document_goes_to_standard_output_and_the_text_aside():
    result = run(*SHORT, "--json", "-")
    assert json.loads(result.stdout)["goal"] == 0.99
    assert "when the future is known" in result.stderr


def test_a_bound_that_was_kept_is_the_same_to_the_byte(cache):
    first = run(*SHORT, "--json", "-").stdout
    assert len(list(cache.iterdir())) == 1
    assert run(*SHORT, "--json", "-").stdout == first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r".*", "{"),
        (r".*", "{}"),
        (r".*", "[]"),
        (r".*", "[" * 100_000),
        (r".*", '{"document": {"goal": 0.99}}'),
        ('"goal_replicas"', '"replicas"'),
        ('"attainment": 1.0', '"attainment": "1"'),
    ],
    ids=["cut", "empty", "array", "deep", "no digest", "a lost key", "another type"],
)
def test_a_kept_bound_that_is_damaged_is_computed_again(cache, old, new):
    first = run(*SHORT, "--json", "-").stdout
    [kept] = cache.iterdir()
    whole = kept.read_text()
    kept.write_text(re.sub(old, new, whole, count=1))
    assert kept.read_text() != whole
    assert run(*SHORT, "--json", "-").stdout == first
    assert kept.read_text() == whole, "and kept again"


@pytest.mark.parametrize(
    "other", [("--goal", "95%"), ("--startup", "60"), ("--span", "100"), ("--slo", "ttft=1s,tpot=100ms")]
)
def test_what_the_bound_depends_on_gives_it_a_place_of_its_own(cache, other):
    run(*SHORT)
    run(*SHORT, *other)
    assert len(list(cache.iterdir())) == 2


def test_the_document_holds_what_the_bound_depends_on(tmp_path):
    """Whatever gives a bound a place of its own in the cache differs in its document as well."""
    trace = tmp_path / "chats.csv"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens,hash_ids\n0,1024,10,1 2\n60,1024,10,1 2\n")
    server, caching = ("--profile", "llama3.1-8b-l4", "--processes", "1"), ("--prefix-caching", "on")
    variants = (
        *((), ("--startup", "60"), ("--price", "2.5"), ("--price", "spot"), ("--span", "30")),
        *(("--routing", "random"), ("--seed", "1"), caching, (*caching, "--hash-block-tokens", "600")),
    )
    written = set()
    for variant in variants:
        document = json.loads(run(trace, *server, *variant, "--json", "-").stdout)
        written.add(json.dumps([document["inputs"], document["price"], document["slo"], document["goal"]]))
    assert len(written) == len(variants)
    assert document["inputs"]["profile"]["scheduler"]["enable_prefix_caching"]
    assert (document["inputs"]["hash_block_tokens"], document["inputs"]["price"]) == (600, None)
    assert document["price"]["machine"]
    assert document["price"]["source"]


def test_without_the_cache_nothing_is_kept(cache):
    assert run(*SHORT, "--cache", "off").exit_code == 0
    assert not cache.exists()


def test_the_frontier_is_a_table_that_rises():
    busy = ("azure-conv", "--span", "240", "--rate-scale", "12", "--processes", "1", "--frontier")
    result = run(*busy)
    heading, *rows = result.stdout.split("\n\n")[1].splitlines()
    assert heading.split() == ["goal", "attainment", "planned", "replicas", "replica-hours"]
    goals, hours = zip(*((row.split()[0], float(row.split()[-1])) for row in rows), strict=True)
    assert goals == ("90%", "95%", "97%", "98%", "99%", "99.5%", "99.9%", "99.99%")
    assert list(hours) == sorted(hours)
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_page_draws_the_plan_and_the_frontier_without_a_script(tmp_path):
    page = tmp_path / "bound.html"
    busy = ("azure-conv", "--span", "240", "--rate-scale", "12", "--processes", "1", "--frontier")
    result = run(*busy, "--html", page)
    html = page.read_text()
    assert " ".join(result.stdout.split("\n\n")[0].split()).startswith("Reaching 99% takes")
    assert html.count("<svg") == 2
    assert html.count('class="fixed"') >= 1
    assert "<script" not in html
    assert "default-src" in html
    run(*busy, "--html", page)
    assert page.read_text() == html


def test_above_what_was_checked_it_says_so():
    assert "how much cheaper another plan could be is not known" in " ".join(
        run(*SHORT, "--goal", "99.9%").stdout.split()
    )


def test_a_goal_that_no_plan_reaches_is_an_answer(tmp_path):
    """Forty requests at once, spread by chance: some replica gets two of them, however many there are."""
    trace, out = tmp_path / "wall.csv", tmp_path / "out.json"
    trace.write_text(HEADER + "1.0,2000,200\n" * 40)
    limits = ("--profile", "llama3.1-8b-l4", "--slo", "ttft=700ms,tpot=70ms", "--routing", "random")
    result = run(trace, *limits, "--processes", "1", "--json", out)
    assert result.exit_code == 0
    assert result.stdout.startswith("No plan was found that reaches 99%: the best one reaches ")
    document = json.loads(out.read_text())
    assert document["best"] is document["goal_replicas"] is document["goal_cost_usd"] is None
    assert document["frontier"]


def test_where_no_request_can_meet_the_slo_no_plan_reaches_any_goal(tmp_path):
    trace, out, page = (tmp_path / name for name in ("long.csv", "out.json", "out.html"))
    trace.write_text(HEADER + "0,9000000,10\n1,9000000,10\n")
    result = run(trace, "--frontier", "--processes", "1", "--json", out, "--html", page)
    assert result.exit_code == 0
    said, table = result.stdout.split("\n\n")
    assert said == "No request can meet the SLO: each one misses even on an idle replica."
    assert [row.split()[1] for row in table.splitlines()[1:]] == ["-"] * 8
    document = json.loads(out.read_text())
    reached = ("goal_replicas", "goal_replica_hours", "goal_gpu_hours", "goal_cost_usd", "best")
    assert {document[key] for key in (*reached, "cheapest_fixed")} == {None}
    assert document["frontier"] == document["fixed"] == []
    assert list(document) == KEYS
    assert said in page.read_text()
    assert "<svg" not in page.read_text()
    assert "replaying" not in result.stderr


@pytest.mark.parametrize(
    ("rows", "options", "problem"),
    [
        ("", (), "has a header but no rows"),
        ("0.5,10,10\n", ("--start", "100"), "has no request from 100 s on"),
        ("0.5,ten,10\n", (), "prompt_tokens"),
    ],
)
def test_a_trace_without_requests_is_wrong(tmp_path, rows, options, problem):
    trace = tmp_path / "trace.csv"
    trace.write_text(HEADER + rows)
    result = run(trace, *options, "--processes", "1")
    assert isinstance(result.exception, InputError)
    assert problem in str(result.exception.problems[0])


@pytest.mark.parametrize(
    ("given", "problem"), [("100%", "out of range"), ("99", "has no unit"), ("x", "is not a share")]
)
def test_a_goal_that_cannot_be_is_refused(given, problem):
    result = run(*SHORT, "--goal", given)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_trace_from_a_pipe_is_read_and_not_kept(cache):
    command = [sys.executable, "-m", "autoscaler", "bound", "/dev/stdin", "--processes", "1"]
    done = subprocess.run(command, input=HEADER + "0.5,10,10\n", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Reaching 99% takes 1.00 replicas")
    assert done.stderr.splitlines() == [
        "bound: replaying 1 request in 1 window, each window with several replicas, then whole plans"
    ]
    assert not cache.exists()


def test_on_a_terminal_a_bar_runs_to_its_end():
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "autoscaler", "bound", *SHORT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"Reaching 99% takes 1.00 replicas")
    os.close(ours)
    assert process.returncode == 0
    assert b"100%" in seen.split(b"\r")[-2] or b"100%" in seen[-200:]


def children(parent: int) -> list[int]:
    """The processes that a process has started and not waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            found += [int(stat.parent.name)] if int(fields[1]) == parent else []
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_an_ended_command_takes_its_workers_along(ending):
    command = [sys.executable, "-m", "autoscaler", "bound", "azure-conv", "--rate-scale", "4", "--frontier"]
    command += ["--profile", "llama3.1-8b-l4", "--slo", "ttft=2s,tpot=200ms", "--cache", "off"]
    command += ["--processes", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(workers := children(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)
        process.send_signal(ending)
        _, errors = process.communicate(timeout=60)  # workers that live on would hold the pipes open
    assert len(workers) >= 2, "a worker, and the resource tracker of multiprocessing"
    assert "Traceback" not in errors
    assert process.returncode == (130 if ending == signal.SIGINT else -ending)
