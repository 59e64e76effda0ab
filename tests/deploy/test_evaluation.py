"""The evaluation of examples/batch: its own command and its own script, against an emulated vLLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.emulated import emulate

ERROR = "500 Internal Server Error"
EXAMPLE = Path(__file__).resolve().parents[2] / "deploy/examples/batch"


def script(folder: Path, url: str) -> str:
    """What the Job runs, with its paths and address replaced by those of this test."""
    (job,) = yaml.safe_load_all((EXAMPLE / "job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (text,) = container["args"]
    for there, here in (
        ("http://vllm", url),
        ("/questions/", f"{folder}/"),
        ("/data/", f"{folder}/"),
        ("/score/", f"{folder}/"),
        ("--linger 900", "--linger 0"),
        ("--metrics-port 9090", "--metrics-port 0"),
    ):
        assert there in text
        text = text.replace(there, here)
    (folder / "questions.jsonl").write_bytes((EXAMPLE / "questions.jsonl").read_bytes())
    (folder / "score").write_text(yaml.safe_load((EXAMPLE / "score.yaml").read_text())["data"]["score"])
    return str(text)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """With the commands of this environment, as the image has them."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.slow
def test_it_predicts_and_then_scores(tmp_path):
    with emulate("--port", "0", "--speed", "20") as (_, urls):
        text = script(tmp_path, urls["vllm-0"])
        ended = run(["sh", "-ec", text])
        assert ended.returncode == 0, ended.stderr
        assert "0 of 5 right (0.0%), 0 without an answer" in ended.stdout  # the emulator talks nonsense
        scores = json.loads((tmp_path / "scores.json").read_text())
        assert (scores["questions"], scores["accuracy"], len(scores["wrong"])) == (5, 0.0, 5)

        with (tmp_path / "questions.jsonl").open("a") as file:
            file.write(json.dumps({"id": "long", "prompt": "x" * 40_000, "answer": "x"}) + "\n")
        ended = run(["sh", "-ec", text])
        assert ended.returncode == 1
        assert "0 of 6 right (0.0%), 1 without an answer" in ended.stdout
        assert json.loads((tmp_path / "scores.json").read_text())["missing"] == ["long"]


@pytest.mark.parametrize(
    ("said", "status", "says"),
    [
        (["Paris.", "It is 56", "AU", "shakespeare", "Mercury"], 0, "5 of 5 right (100.0%)"),
        (["Paris", "57", "Ag", "Marlowe", "Mercury"], 0, "2 of 5 right (40.0%)"),
        (["Paris", ERROR, "Au", "Shakespeare", "Mercury"], 1, "4 of 5 right (80.0%), 1 without an answer"),
        (["Paris", None, "Au", "Shakespeare", "Mercury"], 0, "4 of 5 right (80.0%), 0 without an answer"),
    ],
)
def test_the_score_is_the_share_of_right_answers(tmp_path, said, status, says):
    """In whatever order the results came. An answer without text is wrong, an error is none."""
    script(tmp_path, "http://x")
    rows = [
        {
            "row": number,
            "output": None if output == ERROR else output,
            "error": output if output == ERROR else None,
        }
        for number, output in enumerate(said)
    ]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    score = [tmp_path / name for name in ("score", "questions.jsonl", "results.jsonl", "scores.json")]
    ended = run([sys.executable, *map(str, score)])
    assert (ended.returncode, ended.stderr) == (status, "")
    assert says in ended.stdout
