"""What can be wrong with one pod's metrics, played on its scripted endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tests.e2e.scripted import Script, ScriptedPod, vllm
from tests.servers.eventually import eventually
from tests.servers.prometheus import Prometheus

Fault = Callable[[ScriptedPod], None]


def _says(text: str) -> Fault:
    def fault(pod: ScriptedPod) -> None:
        pod.text = text

    return fault


def _fails(pod: ScriptedPod) -> None:
    pod.status = 500


def _hangs(pod: ScriptedPod) -> None:
    pod.delay = 3.0


def _repeats_an_old_sample(pod: ScriptedPod) -> None:
    pod.text = vllm(running=f"0 {int((time.time() - 60) * 1000)}")


FAULTS: dict[str, Fault] = {
    "NaN": _says(vllm(running="NaN")),
    "infinite": _says(vllm(running="-Inf")),
    "no such metric": _says("# TYPE other gauge\nother 1\n"),
    "no text": _says(""),
    "not the format": _says("<html>Bad gateway</html>\n"),
    "stale": _repeats_an_old_sample,
    "fails": _fails,
    "slow": _hangs,
}


BUSY = 30
"""The load of the one pod that has any: what three pods should carry."""


def one_is_busy(
    prometheus: Prometheus, namespace: str, script: Script, workloads: Sequence[str]
) -> list[str]:
    """Of each workload's three pods the first has all the load; returns those.

    Whoever believes the other two, and not the first, takes two replicas away.
    """
    eventually(lambda: len(script.pods) == 3 * len(workloads), within=60)
    busy = [min(pod for pod in script.pods if pod.startswith(f"{name}-")) for name in workloads]
    script.change(lambda pod: vllm(running=BUSY if pod in busy else 0))
    eventually(lambda: shown(prometheus, namespace) == [BUSY] * len(busy) + [0] * 2 * len(busy), within=30)
    return busy


def shown(prometheus: Prometheus, namespace: str) -> list[float]:
    """The loads that Prometheus knows, the highest first."""
    found = prometheus.query(f'vllm:num_requests_running{{namespace="{namespace}"}}')
    return sorted((value for _, value in found), reverse=True)
