"""``autoscale batch`` as users run it: killed, resumed, in three formats, and what is refused."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from autoscaler.api.signals import GATEWAY_QUEUE
from autoscaler.cli.main import main
from tests.cli.emulated import emulate

ROWS = 300


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with emulate("--port", "0", "--speed", "10", "--model", "m") as (_, urls):
        yield urls["vllm-0"]


@pytest.fixture
def prompts(tmp_path) -> Path:
    path = tmp_path / "prompts.jsonl"
    rows = [{"id": f"q{number}", "prompt": f"What is {number}?"} for number in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked(url: str) -> int:
    """Chats that the server was asked for and that it has ended, answered or not, or still runs."""
    with urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    counted = ("vllm:request_success_total{", "vllm:num_requests_running{", "vllm:num_requests_waiting{")
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(counted))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "autoscaler", "batch", *map(str, arguments)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130), (signal.SIGINT, 130)]
)
def test_stopped_in_any_way_it_goes_on_and_each_row_stands_there_once(prompts, tmp_path, number, status):
    """At most what was in flight is sent again: 16 requests for each of the two times."""
    with emulate("--port", "0", "--speed", "4") as (_, urls):
        check_stops(urls["vllm-0"], prompts, tmp_path / "results.jsonl", number, status)


def check_stops(url: str, prompts: Path, output: Path, number: int, status: int) -> None:
    arguments = (prompts, "--url", url, "-o", output, "--concurrency", "16", "--param", "max_tokens=60")
    before = asked(url)
    for reached in (30, 90):  # far from the end, though this process may be late to send its signal
        with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while not output.exists() or output.read_bytes().count(b"\n") < reached:
                assert process.poll() is None
            process.send_signal(number)
            process.communicate(timeout=60)
        assert process.returncode == status
        kept = output.read_bytes().count(b"\n")
        assert reached <= kept < ROWS
    assert main(["batch", *map(str, arguments)]) == 0
    rows = results(output)
    assert sorted(row["row"] for row in rows) == list(range(ROWS))
    assert {row["id"] for row in rows} == {f"q{number}" for number in range(ROWS)}
    assert all(row["output"] and row["error"] is None for row in rows)
    assert ROWS <= asked(url) - before <= ROWS + 2 * 16


@pytest.mark.slow
@pytest.mark.parametrize("timeout", ["0", "30"], ids=["at once", "draining"])
def test_a_server_that_is_replaced_costs_no_row(prompts, tmp_path, timeout):
    """SIGTERM in the middle; a new process takes its place at the same port."""
    output = tmp_path / "results.jsonl"
    arguments = ("--speed", "4", "--model", "m", "--shutdown-timeout", timeout)
    with emulate("--port", "0", *arguments) as (server, urls):
        url = urls["vllm-0"]
        sent = command(prompts, "--url", url, "-o", output, "--concurrency", "16", "--param", "max_tokens=60")
        with subprocess.Popen(sent, stdout=subprocess.PIPE, text=True) as process:
            while not output.exists() or output.read_bytes().count(b"\n") < 60:
                assert process.poll() is None
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
            with emulate("--port", url.rpartition(":")[2], *arguments):
                out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    rows = results(output)
    assert sorted(row["row"] for row in rows) == list(range(ROWS))
    assert {row["finish_reason"] for row in rows} <= {"stop", "length"}
    assert all(row["output"] and row["error"] is None for row in rows)


def test_rows_that_an_older_version_lost_are_sent_again_and_named(url, prompts, tmp_path, capsys):
    output = tmp_path / "results.jsonl"
    arguments = ["batch", str(prompts), "--url", url, "-o", str(output), "--param", "max_tokens=3"]
    assert main(arguments) == 0
    rows = [{**row, "response": None} for row in results(output)]
    rows[5] |= {"output": "", "finish_reason": "abort"}
    rows[6] |= {"output": None, "finish_reason": "tool_calls"}
    output.write_text("".join(json.dumps(row) + "\n" for row in rows))
    capsys.readouterr()
    assert main(arguments) == 0
    assert "2 rows of an earlier run have an aborted answer, or none" in capsys.readouterr().err
    found = {row["row"]: row for row in results(output)}
    assert len(found) == ROWS
    assert all(found[row["row"]]["output"].startswith(" the and") for row in rows[5:7])


def test_again_it_sends_nothing_though_the_server_is_gone(url, prompts, tmp_path, capsys):
    arguments = [str(prompts), "-o", str(tmp_path / "results.jsonl"), "--param", "max_tokens=2"]
    assert main(["batch", *arguments, "--url", url]) == 0
    kept = (tmp_path / "results.jsonl").read_bytes()
    assert main(["batch", *arguments, "--url", "http://127.0.0.1:9"]) == 0
    assert (tmp_path / "results.jsonl").read_bytes() == kept
    assert f"{ROWS} rows, 0 with an error" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_sorted_and_a_second_run_leaves_them(url, prompts, tmp_path, kind):
    output = tmp_path / f"results.{kind}"
    arguments = ["batch", str(prompts), "--url", url, "-o", str(output), "--param", "max_tokens=3"]
    for _ in range(2):
        assert main(arguments) == 0
        rows = read_table(output)
        assert [int(row["row"]) for row in rows] == list(range(ROWS))
        assert rows[7]["id"] == "q7"
        assert rows[7]["output"].startswith(" the and")
        assert rows[7]["error"] in ("", None)
        assert json.loads(rows[7]["response"])["body"]["choices"][0]["finish_reason"] == "length"


def read_table(path: Path) -> list[dict]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    from pyarrow.parquet import read_table

    return read_table(path).to_pylist()


def test_a_row_that_fails_is_an_error_in_the_file_and_in_the_status(url, tmp_path, capsys):
    source, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("id,text\na,Hello\nb," + 40_000 * "x" + "\n")
    arguments = ["batch", str(source), "--url", url, "-o", str(output), "--prompt-column", "text"]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "2 rows, 1 with an error" in out
    assert "  1 x 400 Bad Request: " in out
    failed = next(row for row in results(output) if row["id"] == "b")
    assert "maximum context length is 8192" in failed["error"]
    assert main(arguments) == 1  # and it is not sent again, unless
    assert main([*arguments, "--retry-errors"]) == 1
    assert sorted(row["id"] for row in results(output)) == ["a", "b"]


def test_a_body_of_openais_batches_goes_out_as_it_is(url, tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    body = {"model": "m", "prompt": [1, 2, 3], "max_tokens": 4, "ignore_eos": True}
    source.write_text(
        json.dumps({"custom_id": "c-1", "method": "POST", "url": "/v1/completions", "body": body})
    )
    assert main(["batch", str(source), "--url", url, "-o", str(output)]) == 0
    (row,) = results(output)
    assert (row["id"], row["prompt_tokens"], row["completion_tokens"]) == ("c-1", 3, 4)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--url", "http://x"), 2, "Missing option '-o'"),
        (("--url", "http://x", "-o", "out.jsonl", "--param", "max_tokens"), 2, "write NAME=VALUE"),
        (("--url", "http://x", "-o", "out.jsonl", "--param", "stream=true"), 2, "keeps whole answers"),
        (("--url", "http://x", "-o", "out.jsonl", "--linger", "5"), 2, "--linger needs --metrics-port"),
        (("--url", "http://x", "-o", "out.jsonl.gz"), 1, "end it in .jsonl"),
        (("--url", "http://x", "-o", "prompts.jsonl"), 2, "is also read"),
        (("--url", "http://x", "-o", "/no/such/folder/x.jsonl"), 1, "does not exist; make it first"),
        (
            ("--url", "http://127.0.0.1:9", "-o", "out.jsonl", "--patience", "0"),
            1,
            "cannot reach http://127.0.0.1:9: ",
        ),
        (
            ("--url", "http://127.0.0.1:9", "-o", "out.jsonl", "--prompt-column", "text"),
            1,
            "prompts.jsonl:1: text:",
        ),
        (("--url", "no url", "-o", "out.jsonl"), 1, "is not a URL"),
    ],
)
def test_what_is_wrong_is_said(prompts, tmp_path, monkeypatch, capsys, arguments, status, says):
    monkeypatch.chdir(tmp_path)
    before = prompts.read_bytes()
    assert main(["batch", str(prompts), *arguments]) == status
    assert says in " ".join(capsys.readouterr().err.split())
    assert (list(tmp_path.iterdir()), prompts.read_bytes()) == ([prompts], before), "nothing is left behind"


@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
def test_a_table_of_prompts_is_not_written_over(tmp_path, capsys, name):
    source = tmp_path / name
    source.write_text("prompt\nHello\n")
    assert main(["batch", str(source), "--url", "http://127.0.0.1:9", "-o", str(source)]) == 2
    assert "is also read" in " ".join(capsys.readouterr().err.split())
    assert source.read_text() == "prompt\nHello\n"


def test_a_compressed_table_is_said_to_be_one(tmp_path, capsys):
    source = tmp_path / "in.csv.gz"
    source.write_bytes(b"")
    assert main(["batch", str(source), "--url", "http://x", "-o", str(tmp_path / "o.jsonl")]) == 1
    assert "only JSON lines may be, by gzip: decompress it" in capsys.readouterr().err


@pytest.mark.slow
def test_while_the_servers_are_at_0_the_queue_is_told_and_afterwards_that_it_is_empty(url, prompts, tmp_path):
    """The policy needs it before the first server is there, and after the last row is done."""
    output = tmp_path / "results.jsonl"
    waits = command(prompts, "--url", "http://127.0.0.1:9", "-o", output, "--metrics-port", "0")
    with subprocess.Popen(waits, stderr=subprocess.PIPE, text=True) as process:
        assert told(port_of(process)) == ROWS
        process.send_signal(signal.SIGKILL)
    table = tmp_path / "results.csv"
    ends = command(prompts, "--url", url, "-o", table, "--metrics-port", "0", "--linger", "3600")
    with subprocess.Popen([*ends, "--param", "max_tokens=1"], stderr=subprocess.PIPE, text=True) as process:
        port = port_of(process)
        while not table.exists():
            assert process.poll() is None
        assert told(port) == 0
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0  # nothing was left to interrupt


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    return int(process.stderr.readline().removeprefix("Metrics on port "))


def told(port: int) -> float:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    names = tuple(f"{name}{{" for name in GATEWAY_QUEUE)
    (said,) = {float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names)}
    return said


def test_another_parameter_is_another_batch(url, prompts, tmp_path, capsys):
    arguments = ["batch", str(prompts), "--url", url, "-o", str(tmp_path / "results.jsonl")]
    assert main([*arguments, "--param", "max_tokens=1"]) == 0
    assert main([*arguments, "--param", "max_tokens=2"]) == 1
    assert "row 0 was asked something else (text, model or parameters)" in capsys.readouterr().err
