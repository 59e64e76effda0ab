"""CPU-seconds of the controller's process for the Kubernetes side of N policies.

Against the API server of tests/controlplane (`make controlplane`), one Deployment, one policy and one
pod for each::

    python -m benchmarks.cluster_reads 1000
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from autoscaler.api.status import History, PastRecommendation, PolicyStatus
from autoscaler.api.vocabulary import Mode
from autoscaler.kube.client.api import Api, connect
from autoscaler.kube.controller_ports import ControllerPorts
from autoscaler.ports.policies import StoredPolicy
from autoscaler.ports.targets import TargetKey
from tests.e2e.kube_world import POLICIES, install_policies, pod, policy, workload
from tests.servers import api as tests_api
from tests.servers.controlplane import ControlPlane
from tests.servers.eventually import eventually

THREADS = 16


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints the CPU seconds of this process, threads included, and the duration of a block."""
    cpu, wall = time.process_time(), time.monotonic()
    yield
    print(f"{what:<52} {time.process_time() - cpu:6.2f} CPU-s {time.monotonic() - wall:6.1f} s")


def make(api: Api, number: int) -> None:
    """One workload with its policy and its pod."""
    name = f"vllm-{number}"
    api.create("/apis/apps/v1/namespaces/default/deployments", workload(name=name))
    api.create(POLICIES.format("default"), policy(name, name))
    api.create("/api/v1/namespaces/default/pods", pod(f"{name}-0", app=name))


def key(stored: StoredPolicy) -> TargetKey:
    """A policy's target."""
    return TargetKey(stored.namespace, stored.policy.spec.scale_target_ref)


def look(cluster: ControllerPorts) -> None:
    """Everything that is read for one decision of each policy."""
    for stored in cluster.policies.policies():
        scale = cluster.targets.read(key(stored))
        cluster.targets.pods(stored.namespace, scale.selector)
        cluster.owners.conflicts(stored)


def status(now: float) -> dict[str, object]:
    """A status with the history of five minutes."""
    past = tuple(PastRecommendation(replicas=2, time=now - 15 * number) for number in range(20))
    history = History(target="apps/v1/Deployment/vllm", recommendations=past)
    return PolicyStatus(mode=Mode.ACTIVE, current_replicas=2, desired_replicas=2, history=history).as_json()


def main(count: int) -> None:
    """Prints one line for each kind of work."""
    with ControlPlane(Path(tempfile.mkdtemp()) / "plane") as plane, ThreadPoolExecutor(THREADS) as pool:
        install_policies(tests_api.Api(plane.kubeconfig))
        api = connect(str(plane.kubeconfig))
        list(pool.map(lambda number: make(api, number), range(count)))
        cluster = ControllerPorts(connect(str(plane.kubeconfig)), "benchmark")
        with timed("start: policies, pods, HPAs listed"):
            cluster.start()
            assert cluster.wait(60)
        stored = cluster.policies.policies()
        assert len(stored) == count
        eventually(lambda: cluster.targets.workloads(key(stored[0])), within=30)
        look(cluster)
        with timed("a tick: policies, scales, pods, rivals"):
            look(cluster)
        with timed("a status for each, and our watch of them"):
            list(pool.map(lambda one: cluster.policies.write_status(one, status(time.time())), stored))
            time.sleep(1)
        with timed("a new scale for each, and our watch of them"):
            list(
                pool.map(
                    lambda one: cluster.targets.write(key(one), cluster.targets.read(key(one)), 3), stored
                )
            )
            time.sleep(1)
        with timed("nothing happens"):
            time.sleep(15)
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
        cluster.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
