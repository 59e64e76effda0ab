"""`autoscale simulate`: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from autoscaler.cli.main import cli, main
from autoscaler.documents.library import library_path
from autoscaler.errors import InputError

SHORT = ("--span", "120")

POLICY = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: ScalingPolicy
metadata:
  name: {name}
spec:
  scaleTargetRef: {{ kind: Deployment, name: vllm }}
  minReplicas: 1
  maxReplicas: 4
  metrics:
    - {metric}
"""
RUNNING = "{ signal: running+waiting, target: { type: PodsAverage, averageValue: 8 } }"
QUERY = '{ name: load, query: "sum(my_load)", target: { type: AverageValue, averageValue: 8 } }'


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["simulate", *map(str, arguments)])


def write_policy(folder: Path, name: str = "mine", metric: str = RUNNING) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(POLICY.format(name=name, metric=metric))
    return file


def read_csv(file: Path) -> list[dict[str, str]]:
    text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()
    return list(csv.DictReader(text.splitlines()))


def problems(result: Result) -> list[str]:
    assert isinstance(result.exception, InputError)
    return [str(problem) for problem in result.exception.problems]


def test_the_bare_command_replays_under_the_chat_policy_and_prints_every_default():
    result = run("azure-conv", *SHORT)
    assert result.exit_code == 0
    for default in (
        "policy=chat",
        "profile=gemma2-9b-h100",
        "startup=warm-node",
        "routing=least-loaded",
        "slo=ttft=2s,tpot=0.1s",
        "scrape-interval=15",
        "metrics-lag=5",
        "rate-scale=1",
        "seed=0",
        "bad-rows=stop",
        "initial-replicas=auto",
        "goal=99%",
        "baseline=on",
        "timeline-interval=every sync",
        "clock-start=2024-01-01T00:00:00+00:00",
        "startup-spread=on",
    ):
        assert default in " ".join(result.stderr.split()), default
    assert "SLO attainment" in result.stdout


def test_json_of_one_run_is_an_object_whose_requests_add_up(tmp_path):
    file = tmp_path / "out.json"
    assert run("azure-conv", *SHORT, "--json", file).exit_code == 0
    summary = json.loads(file.read_text())
    assert summary["requests"] == summary["completed"] + summary["rejected"] + summary["unfinished"] > 100
    assert summary["inputs"]["seed"] == 0
    assert set(summary["ttft_s"]) == {"mean", "p50", "p90", "p95", "p99"}


def test_several_policies_and_fixed_replicas_are_compared_in_one_run(tmp_path):
    file = tmp_path / "out.json"
    mine = write_policy(tmp_path)
    result = run("azure-conv", *SHORT, "--policy", mine, "--policy", "chat", "--replicas", 2, "--json", file)
    assert result.exit_code == 0
    assert [one["label"] for one in json.loads(file.read_text())["runs"]] == ["mine", "chat", "2 replicas"]
    assert "2 replicas" in result.stdout


def test_the_same_policy_twice_gets_a_number(tmp_path):
    file = tmp_path / "out.json"
    mine = write_policy(tmp_path)
    run("azure-conv", *SHORT, "--policy", mine, "--policy", mine, "--json", file)
    assert [one["label"] for one in json.loads(file.read_text())["runs"]] == ["mine", "mine (2)"]


def test_two_policies_of_one_name_are_told_apart_by_their_files(tmp_path):
    file = tmp_path / "out.json"
    one, other = write_policy(tmp_path), tmp_path / "other.yaml"
    other.write_text(one.read_text())
    run("azure-conv", *SHORT, "--policy", one, "--policy", other, "--json", file)
    labels = [run["label"] for run in json.loads(file.read_text())["runs"]]
    assert labels == [f"mine ({one.name})", "mine (other.yaml)"]


def test_a_file_has_the_name_of_its_run_where_that_can_be_one(tmp_path):
    first, second = write_policy(tmp_path), tmp_path / "second.yaml"
    second.write_text(first.read_text().replace("name: mine", "name: mine-2"))
    policies = ("--policy", first, "--policy", first, "--policy", second)
    run("azure-conv", *SHORT, *policies, "--timeline", tmp_path / "out.csv")
    written = {file.name for file in tmp_path.glob("out.*")}
    assert written == {"out.mine.csv", "out.mine-2.2.csv", "out.mine-2.csv"}


@pytest.mark.parametrize("mode", ["DryRun", "Paused"])
def test_check_says_that_a_policy_which_writes_nothing_is_not_what_it_judges(tmp_path, mode):
    mine = write_policy(tmp_path)
    quiet = run("azure-conv", *SHORT, "--policy", mine, "--check", "--baseline", "off")
    assert "--check" not in quiet.stderr
    mine.write_text(mine.read_text() + f"  mode: {mode}\n")
    result = run("azure-conv", *SHORT, "--policy", mine, "--check", "--baseline", "off")
    warned = " ".join(result.stderr.split())
    assert f"--check: mine has mode: {mode}, so none of its decisions is carried out" in warned


def test_same_inputs_give_the_same_bytes(tmp_path):
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        run("azure-conv", *SHORT, "--routing", "random", "--seed", 5, "--json", file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_every_output_file_of_a_policy_run(tmp_path):
    names = (
        ("--html", "r.html"),
        ("--requests", "q.csv.gz"),
        ("--timeline", "t.csv"),
        ("--decisions", "d.jsonl"),
    )
    arguments = [part for option, name in names for part in (option, tmp_path / name)]
    assert run("azure-conv", *SHORT, *arguments).exit_code == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    requests, timeline = read_csv(tmp_path / "q.csv.gz"), read_csv(tmp_path / "t.csv")
    assert ",".join(requests[0]) == (
        "arrival_s,prompt_tokens,output_tokens,queue_s,ttft_s,tpot_s,e2e_s,preemptions,replica"
    )
    assert len(requests) > 100
    assert ",".join(timeline[0]) == "time_s,demand_rps,desired,ordered,ready,running,waiting,kv_usage"
    assert float(timeline[1]["time_s"]) == 15.0, "a point at every sync"
    decisions = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert decisions[0]["decision"]["steps"]


def test_the_timeline_of_fixed_replicas_has_a_point_every_second_unless_told_otherwise(tmp_path):
    for arguments, expected in (((), 1.0), (("--timeline-interval", "7.5"), 7.5)):
        file = tmp_path / "t.csv"
        run("azure-conv", *SHORT, "--replicas", 1, "--timeline", file, *arguments)
        times = [float(row["time_s"]) for row in read_csv(file)]
        assert times[:3] == [0.0, expected, 2 * expected]


def test_several_runs_write_one_file_each(tmp_path):
    run("azure-conv", *SHORT, "--policy", "chat", "--replicas", 2, "--requests", tmp_path / "q.csv.gz")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["q.2-replicas.csv.gz", "q.chat.csv.gz"]


def test_json_on_standard_output_is_nothing_but_json():
    result = run("azure-conv", *SHORT, "--json", "-")
    assert json.loads(result.stdout)["requests"] > 100
    assert "SLO attainment" in result.stderr


def test_a_free_query_without_its_series_is_refused_by_line_and_field(tmp_path):
    file = write_policy(tmp_path, metric=QUERY)
    assert problems(run("azure-conv", *SHORT, "--policy", file)) == [
        f"{file}:10: spec.metrics[0].query: a query cannot be simulated: "
        "give its recorded values with --series load=FILE"
    ]


def test_a_free_query_with_its_series_runs(tmp_path):
    file = write_policy(tmp_path, metric=QUERY)
    series = tmp_path / "load.csv"
    series.write_text("timestamp_s,value\n" + "".join(f"{second},{20}\n" for second in range(0, 200, 5)))
    out = tmp_path / "out.json"
    assert (
        run("azure-conv", *SHORT, "--policy", file, "--series", f"load={series}", "--json", out).exit_code
        == 0
    )
    assert json.loads(out.read_text())["replicas"]["max"] == 3


def test_two_queries_of_one_text_have_each_its_own_series(tmp_path):
    twin = QUERY.replace("load,", "twin,")
    file = write_policy(tmp_path, metric=f"{QUERY}\n    - {twin}")
    given, out = [], tmp_path / "out.json"
    for name, value in (("load", 20), ("twin", 4)):
        series = tmp_path / f"{name}.csv"
        series.write_text(f"timestamp_s,value\n0,{value}\n200,{value}\n")
        given += ["--series", f"{name}={series}"]
    assert run("azure-conv", *SHORT, "--policy", file, *given, "--json", out).exit_code == 0
    assert json.loads(out.read_text())["replicas"]["max"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slo", "ttft=2s"], "write both"),
        (["--slo", "ttft=2s,tpot=fast"], "is not an SLO"),
        (["--slo", "ttft=0s,tpot=1s"], "is not an SLO"),
        (["--replicas", "-1"], "not in the range"),
        (["--rate-scale", "0"], "not in the range"),
        (["--span", "0"], "not in the range"),
        (["--span", "nan"], "is not a finite number"),
        (["--start", "inf"], "is not a finite number"),
        (["--rate-scale", "nan"], "is not a finite number"),
        (["--metrics-lag", "nan"], "is not a finite number"),
        (["--scrape-interval", "nan"], "is not a finite number"),
        (["--routing", "best"], "is not one of"),
        (["--clock-start", "noon"], "is not a time"),
        (["--clock-start", "2024-01-01T00:00:00"], "has no time zone"),
        (["--series", "x"], "write NAME=FILE"),
        (["--nonsense"], "No such option"),
        (["--json", "x", "--html", "x"], "two outputs have the same name"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_what_would_be_right(arguments, message):
    result = run("azure-conv", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such.csv"], "no such file, and no bundled trace"),
        (["azure-conv", "--profile", "b300"], "no profile of this name"),
        (["azure-conv", "--startup", "slow"], "'slow' is not known"),
        (
            ["azure-conv", "--policy", "no-such.yaml"],
            "no such file, and no policy of this name in the library (there are: ",
        ),
        (["azure-conv", "--policy", "nope"], "batch, batch-size, chat,"),
        (["azure-conv", "--start", "90000"], "has no request"),
        (["azure-conv", "--json", "no-such-folder/out.json"], "does not exist; make it first"),
    ],
)
def test_a_wrong_file_is_named(arguments, message):
    assert message in problems(run(*arguments))[0]


def test_a_failing_run_leaves_no_output_behind(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,10,10\n1,ten,10\n")
    result = run(trace, "--json", tmp_path / "out.json", "--requests", tmp_path / "q.csv")
    assert f"{trace}:3: prompt_tokens" in problems(result)[0]
    assert list(tmp_path.iterdir()) == [trace]


def test_skipped_rows_are_counted(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,10,10\n1,ten,10\n2,10,10\n")
    out = tmp_path / "out.json"
    result = run(trace, "--bad-rows", "skip", "--json", out)
    assert "bad rows skipped: 1" in result.stderr
    assert json.loads(out.read_text())["requests"] == 2
    assert json.loads(out.read_text())["inputs"]["skipped_rows"] == 1


def test_a_folder_of_the_same_name_does_not_hide_the_bundled_policy_and_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat").mkdir()
    (tmp_path / "azure-conv").mkdir()
    assert run("azure-conv", *SHORT).exit_code == 0
    assert run("azure-conv", *SHORT, "--policy", "chat").exit_code == 0


def test_a_run_whose_requests_can_never_be_served_reports_them_as_unfinished(tmp_path):
    out = tmp_path / "out.json"
    assert run("azure-conv", *SHORT, "--replicas", 0, "--json", out).exit_code == 0
    summary = json.loads(out.read_text())
    assert summary["unfinished"] == summary["requests"]
    assert summary["slo_attainment"] == 0


BURST = ("--rate-scale", "6", "--start", "600", "--span", "1200")


def test_a_start_is_printed_with_the_components_that_go_without_saying():
    result = run("azure-conv", "--span", "30", "--startup", "pd-ssd+standard-node")
    printed = " ".join(result.stderr.split())
    parts = "standard-node+image-streaming+pd-ssd+safetensors+slow-imports+first-start"
    assert f"Start-up of 480 s in the median: {parts}" in printed
    assert "Start-up of 30 s\n" in run("azure-conv", "--span", "30", "--startup", "30").stderr
    assert "Start-up" not in run("azure-conv", "--span", "30", "--replicas", "1").stderr


def test_nodes_limit_the_replicas_and_the_starts_say_where_the_time_went(tmp_path):
    out = tmp_path / "out.json"
    cold = ("--nodes", "2", "--startup-spread", "off", "--initial-replicas", "min")
    result = run("azure-conv", *BURST, *cold, "--json", out)
    assert result.exit_code == 0
    run_ = json.loads(out.read_text())
    assert run_["replicas"]["max"] == 2
    assert run_["starts"]["count"] == 1
    assert (run_["starts"]["node_s"], run_["starts"]["engine_s"]) == (0.0, 92.0)
    assert run_["inputs"]["nodes"] == {"most": 2, "warm": 0, "idle_s": 600.0}
    assert run_["cost_usd"] == pytest.approx(run_["gpu_hours"] * 10.9791, rel=1e-4)


def test_starts_depend_on_the_seed(tmp_path):
    starts = []
    for seed in ("1", "2", "2"):
        out = tmp_path / f"{len(starts)}.json"
        run("azure-conv", *BURST, "--seed", seed, "--json", out)
        starts.append(json.loads(out.read_text())["starts"])
    assert starts[0] != starts[1]
    assert starts[1] == starts[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--warm-nodes", "1"], "--warm-nodes needs --nodes"),
        (["--node-idle", "1"], "--node-idle needs --nodes"),
        (
            ["--nodes", "1", "--warm-nodes", "2"],
            "chat needs more than 1 (replicas ready at 0: 1, warm nodes: 2)",
        ),
        (["--nodes", "2", "--replicas", "3"], "3 replicas needs more than 2"),
        (["--nodes", "2", "--initial-replicas", "2", "--warm-nodes", "1"], "needs more than 2"),
    ],
)
def test_nodes_that_contradict_each_other_are_refused(arguments, message):
    result = run("azure-conv", "--span", "10", *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_defaults_of_policies_are_told_where_a_policy_runs():
    fixed = run("azure-conv", *SHORT, "--replicas", "1").stderr
    both = run("azure-conv", *SHORT, "--replicas", "1", "--policy", "chat").stderr
    for option in ("startup=", "scrape-interval=", "metrics-lag=", "clock-start=", "initial-replicas="):
        assert option not in fixed
        assert option in both


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slo", "ttft=2s,ttft=1s,tpot=1s"], "names ttft twice"),
        (["--replicas", "2", "--initial-replicas", "1"], "--initial-replicas is for policies"),
        (["--replicas", "2", "--decisions", "d.jsonl"], "--decisions is for policies"),
        (["--replicas", "2", "--startup", "eager"], "--startup is for policies: fixed replicas are ready"),
        (["--replicas", "2", "--startup-spread", "off"], "--startup-spread is for policies"),
        (["--replicas", "2", "--scrape-interval", "5"], "--scrape-interval is for policies: for fixed"),
        (["--replicas", "2", "--metrics-lag", "9"], "--metrics-lag is for policies"),
        (["--replicas", "2", "--clock-start", "2025-01-01T00:00:00Z"], "--clock-start is for policies"),
        (["--series", "a=x.csv", "--series", "a=y.csv"], "'a' comes twice"),
        (["--series", "load=x.csv"], "no policy has a metric 'load' with a query (there is none)"),
        (["--replicas", "1", "--series", "load=x.csv"], "no policy has a metric 'load'"),
        (["--replicas", "1", "--replicas", "2", "--requests", "-"], "--requests writes one file a run"),
        (["--replicas", "1", "--replicas", "2", "--timeline", "/dev/null"], "cannot hold 2"),
        (["--replicas", "1", "--replicas", "2", "--requests", "q", "--json", "q.1-replica"], "the same name"),
    ],
)
def test_what_would_have_no_effect_or_overwrite_itself_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("azure-conv", *SHORT, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--json", "--requests", "--timeline", "--decisions", "--html"])
@pytest.mark.parametrize("name", ["trace.csv", "link.csv", "policy.yaml"])
def test_what_is_read_is_not_written_over(option, name, tmp_path):
    trace, policy = tmp_path / "trace.csv", tmp_path / "policy.yaml"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,10,10\n")
    policy.write_text(library_path("chat").read_text(encoding="utf-8"))
    (tmp_path / "link.csv").symlink_to(trace)
    before = trace.read_text(), policy.read_text()
    result = run(trace, "--policy", policy, option, tmp_path / name)
    assert result.exit_code == 2
    assert "is also read: give the result a name of its own" in " ".join(result.stderr.split())
    assert (trace.read_text(), policy.read_text()) == before


def test_a_trace_of_months_is_asked_for_its_unit(tmp_path):
    trace = tmp_path / "milliseconds.csv"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,10,10\n3600000,10,10\n")
    result = run(trace, "--replicas", 1)
    assert result.exit_code == 0
    assert "its requests span 42 days: are its times in seconds?" in result.stderr


def test_initial_replicas_beside_fixed_ones_are_the_policys():
    assert (
        run("azure-conv", *SHORT, "--policy", "chat", "--replicas", 1, "--initial-replicas", 2).exit_code == 0
    )


def test_labels_that_differ_only_in_punctuation_get_a_file_each(tmp_path):
    policies = [write_policy(tmp_path, name) for name in ("a-b", "a.b")]
    out = tmp_path / "out"
    out.mkdir()
    arguments = [part for file in policies for part in ("--policy", file)]
    assert run("azure-conv", *SHORT, *arguments, "--timeline", out / "t.csv").exit_code == 0
    assert sorted(file.name for file in out.iterdir()) == ["t.a-b.2.csv", "t.a-b.csv"]


def test_a_pipe_is_read_once_and_refused_for_several_runs(tmp_path):
    pipe = tmp_path / "trace"
    os.mkfifo(pipe)
    message = f"{pipe}: is a pipe, which can be read once, and there are 2 runs: name a file"
    assert problems(run(pipe, "--replicas", 1, "--replicas", 2)) == [message]
    text = "timestamp_s,prompt_tokens,output_tokens\n0,10,10\n"
    writer = Thread(target=pipe.write_text, args=(text,))
    writer.start()
    assert "met by 100% of 1 request\n" in run(pipe, "--replicas", 1).stdout
    writer.join()


@pytest.mark.parametrize("option", ["--json", "--html", "--requests"])
def test_a_full_disk_is_one_line_with_the_files_name(option):
    [problem] = problems(run("azure-conv", "--span", "10", "--replicas", 1, option, "/dev/full"))
    assert problem == f"/dev/full: {option}: cannot be written: No space left on device"


def test_the_decisions_of_a_dry_run_are_told_as_what_they_would_have_done(tmp_path):
    file = write_policy(tmp_path)
    file.write_text(file.read_text() + "  mode: DryRun\n")
    text = run("azure-conv", *BURST, "--policy", file).stdout
    assert "none written; would have scaled up" in text
    assert ", scaled up" not in text


def test_a_run_that_rejects_its_requests_says_which_limit_it_was(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,9000,10\n1,9000,10\n2,10,10\n")
    out = tmp_path / "out.json"
    result = run(trace, "--replicas", 1, "--json", out)
    said = " ".join(result.stdout.split())
    assert (
        "Rejected: 2 with more tokens than max_model_len_tokens (8,192), prompt and output together" in said
    )
    assert json.loads(out.read_text())["rejected_by"] == [
        {"name": "max_model_len_tokens", "tokens": 8192, "requests": 2}
    ]


@pytest.mark.parametrize("scaling", [("--replicas", "1"), ("--policy", "chat")])
def test_the_results_do_not_depend_on_which_files_are_asked_for(tmp_path, scaling):
    alone, among = tmp_path / "alone.json", tmp_path / "among.json"
    others = (
        "--html",
        tmp_path / "r.html",
        "--timeline",
        tmp_path / "t.csv",
        "--requests",
        tmp_path / "q.csv",
    )
    run("azure-conv", *SHORT, *scaling, "--json", alone)
    run("azure-conv", *SHORT, *scaling, "--json", among, *others)
    assert alone.read_text() == among.read_text()
    interval = json.loads(alone.read_text())["inputs"]["timeline_interval_s"]
    assert interval == (1.0 if scaling[0] == "--replicas" else 15.0)


# -- prefix caching ---------------------------------------------------------------------------

CHATS = """\
timestamp_s,prompt_tokens,output_tokens,hash_ids
0,1024,2,1 2
5,1600,2,1 2 3 4
10,1600,2,1 2 3 4
"""
CACHING = ("--profile", "llama3-8b-h100", "--replicas", "1", "--prefix-caching", "on")


def test_what_the_prefix_cache_found_is_in_the_results(tmp_path):
    trace, out = tmp_path / "chats.csv", tmp_path / "out.json"
    trace.write_text(CHATS)
    result = run(trace, *CACHING, "--json", out)
    assert result.exit_code == 0
    summary = json.loads(out.read_text())
    # 1,600 tokens are exactly 100 blocks, of which the last one is computed again.
    found = 1024 + 1600 - 16
    assert (summary["prefix_queried_tokens"], summary["prefix_hit_tokens"]) == (1024 + 2 * 1600, found)
    assert f"Prefix cache: {found / 4224:.2%} of 4,224 prompt tokens were found in it" in result.stdout


def test_without_prefix_caching_the_hashes_are_not_read(tmp_path):
    trace, out = tmp_path / "chats.csv", tmp_path / "out.json"
    trace.write_text(CHATS.replace("1 2 3 4", "nonsense"))
    result = run(trace, *CACHING[:-1], "off", "--json", out)
    assert result.exit_code == 0
    assert json.loads(out.read_text())["prefix_hit_tokens"] == 0
    assert "Prefix cache" not in result.stdout


def test_prefix_caching_needs_hashes():
    assert problems(run("azure-conv", *CACHING))[0].endswith(
        "azure_llm_2023_conv.csv.gz:1: hash_ids: is missing; the prefix cache finds prompts by it"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hash-block-tokens", "64"), "--hash-block-tokens needs --prefix-caching on"),
        (("--prefix-caching", "on"), "not modelled for models with a sliding window: gemma2-9b-h100 is one"),
    ],
)
def test_prefix_caching_that_cannot_be_is_refused(arguments, message):
    result = run("azure-conv", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


# -- the goal ------------------------------------------------------------------------------------

STARVED = ("azure-conv", "--span", "300", "--rate-scale", "8", "--replicas", "1")


def test_the_summary_opens_with_who_holds_the_goal_and_what_is_cheapest():
    result = run("azure-conv", *SHORT, "--replicas", 1, "--replicas", 3)
    opening = " ".join(result.stdout.split("\n\n")[0].split())
    assert opening.startswith("1 replica holds 99%: ")
    assert "The fewest fixed replicas that hold: 1, for $" in opening
    assert "Cheapest that holds: 1 replica" in opening


def test_check_ends_with_3_where_a_run_misses_the_goal(capsys):
    starved = ["simulate", *STARVED, "--baseline", "off"]
    assert main(starved) == 0
    assert main([*starved, "--check"]) == 3
    assert "--check: 99% is missed by 1 replica" in capsys.readouterr().err
    fine = ["simulate", "azure-conv", *SHORT, "--replicas", "3", "--baseline", "off", "--check"]
    assert main(fine) == 0


def test_the_baseline_can_be_left_out(tmp_path):
    out = tmp_path / "out.json"
    run(*STARVED, "--baseline", "off", "--json", out)
    verdict = json.loads(out.read_text())["verdict"]
    assert (verdict["baseline_sought"], verdict["cheapest_fixed"]) == (False, None)
    assert not verdict["holds"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [("100%", "out of range"), ("0", "out of range"), ("99", "has no unit"), ("many", "is not a share")],
)
def test_a_goal_that_cannot_be_is_refused(given, problem):
    result = run("azure-conv", *SHORT, "--goal", given)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_runs_begin_with_the_replicas_that_hold_the_first_minutes(tmp_path):
    out = tmp_path / "out.json"
    for given, expected in ((("--initial-replicas", "min"), 1), (("--initial-replicas", 3), 3)):
        run("azure-conv", *BURST, *given, "--baseline", "off", "--json", out)
        assert json.loads(out.read_text())["inputs"]["initial_replicas"] in (expected, None)
    result = run("azure-conv", *BURST, "--baseline", "off", "--json", out)
    begun = json.loads(out.read_text())["inputs"]["initial_replicas"]
    assert begun > 1
    assert f"Runs begin with {begun} ready" in result.stderr


def write_trace(folder: Path, *rows: str) -> Path:
    trace = folder / "trace.csv"
    trace.write_text("\n".join(("timestamp_s,prompt_tokens,output_tokens", *rows)) + "\n")
    return trace


BUSY = [f"{index / 4},2000,300" for index in range(240)]
TIGHT = ("--slo", "ttft=500ms,tpot=15ms", "--baseline", "off")
CROWD = ("--profile", "llama3.1-8b-l4", "--slo", "ttft=700ms,tpot=70ms", "--routing", "random")


@pytest.mark.parametrize(
    ("rows", "options", "why"),
    [
        (["0,9000,10", *BUSY], (*TIGHT, "--goal", "99.9%"), "is the fewest that reach 99.9% for"),
        (["0,9000,10", *BUSY], (*TIGHT, "--goal", "99.9%", "--count", "all"), "is the fewest that reach"),
        (["1.0,2000,200"] * 60, (*CROWD, "--goal", "99.9%"), "no number reaches 99.9% for ten minutes, and"),
    ],
    ids=["unavoidable misses", "that count", "no number reaches it"],
)
def test_runs_begin_with_what_replicas_can_do_in_the_first_minutes(tmp_path, rows, options, why):
    out = tmp_path / "out.json"
    result = run(write_trace(tmp_path, *rows), *options, "--baseline", "off", "--json", out)
    said = " ".join(result.stderr.split())
    assert why in said
    assert json.loads(out.read_text())["inputs"]["initial_replicas"] > 1, said


def test_runs_begin_with_min_replicas_where_no_request_can_meet_the_slo(tmp_path):
    result = run(write_trace(tmp_path, "0,9000000,10"), "--baseline", "off")
    assert "the first ten minutes have no request that can meet the SLO" in " ".join(result.stderr.split())


def test_the_bound_gives_each_run_its_regret(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out = tmp_path / "out.json"
    run("azure-conv", *SHORT, "--replicas", 2, "--baseline", "off", "--bound", "on", "--json", out)
    verdict = json.loads(out.read_text())["verdict"]
    assert verdict["regret"] == pytest.approx(2.0, rel=0.1), "one replica is enough"
    assert len(list((tmp_path / "vllm-autoscaler" / "bounds").iterdir())) == 1


def test_a_run_that_is_billed_as_the_bound_has_a_regret_of_1(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trace, out = tmp_path / "one.csv", tmp_path / "out.json"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,100,10\n")
    for _ in ("computed", "from the cache"):
        run(trace, "--replicas", 1, "--bound", "on", "--json", out)
        assert json.loads(out.read_text())["verdict"]["regret"] == 1.0


def test_without_a_request_that_can_meet_the_slo_there_is_no_regret(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trace, out = tmp_path / "long.csv", tmp_path / "out.json"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,9000000,10\n1,9000000,10\n")
    result = run(trace, "--replicas", 1, "--bound", "on", "--json", out)
    verdict = json.loads(out.read_text())["verdict"]
    assert (verdict["holds"], verdict["bound_replica_hours"], verdict["regret"]) == (False, None, None)
    assert "Regret" not in result.stdout + result.stderr


def test_a_bound_for_all_requests_is_refused_before_anything_runs():
    result = run("azure-conv", *SHORT, "--bound", "on", "--count", "all")
    assert result.exit_code == 2
    assert "--bound is over avoidable requests: it needs --count avoidable" in result.stderr
    assert "Defaults" not in result.stderr


def test_a_pipe_has_no_baseline_and_begins_cold(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    text = "timestamp_s,prompt_tokens,output_tokens\n0.5,10,10\n"
    writer = Thread(target=pipe.write_text, args=(text,))
    writer.start()
    result = run(pipe)
    writer.join()
    assert "A pipe is read once: no baseline is sought, and runs begin with minReplicas" in result.stderr
    assert "fewest fixed replicas" not in result.stdout


def test_check_fails_where_no_request_can_meet_the_slo(capsys):
    arguments = ("simulate", "azure-conv", *SHORT, "--replicas", "1", "--slo", "ttft=1ms,tpot=1ms", "--check")
    assert main([*map(str, arguments)]) == 3
    assert "every request misses even on an idle replica" in " ".join(capsys.readouterr().out.split())


def test_runs_begin_within_what_an_open_schedule_asks_for(tmp_path):
    mine = write_policy(tmp_path)
    schedule = '  schedules: [{ name: day, cron: "0 9 * * *", durationSeconds: 3600, minReplicas: 3 }]\n'
    mine.write_text(mine.read_text() + schedule)
    out = tmp_path / "out.json"
    result = run(
        "azure-conv", *SHORT, "--policy", mine, "--clock-start", "2024-01-01T09:30:00Z", "--json", out
    )
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["inputs"]["initial_replicas"] == 3
    assert "Runs begin with 3 ready" in result.stderr


def test_a_pipe_cannot_be_read_again_for_the_bound(tmp_path):
    pipe = tmp_path / "trace.csv"
    os.mkfifo(pipe)
    result = run(pipe, "--replicas", 1, "--bound", "on")
    assert "--bound reads it again" in problems(result)[0]
