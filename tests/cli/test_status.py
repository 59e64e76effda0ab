"""`autoscale status`: one line for each policy, and what is wrong below it."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from autoscaler.api.status import read_status
from autoscaler.cli.commands.status import table
from autoscaler.cli.main import main
from autoscaler.history.explanation import explanation_of_status, render
from autoscaler.ports.policies import Conflict, RefusedPolicy
from tests.controller.fakes import START, Workload, World, world
from tests.decision.builders import metric, policy


def shown(made: World, *more: RefusedPolicy) -> list[str]:
    lines = table([*made.store.stored.values(), *more], made.time.now())
    return [click.unstyle(line) for line in lines]


def test_every_policy_has_a_line() -> None:
    with world() as made:
        made.targets.workloads["code/llm"] = Workload()
        made.store.put(policy(metric(5, signal="waiting"), mode="DryRun"), namespace="code", name="llm")
        made.store.put(policy(metric(5, signal="waiting")), namespace="new", name="one")
        made.store.stored["code/llm"] = replace(made.store.stored["code/llm"], namespace="code")
        made.source.loads |= {"chat/vllm": 10.0}
        made.targets.workloads["code/vllm"] = Workload()
        made.sync()
        made.replicas_over(5, 600)
        made.store.stored["new/one"] = replace(made.store.stored["new/one"], status=None)
        assert shown(made) == [
            "POLICY     TARGET           MIN  MAX  CURRENT  READY  DESIRED  MODE    LAST DECISION",
            "chat/vllm  Deployment/vllm    1   10        4      4        4  Active  WithinTolerance, 9m",
            "code/llm   Deployment/vllm    1  100        2      2        1  DryRun  "
            "TooFewReplicas (DryRun), 5m",
            "new/one    Deployment/vllm    1  100        -      -        -  Active  none yet",
        ]


def test_what_is_wrong_stands_below() -> None:
    with world() as made:
        made.owners.found = (Conflict("HorizontalPodAutoscaler chat/vllm", "its scaleTargetRef"),)
        made.source.error = "connection refused"
        made.sync(load=10)
        bad = RefusedPolicy("chat", "bad", "spec.metrics: is missing")
        lines = shown(made, bad)
        assert lines[1].startswith("chat/vllm")
        assert lines[2] == ("  ScalingActive False: FailedGetPodsMetric: waiting: connection refused")
        assert lines[3].startswith("  Contested True: AnotherOwner: not written, because others scale")
        assert lines[4].split() == ["chat/bad", *"-------", "refused"]
        assert lines[5] == "  Accepted False: spec.metrics: is missing"


def test_beside_whom_a_dry_run_looks_on_is_shown_and_is_no_warning() -> None:
    with world(policy(metric(5, signal="waiting"), mode="DryRun")) as made:
        made.owners.found = (Conflict("HorizontalPodAutoscaler chat/vllm", "its scaleTargetRef"),)
        made.sync(load=10)
        stored = made.store.stored["chat/vllm"]
        beside = (
            "LookingOn: nothing is written, because others scale this target: "
            "HorizontalPodAutoscaler chat/vllm (its scaleTargetRef)"
        )
        *_, line = table([stored], made.time.now())
        assert line == f"  Contested False: {beside}", "without a colour"
        status = read_status(stored.status)
        assert status is not None
        story = explanation_of_status("chat/vllm", stored, status)
        assert story is not None
        assert list(render(story))[1].endswith(beside)


def test_a_broken_edit_still_shows_what_the_last_good_policy_does() -> None:
    with world() as made:
        made.sync(load=10)
        stored = made.store.stored.pop("chat/vllm")
        edited = RefusedPolicy("chat", "vllm", "hour 25 of 0 to 23", status=stored.status)
        _, row, trouble = shown(made, edited)
        assert row.split() == ["chat/vllm", *"---224-", "AboveTarget", "(Scaled),", "0s"]
        assert trouble == "  Accepted False: hour 25 of 0 to 23"
        status = read_status(stored.status)
        assert status is not None
        story = explanation_of_status("chat/vllm", edited, status)
        assert story is not None
        assert list(render(story))[:2] == [
            "chat/vllm",
            "  the newest edit is not in force: hour 25 of 0 to 23",
        ]


def test_no_policies_is_said() -> None:
    assert list(table([], START)) == ["no policies"]


def test_a_story_from_a_status_tells_what_is_wrong_first() -> None:
    with world() as made:
        made.sync(load=10)
        made.source.error = "connection refused"
        made.sync()
        stored = made.store.stored["chat/vllm"]
        status = read_status(stored.status)
        assert status is not None
        story = explanation_of_status("chat/vllm", stored, status)
        assert story is not None
        told = list(render(story))
        assert told[0] == "chat/vllm: Deployment vllm, 1 to 10 replicas, Active"
        assert told[1].startswith(
            "  ScalingActive is False since 2027-01-15T08:00:30Z: FailedGetPodsMetric: "
        )
        assert told[3].startswith("2027-01-15T08:00:30Z  4  held: FailedGetPodsMetric: ")
        assert told[-1] == "  2027-01-15T08:00:15Z  2 -> 4  scaled: AboveTarget: waiting above target"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["explain"], "which policy? Name it as NAMESPACE/NAME, or give --log FILE"),
        (["explain", "vllm"], "which policy? Name it as NAMESPACE/NAME, or give --log FILE"),
        (["run"], "--prometheus-url"),
        (["run", "--prometheus-url", "http://x", "--metrics-port", "70000"], "70000 is not in the range"),
        (
            ["run", "--prometheus-url", "http://x", "--decision-log", "/no/such/file"],
            "no such file or directory",
        ),
        (["status", "--kubeconfig", "/no/such/file"], "no cluster to talk to: "),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert main(argv) in (1, 2)
    assert message in capsys.readouterr().err.splitlines()[-1]
