"""`autoscale replay` and `autoscale explain --log`: logs of the simulator and of the controller."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from autoscaler.cli.main import main
from autoscaler.controller.decision_log import DecisionLog
from autoscaler.decision import evaluate
from autoscaler.decision.types import Reading
from autoscaler.history.records import DecisionRecord, read_decisions_jsonl, record_line
from tests.controller.fakes import Workload, world
from tests.decision.builders import (
    NOW,
    guarded,
    metric,
    per_pod,
    policy,
    remembering,
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A controller's log of two policies: one scales up and down, the other loses its metrics."""
    path = tmp_path_factory.mktemp("logs") / "decisions.jsonl"
    with world() as made:
        made.log = DecisionLog(path)
        made.restart()
        made.targets.workloads["code/vllm"] = Workload()
        made.store.put(policy(metric(5, query="load")), namespace="code", name="llm")
        made.sync(load=10)
        made.replicas_over(0, 330)
        made.log.close()
    return path


def ran(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    try:
        status = main(argv)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    out, err = capsys.readouterr()
    return status, out, err


def test_a_log_comes_out_as_it_was_logged(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ran(capsys, "replay", str(log))
    assert (status, out) == (0, "46 decisions of 2 policies: 46 as logged\n")


def test_a_decision_that_comes_out_otherwise_is_shown(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tampered = tmp_path / "tampered.jsonl"
    text = log.read_text()
    assert '"desiredReplicas":4' in text
    tampered.write_text(text.replace('"desiredReplicas":4', '"desiredReplicas":3', 1))
    status, out, _ = ran(capsys, "replay", str(tampered))
    assert status == 1
    assert "2 -> 3 (AboveTarget), now -> 4 (AboveTarget: waiting above target)" in out
    assert out.endswith("45 as logged, 1 not\n")


def test_a_decision_that_orders_the_same_and_differs_says_where(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [
        (
            '"message":"minReplicas is 1"',
            '"message":"it is 1"',
            "; stage rateLimit: message was it is 1, is min",
        ),
        ('"stage":"stabilize"', '"stage":"steady"', "; stage steady is gone"),
        ('"usageMilli":0', '"usageMilli":7', "; metric waiting: usage milli was 7, is 0"),
    ]
    tampered = tmp_path / "tampered.jsonl"
    for good, other, words in told:
        text = log.read_text()
        assert good in text
        tampered.write_text(text.replace(good, other))
        status, out, _ = ran(capsys, "replay", str(tampered))
        assert status == 1
        assert words in out


@pytest.mark.parametrize("options", [[], ["--name", "chat/vllm", "--policy", "chat"]])
def test_a_log_without_its_beginning_proves_nothing(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str]
) -> None:
    cut = tmp_path / "nofirst.jsonl"
    cut.write_text("".join(line for line in log.read_text().splitlines(True) if '"policy":{' not in line))
    status, out, err = ran(capsys, "replay", str(cut), *options)
    assert (status, out) == (1, "")
    assert "decisions can be decided again, as no line has a policy and its state: was the log's beg" in err
    status, _, err = ran(capsys, "explain", "chat/vllm", "--log", str(cut))
    assert (status, err) == (
        1,
        f"{cut}: holds no line with the policy of chat/vllm: was its beginning cut off?\n",
    )


BOLD = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: ScalingPolicy
metadata: {name: bold}
spec:
  scaleTargetRef: {kind: Deployment, name: vllm}
  maxReplicas: 9
  metrics: [{signal: waiting, target: {type: PodsAverage, averageValue: 2}}]
"""


def test_another_policy_is_asked_in_each_situation(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "bold.yaml"
    other.write_text(BOLD)
    status, out, err = ran(capsys, "replay", str(log), "--name", "chat/vllm", "--policy", str(other))
    assert (status, err) == (0, "")
    assert "chat/vllm  2 -> 4 (AboveTarget), now -> 6 (ScaleUpLimit: scaleUp allows 6 for now)" in out
    assert "23 decisions: 22 the same, 1 different" in out


def test_a_policy_of_the_library_and_what_the_log_has_no_reading_of(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = ran(capsys, "replay", str(log), "--name", "chat/vllm", "--policy", "chat")
    assert status == 0
    assert err == "the log has no reading of running+waiting: it counts as failed\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--policy", "chat"], "holds chat/vllm and code/llm: choose one with --name"),
        (["--name", "chat/other"], "holds no decision of chat/other"),
        (["--policy", "no-such"], "no-such: no such file, and no policy of this name in the library"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    log: Path, capsys: pytest.CaptureFixture[str], argv: Sequence[str], message: str
) -> None:
    _, out, err = ran(capsys, "replay", str(log), *argv)
    assert message in out + err


def test_a_logged_text_stays_on_its_line(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tampered = tmp_path / "tampered.jsonl"
    tampered.write_text(log.read_text().replace("minReplicas is 1", r"one\ntwo\u001b[31m"))
    _, replayed, _ = ran(capsys, "replay", str(tampered))
    _, explained, _ = ran(capsys, "explain", "chat/vllm", "--log", str(tampered))
    for out in (replayed, explained):
        assert r"one\ntwo\x1b[31m" in out
        assert "\x1b" not in out
        assert "two" not in [line[:3] for line in out.splitlines()]


@pytest.mark.parametrize("command", [("replay",), ("explain", "chat/vllm", "--log")])
def test_a_time_that_is_none_names_its_place(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    tampered = tmp_path / "tampered.jsonl"
    tampered.write_text(re.sub('"now":[0-9.]+', '"now":"NaN"', log.read_text(), count=1))
    status, out, err = ran(capsys, *command, str(tampered))
    assert (status, out) == (1, "")
    assert err == f'{tampered}:1: now: must be a finite number of at most 253402300799 seconds, not "NaN"\n'


def test_a_log_without_decisions_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    told = (1, "", f"{empty}: is empty: it holds no decision\n")
    assert ran(capsys, "replay", str(empty)) == told
    assert ran(capsys, "explain", "--log", str(empty)) == told


def test_the_simulators_decisions_are_such_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "decisions.jsonl"
    assert ran(capsys, "simulate", "azure-conv", "--span", "300", "--decisions", str(path))[0] == 0
    status, out, _ = ran(capsys, "replay", str(path))
    assert (status, out) == (0, "20 decisions: 20 as logged\n")
    assert len(list(read_decisions_jsonl(path))) == 20
    status, out, _ = ran(capsys, "explain", "--log", str(path))
    assert status == 0
    assert out.startswith("the policy: Deployment vllm-chat, 1 to 10 replicas, Active\n")


STORY = """\
chat/vllm: Deployment vllm, 1 to 10 replicas, Active

2027-01-15T08:05:45Z  1  held (2 times since 2027-01-15T08:05:30Z): TooFewReplicas: minReplicas is 1
  waiting                             0 against 5: wants 0 (1 sample)
  remainingCapacity/kvCacheUsage      0 against 0.8: could be carried by 0 (1 sample)
  remainingCapacity/waiting           0 against 1: could be carried by 0 (1 sample)
  rejectedRequests/rejectedPerSecond  0: holds nothing (1 sample)
  metrics                               0  BelowTarget: All metrics below target
  stabilize                             0  ReadyForNewScale: no recent recommendation speaks against 0
  rateLimit                             1  TooFewReplicas: minReplicas is 1

before that:
  2027-01-15T08:05:15Z  4 -> 1  scaled: TooFewReplicas: minReplicas is 1
  2027-01-15T08:00:30Z  4  held (19 times, until 2027-01-15T08:05:00Z): ScaleDownStabilized: \
recent recommendations allow 4, not yet 0
  2027-01-15T08:00:15Z  2 -> 4  scaled: AboveTarget: waiting above target
"""


def test_a_story_tells_each_metric_each_stage_and_what_was_before(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = ran(capsys, "explain", "chat/vllm", "--log", str(log))
    assert status == 0
    assert out == STORY


def test_a_story_of_metrics_that_fail(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "explain", "code/llm", "--log", str(log))
    assert "unusable: FailedGetPodsMetric" in out
    assert "--allow-queries-in" in out


def test_a_policy_that_is_not_in_the_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = ran(capsys, "explain", "chat/other", "--log", str(log))
    assert status == 1
    assert err == f"{log}: holds no decision of chat/other: there are chat/vllm, code/llm\n"


def test_a_story_of_a_log_of_several_needs_a_name(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = ran(capsys, "explain", "--log", str(log))
    assert status == 1
    assert err.endswith("holds no decision without a policy's name: name one of chat/vllm, code/llm\n")


def test_a_story_of_a_metric_that_has_nothing_to_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scaling = policy(metric(5, signal="waiting"), metric(1, "Value", signal="ttft"))
    idle = Reading("ttft", idle="no request in the last 60 s")
    seen = guarded(2, per_pod([0.0] * 2, "waiting"), idle)
    decision = evaluate(scaling, seen, remembering(), NOW)[0]
    path = tmp_path / "log.jsonl"
    path.write_text(f"{record_line(DecisionRecord(NOW, seen, decision, policy=scaling))}\n")
    _, out, _ = ran(capsys, "explain", "--log", str(path))
    assert "abstains: NoRequests: ttft: no request in the last 60 s" in out
    assert "unusable" not in out
