"""`autoscale calibrate`: finds the step times behind a recording, and says what is wrong with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autoscaler.cli.main import cli
from autoscaler.errors import InputError
from simulator.calibration.fidelity import replay, replay_with_gauges, signal_errors
from simulator.calibration.fit import fit
from simulator.calibration.kv_capacity import measured_blocks, with_blocks
from simulator.calibration.recording import Gauges, MeasuredRequest, Recording, read_recording
from simulator.vllm.profile import Profile, load_profile, profile_yaml

HEADER = "sent_s,prompt_tokens,output_tokens,ttft_s,e2e_s\n"
TRUE = load_profile("llama3-8b-h100")


def wanted() -> list[MeasuredRequest]:
    """Single prompts, then a batch that is large enough for decoding and prefill to meet."""
    alone = [MeasuredRequest(float(second), 64 * 4**second, 1, 1.0, 1.0) for second in range(4)]
    return alone + [
        MeasuredRequest(10.0 + 0.05 * index, 500 + 40 * index, 60, 1.0, 1.0) for index in range(40)
    ]


def record(folder: Path) -> Path:
    """What TRUE would have answered, as a load client writes it."""
    rows = [
        ",".join(repr(value) for value in request)
        for episode in (wanted()[:1], wanted()[1:2], wanted()[2:3], wanted()[3:4], wanted()[4:])
        for request in replay(TRUE, episode)
    ]
    file = folder / "run.requests.csv"
    file.write_text(HEADER + "\n".join(rows) + "\n")
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


def test_a_fit_finds_the_step_times_that_made_a_recording(tmp_path):
    recording = read_recording(record(tmp_path))
    off = {"base_ms": TRUE.step_time.base_ms * 1.5, "per_prefill_token_us": 40.0}
    base = replace(TRUE, step_time=replace(TRUE.step_time, **off))
    found = fit(base, [recording], evaluations=(30, 60, 40))
    assert found.base_ms == pytest.approx(TRUE.step_time.base_ms, rel=0.1)
    assert found.per_prefill_token_us == pytest.approx(TRUE.step_time.per_prefill_token_us, rel=0.1)


def test_the_command_writes_a_profile_that_can_be_used_and_prints_the_errors(tmp_path):
    output = tmp_path / "mine.yaml"
    result = run(record(tmp_path), "--base", "llama3-8b-h100", "--until", "11", "-o", output)
    assert result.exit_code == 0, result.output
    assert "not fitted: error of" in result.output
    assert load_profile(str(output)).name == "mine"
    assert "Step times fitted by simulation to run" in load_profile(str(output)).provenance


def test_the_command_with_scrapes_writes_the_kv_cache_that_they_show(tmp_path):
    requests, metrics = files(tmp_path)
    base, output = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(profile_yaml(cache(200_000)))
    result = run(requests, "--metrics", metrics, "--base", base, "-o", output)
    assert result.exit_code == 0, result.output
    assert "tokens, by the scrapes; llama3-8b-h100 has 200,000" in result.output
    found = load_profile(str(output))
    assert found.memory.kv_cache_tokens == pytest.approx(TRUE.memory.kv_cache_tokens, rel=0.01)
    assert "KV cache from their scrapes, the rest from llama3-8b-h100" in found.provenance


def test_a_profile_survives_its_own_file(tmp_path):
    file = tmp_path / "copy.yaml"
    file.write_text(profile_yaml(TRUE))
    assert load_profile(str(file)) == TRUE


def test_signals_of_the_profile_that_made_them_are_exact():
    requests = tuple(replay(TRUE, wanted()[4:]))
    gauges = (Gauges(5.0, 0.0, 0.0, 0.0),)
    errors = signal_errors(TRUE, Recording("run", requests, gauges))
    assert {name: error.mean_absolute for name, error in errors.items()} == dict.fromkeys(errors, 0.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ": has no request that succeeded; at least one is needed"),
        (HEADER, ": has no request that succeeded; at least one is needed"),
        ("sent_s,prompt_tokens\n0,1\n", ":1: output_tokens: no such column"),
        (HEADER + "0,10,5,0.1\n", ":2: has 4 fields; the header has 5"),
        (HEADER + "0,ten,5,0.1,0.2\n", ":2: prompt_tokens: 'ten' is not a number"),
        (HEADER + "0,10,5,nan,0.2\n", ":2: ttft_s: 'nan' is not a number from 0 up"),
        (HEADER + "0,10,5,0.3,0.2\n", ":2: ttft_s: 0.3 is not within 0 and e2e_s (0.2)"),
        (HEADER + "0,10,0,0.1,0.2\n", ":2: output_tokens: '0' is not a whole number of tokens from 1 up"),
    ],
)
def test_a_wrong_recording_is_named_by_line_and_column(tmp_path, text, problem):
    file = tmp_path / "run.csv"
    file.write_text(text)
    error = run(file, "--base", "llama3-8b-h100", "-o", tmp_path / "out.yaml").exception
    assert isinstance(error, InputError)
    assert f"{file}{problem}" in str(error)
    assert list(tmp_path.iterdir()) == [file]


def test_as_many_metrics_files_as_requests_files(tmp_path):
    file = record(tmp_path)
    result = run(file, file, "--metrics", file, "--base", "llama3-8b-h100", "-o", tmp_path / "out.yaml")
    assert result.exit_code == 2
    assert "--metrics goes with each requests file" in result.output


def test_requests_that_failed_are_left_out(tmp_path):
    file = tmp_path / "run.csv"
    file.write_text("error," + HEADER + ",0,10,5,0.1,0.2\ntimeout,1,10,5,0,0\n")
    assert len(read_recording(file).requests) == 1


def test_a_recording_is_cut_where_the_server_was_idle():
    requests = (
        MeasuredRequest(0.0, 1, 1, 0.1, 0.1),
        MeasuredRequest(0.05, 1, 1, 0.1, 0.1),
        MeasuredRequest(5.0, 1, 1, 0.1, 0.1),
    )
    assert [len(episode) for episode in Recording("run", requests).episodes()] == [2, 1]


def test_what_had_not_ended_is_load_but_teaches_nothing():
    recording = Recording("run", (MeasuredRequest(0.0, 8, 1, 1.0, 1.0), MeasuredRequest(2.0, 8, 9, 1.0, 9.0)))
    known = recording.until(5.0)
    assert known.requests == recording.requests
    assert [known.seen(request) for request in known.requests] == [True, False]
    assert all(recording.seen(request) for request in recording.requests)
    assert len(recording.until(1.0).requests) == 1


def test_latencies_that_were_not_seen_do_not_change_a_fit():
    seen = tuple(replay(TRUE, [MeasuredRequest(0.1 * index, 300, 20, 1.0, 1.0) for index in range(20)]))
    late = (MeasuredRequest(1.95, 300, 20, 0.1, 50.0), MeasuredRequest(1.95, 300, 20, 2.0, 90.0))
    budget = (10, 20, 10)
    first, second = (fit(TRUE, [Recording("run", (*seen, one)).until(5.0)], None, budget) for one in late)
    assert first == second


TICKS_S = [2.2 + 0.05 * tick for tick in range(20)]
"""All of ``batch`` decode."""


def batch(profile: Profile) -> tuple[tuple[MeasuredRequest, ...], tuple[Gauges, ...]]:
    """Twelve requests at once as this profile answers them, and its gauges at TICKS_S."""
    wanted = [MeasuredRequest(0.001 * n, 4000 + 100 * n, 300, 1.0, 1.0) for n in range(12)]
    requests, gauges = replay_with_gauges(profile, wanted, TICKS_S)
    return tuple(requests), tuple(gauges)


def files(folder: Path) -> tuple[Path, Path]:
    """The batch as a requests CSV and a scrape series."""
    requests, metrics = folder / "batch.csv", folder / "metrics.csv"
    measured, gauges = batch(TRUE)
    names = "t,vllm:num_requests_running,vllm:num_requests_waiting,vllm:kv_cache_usage_perc\n"
    for file, header, rows in ((requests, HEADER, measured), (metrics, names, gauges)):
        file.write_text(header + "".join(",".join(map(repr, row)) + "\n" for row in rows))
    return requests, metrics


def cache(tokens: int) -> Profile:
    return replace(TRUE, memory=replace(TRUE.memory, kv_cache_tokens=tokens))


@pytest.mark.parametrize(("base", "kept"), [(200_000, False), (900_000, False), (460_000, True)])
def test_the_scrapes_say_how_large_the_kv_cache_is(tmp_path, base, kept):
    """Within 1 %; a base that is off by no more than two keeps its exact figure."""
    blocks = measured_blocks(cache(base), [read_recording(*files(tmp_path))])
    assert blocks is not None
    assert blocks * 16 == pytest.approx(TRUE.memory.kv_cache_tokens, rel=0.01)
    memory = with_blocks(cache(base), blocks)
    if kept:
        assert memory == cache(base).memory
    else:
        assert memory.kv_cache_tokens == pytest.approx(TRUE.memory.kv_cache_tokens, rel=0.01)
        assert memory.kv_cache_gib == pytest.approx(
            TRUE.memory.kv_cache_gib * TRUE.memory.kv_cache_tokens / base, rel=0.01
        )


def test_moments_that_do_not_tell_are_left_out():
    """Before the first token, with a queue, after what was seen, with shared blocks: nobody knows."""
    requests, calm = batch(TRUE)
    early = tuple(gauge._replace(time_s=gauge.time_s / 20.0) for gauge in calm)
    queue = tuple(gauge._replace(waiting=3.0) for gauge in calm)
    assert measured_blocks(TRUE, [Recording("run", requests, (*early, *queue))]) is None
    assert measured_blocks(TRUE, [Recording("run", requests, calm)]) is not None
    assert measured_blocks(TRUE, [Recording("run", requests, calm).until(3.0)]) is None
    sharing = replace(TRUE, scheduler=replace(TRUE.scheduler, enable_prefix_caching=True))
    assert measured_blocks(sharing, [Recording("run", requests, calm)]) is None


def test_a_window_gives_two_groups_of_blocks():
    gemma = load_profile("gemma2-9b-h100")
    blocks = measured_blocks(gemma, [Recording("run", *batch(gemma))])
    assert blocks == pytest.approx(gemma.memory.kv_cache_blocks, rel=0.01)
    half = replace(gemma.memory, kv_cache_blocks=10_000, kv_cache_tokens=80_000)
    found = with_blocks(replace(gemma, memory=half), 20_000)
    assert (found.kv_cache_blocks, found.kv_cache_tokens) == (20_001, pytest.approx(160_000, rel=1e-3))


def test_more_at_once_than_the_base_allows_is_refused(tmp_path):
    requests, metrics = files(tmp_path)
    base = tmp_path / "base.yaml"
    base.write_text(profile_yaml(replace(TRUE, scheduler=replace(TRUE.scheduler, max_num_seqs=8))))
    result = run(requests, "--metrics", metrics, "--base", base, "-o", tmp_path / "out.yaml")
    assert result.exit_code == 2
    assert "12 requests ran at once, and llama3-8b-h100 has max_num_seqs 8" in result.output


@pytest.mark.parametrize(
    ("until", "message"), [(0.01, "had ended by then"), (1e5, "has no request after that")]
)
def test_a_second_that_leaves_nothing_to_fit_or_nothing_to_judge_is_refused_before_the_fit(
    tmp_path, until, message
):
    result = run(record(tmp_path), "--base", "llama3-8b-h100", "--until", until, "-o", tmp_path / "x.yaml")
    assert result.exit_code == 2
    assert message in result.output


def test_the_recording_is_not_written_over(tmp_path):
    recording = record(tmp_path)
    before = recording.read_bytes()
    result = run(recording, "--base", "llama3-8b-h100", "-o", recording)
    assert result.exit_code == 2
    assert "is also read: give the result a name of its own" in result.output
    assert recording.read_bytes() == before
