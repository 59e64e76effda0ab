"""Output that nobody takes, and threads that cannot be started: no sync waits for them, nor does SIGTERM."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.e2e.manifests import deployment
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.servers.api_proxy import Fault, calls
from tests.servers.eventually import eventually
from tests.servers.fifo import Fifo

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

ENDING_SECONDS = 25
"""A kubelet kills what has not ended after 30."""
MEBIBYTE = 1 << 20


@pytest.fixture
def fifo(tmp_path):
    with Fifo(tmp_path / "fifo") as opened:
        yield opened


@pytest.fixture
def one(cluster, namespace, script):
    """A replica that is content, and its policy."""
    cluster.api.apply(deployment(namespace, replicas=1))
    script.change(lambda _: vllm(running=10))
    return Policy(cluster, namespace, spec())


def follows_the_load(policy, script):
    """Up and down again."""
    script.change(lambda _: vllm(running=40))
    eventually(lambda: policy.replicas() == 4, within=30)
    script.change(lambda _: vllm(running=0))
    eventually(lambda: policy.replicas() == 1, within=40)


def ends(controller):
    """Told to end, it does, with 0."""
    controller.process.send_signal(signal.SIGTERM)
    assert controller.process.wait(ENDING_SECONDS) == 0


def leads(controller):
    return controller.metric("vllm_autoscaler_leading") == 1


def test_a_log_that_nobody_reads_blocks_neither_syncs_nor_the_end(start, fifo, one, script):
    elected = ("--lease-seconds=120", "--log-level=debug")
    first = start("first", *elected, output=fifo.writer)
    eventually(lambda: decisions(first, "WithinTolerance") >= 2, within=60)
    fifo.block()
    second = start("second", "--lease-seconds=120")
    follows_the_load(one, script)
    ends(first)
    eventually(lambda: leads(second), within=30)
    follows_the_load(one, script)


def test_a_decision_log_that_is_full_blocks_neither_syncs_nor_the_end(start, fifo, one, script, tmp_path):
    controller = start("controller", "--no-leader-election", f"--decision-log={fifo.path}")
    eventually(lambda: len(fifo.lines) >= 2, within=60)
    fifo.block()
    follows_the_load(one, script)
    fifo.unblock()
    read = len(fifo.lines)
    eventually(lambda: len(fifo.lines) >= read + 5, within=30)
    replayed(fifo.lines, tmp_path / "read.jsonl")
    fifo.block()
    ends(controller)


def replayed(lines: list[str], path: Path) -> None:
    """What was read can be decided again, gaps or not."""
    whole = [line for line in lines if is_json(line)]
    assert len(whole) >= len(lines) - 1, "all but the one that is being written"
    path.write_text("".join(f"{line}\n" for line in whole))
    command = [sys.executable, "-m", "autoscaler", "replay", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, " as logged\n" in done.stdout) == (0, True), done.stdout + done.stderr


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@contextmanager
def no_room_for_threads(process):
    """The process may take 6 MiB more: a thread's stack takes 8."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    size = int(status.split("VmSize:")[1].split()[0]) * 1024
    before = resource.prlimit(process.pid, resource.RLIMIT_AS, (size + 6 * MEBIBYTE, -1))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_AS, before)


def test_when_no_thread_can_be_started_for_a_while_every_policy_syncs_again(
    namespace, proxy, through, start, one, script, engines
):
    controller = start(kubeconfig=through)
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=60)
    slow = calls("GET", "/engines/", "/scale")
    with proxy.fault(slow, Fault(delay=1.0)), no_room_for_threads(controller.process):
        others = engines(namespace, 12, minReplicas=2)
        eventually(lambda: proxy.seen(slow), within=30)
        time.sleep(3)
    eventually(lambda: all(other.replicas() == 2 for other in others), within=60)
    requests.get(f"{controller.url}/healthz", timeout=5).raise_for_status()
    follows_the_load(one, script)
