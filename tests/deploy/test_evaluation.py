"""The evaluation of examples/batch: its own command and its own script, against an emulated vLLM."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autoscaler.cli.main import main
from tests.cli.emulated import emulate

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy/examples/batch"


def commands(folder: Path, url: str) -> tuple[list[str], list[str]]:
    """What the Job runs, with its paths and address replaced by those of this test."""
    (job,) = yaml.safe_load_all((EXAMPLE / "job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (script,) = container["args"]
    for there, here in (
        ("http://vllm", url),
        ("/questions/", f"{EXAMPLE}/"),
        ("/data/", f"{folder}/"),
        ("/score/", f"{folder}/"),
        ("--linger 900", "--linger 0"),
        ("--metrics-port 9090", "--metrics-port 0"),
    ):
        assert there in script
        script = script.replace(there, here)
    predict, score = (shlex.split(line) for line in script.replace("\\\n", "").splitlines())
    assert (predict[0], score[0]) == ("autoscale", "python")
    (folder / "score").write_text(yaml.safe_load((EXAMPLE / "score.yaml").read_text())["data"]["score"])
    return predict[1:], [sys.executable, *score[1:]]


def test_it_predicts_and_then_scores(tmp_path):
    with emulate("--port", "0", "--speed", "20") as (_, urls):
        predict, score = commands(tmp_path, urls["vllm-0"])
        assert main(predict) == 0
    ended = subprocess.run(score, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("0 of 5 right (0.0%), 0 without an answer")  # the emulator talks nonsense
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["questions"], scores["accuracy"], len(scores["wrong"])) == (5, 0.0, 5)


@pytest.mark.parametrize(
    ("said", "status", "says"),
    [
        (["Paris.", "It is 56", "AU", "shakespeare", "Mercury"], 0, "5 of 5 right (100.0%)"),
        (["Paris", "57", "Ag", "Marlowe", "Mercury"], 0, "2 of 5 right (40.0%)"),
        (["Paris", None, "Au", "Shakespeare", "Mercury"], 1, "4 of 5 right (80.0%), 1 without an answer"),
    ],
)
def test_the_score_is_the_share_of_right_answers(tmp_path, said, status, says):
    """In whatever order the results came."""
    _, score = commands(tmp_path, "http://x")
    rows = [{"row": number, "output": output} for number, output in enumerate(said)]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    ended = subprocess.run(score, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (status, "")
    assert says in ended.stdout
