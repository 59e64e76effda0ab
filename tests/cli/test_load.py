"""``autoscale load`` against an emulated vLLM: figures, files, and what goes wrong."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoscaler.cli.commands.load_report import COLUMNS
from autoscaler.cli.main import main
from simulator.calibration.recording import read_recording
from simulator.vllm.profile import load_profile, profile_yaml
from tests.cli.emulated import emulate

TRACE = "timestamp_s,prompt_tokens,output_tokens\n0.0,50,20\n0.1,100,10\n0.2,10,1\n0.3,7000,2000\n50,10,10\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with emulate("--port", "0", "--speed", "20") as (_, urls):
        yield urls["vllm-0"]


@pytest.fixture
def trace(tmp_path) -> str:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return str(path)


def test_it_measures_and_reports(url, trace, tmp_path, capsys):
    """The fourth request is longer than the context, so the status says that one failed."""
    rows, figures = tmp_path / "rows.csv", tmp_path / "figures.json"
    files = ("--requests", str(rows), "--json", str(figures))
    assert main(["load", trace, "--url", url, "--span", "10", "--rate-scale", "2", *files]) == 1
    out = capsys.readouterr().out
    assert "4 requests in" in out
    assert "3 completed, 1 failed (1 rejected), 0 unfinished; 31 output tokens" in out
    assert "1 x 400 Bad Request: This model's maximum context length is 8192" in out
    summary = json.loads(figures.read_text())
    assert (summary["requests"], summary["completed"], summary["slo_attainment"]) == (4, 3, 0.75)
    assert summary["failures"] == {"rejected": 1}
    assert summary["inputs"]["rate_scale"] == 2.0
    assert 0 < summary["ttft_s"]["p50"] <= summary["e2e_s"]["p50"]
    with rows.open() as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == COLUMNS
    assert [float(row["arrival_s"]) for row in table] == [0.0, 0.05, 0.1, 0.15]
    assert [row["completion_tokens"] for row in table] == ["20", "10", "1", ""]
    assert [bool(row["error"]) for row in table] == [False, False, False, True]


def test_refused_requests_are_counted_apart(tmp_path, capsys):
    """24 at once for a server that takes 6."""
    profile, trace, figures = (tmp_path / name for name in ("capped.yaml", "trace.csv", "figures.json"))
    h100 = load_profile("gemma2-9b-h100")
    scheduler = dataclasses.replace(h100.scheduler, max_num_queued_reqs=6)
    profile.write_text(profile_yaml(dataclasses.replace(h100, scheduler=scheduler)))
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n" + "0.0,10,600\n" * 24)
    with emulate("--port", "0", "--speed", "5", "--profile", str(profile)) as (_, urls):
        assert main(["load", str(trace), "--url", urls["vllm-0"], "--json", str(figures)]) == 1
    out = capsys.readouterr().out
    assert "6 completed, 18 failed (18 refused), 0 unfinished" in out
    assert "18 x 503 Service Unavailable: The server has 6 requests in flight" in out
    assert json.loads(figures.read_text())["failures"] == {"refused": 18}


def test_its_files_are_a_recording_for_calibrate(url, tmp_path):
    trace, rows, scrapes = (tmp_path / name for name in ("trace.csv", "rows.csv.gz", "scrapes.csv.gz"))
    trace.write_text(TRACE.replace("50,10,10", "1.2,5,5"))
    main(["load", str(trace), "--url", url, "--requests", str(rows), "--metrics", str(scrapes)])
    recording = read_recording(rows, scrapes)
    assert [round(gauges.time_s) for gauges in recording.gauges] == [1]
    assert [(request.prompt_tokens, request.output_tokens) for request in recording.requests] == [
        (50, 20),
        (100, 10),
        (10, 1),
        (5, 5),
    ]


def test_scrapes_of_a_server_without_metrics_are_refused_before_the_load(trace, capsys, tmp_path):
    with emulate("--port", "0") as (_, urls):
        arguments = ["load", trace, "--url", urls["vllm-0"] + "/no-such", "--model", "m"]
        assert main([*arguments, "--metrics", str(tmp_path / "scrapes.csv")]) == 1
    assert "404" in capsys.readouterr().err
    assert not list(tmp_path.glob("scrapes*"))


def test_chats_and_figures_on_standard_output(url, trace, capsys):
    assert main(["load", trace, "--url", url, "--span", "0.25", "--endpoint", "chat", "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["completed"] == 3
    assert "3 completed" in captured.err


def test_an_slo_that_nobody_meets(url, trace, capsys):
    main(["load", trace, "--url", url, "--span", "0.05", "--slo", "ttft=1ms,tpot=1ms"])
    assert "SLO (TTFT 1 ms, TPOT 1 ms): met by 0%" in capsys.readouterr().out


def test_ctrl_c_reports_what_there_is(url, trace, tmp_path):
    """The last request is due after 50 s; nobody waits for it."""
    rows = tmp_path / "rows.csv"
    command = [sys.executable, "-m", "autoscaler", "load", trace, "--url", url, "--requests", str(rows)]
    emulated = "http_requests_total"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    before = scraped(url, emulated)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        while scraped(url, emulated) < before + 5:  # the list of models, and four requests
            pass
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "4 requests in" in out
    assert len(rows.read_text().splitlines()) == 5


def scraped(url: str, name: str) -> float:
    from urllib.request import urlopen

    with urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("azure-conv",), 2, "Missing option '--url'"),
        (("no-such.csv", "--url", "http://127.0.0.1:9"), 1, "no-such.csv: no such file"),
        (("azure-conv", "--url", "http://127.0.0.1:9"), 1, "cannot reach http://127.0.0.1:9: "),
        (("azure-conv", "--url", "no url"), 1, "is not a URL; write it like http://localhost:8000"),
        (("azure-conv", "--url", "http://x", "--slo", "ttft=2s"), 2, "names one of two"),
        (
            ("azure-conv", "--url", "http://x", "--slo", "ttft=200ms,tpot=50"),
            2,
            "'tpot=50' has no unit: write ms, s or m, like ttft=2s,tpot=100ms",
        ),
        (("azure-conv", "--url", "http://x", "--json", "/no/such/folder/x"), 1, "does not exist"),
        (("azure-conv", "--url", "http://x", "--json", "x", "--requests", "x"), 2, "have the same name"),
        ((__file__, "--url", "http://x", "--requests", __file__), 2, "is also read"),
    ],
)
def test_what_is_wrong_is_said(capsys, arguments, status, says):
    assert main(["load", *arguments]) == status
    assert says in capsys.readouterr().err


def test_a_bad_row_stops_the_run_and_says_where(url, tmp_path, capsys):
    path: Path = tmp_path / "bad.csv"
    path.write_text("timestamp_s,prompt_tokens,output_tokens\n0.0,5,5\n0.1,five,5\n")
    assert main(["load", str(path), "--url", url]) == 1
    assert "bad.csv:3: prompt_tokens: 'five' is not a whole number" in capsys.readouterr().err
    assert main(["load", str(path), "--url", url, "--bad-rows", "skip"]) == 0
