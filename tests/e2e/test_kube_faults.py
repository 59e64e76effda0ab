"""The watched copies while the API server expires, hangs, dies and comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.api.models import ScaleTargetRef
from autoscaler.errors import ClusterError
from autoscaler.kube.client.lease import LeaderElection, LeaseSettings
from autoscaler.kube.client.reflector import WatchTimings
from autoscaler.ports.targets import TargetKey
from tests.e2e.kube_world import install_policies, pod, watching, workload
from tests.servers.api import Api
from tests.servers.controlplane import ControlPlane
from tests.servers.eventually import eventually

pytestmark = pytest.mark.e2e

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
QUICK = WatchTimings(watch=3, silence=5.0, longest_backoff=1.0)
VLLM = TargetKey("default", ScaleTargetRef(kind="Deployment", name="vllm"))


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """A control plane to be broken. Without a watch cache what is compacted is gone at once."""
    plane = ControlPlane(tmp_path_factory.mktemp("broken"))
    plane.apiserver.watch_cache = False
    with plane:
        install_policies(Api(plane.kubeconfig))
        yield plane


@pytest.fixture
def api(plane):
    return Api(plane.kubeconfig)


@pytest.fixture
def cluster(plane):
    with watching(plane.kubeconfig, pace=QUICK) as watched:
        yield watched


def names(cluster) -> set[str]:
    return {one.name for one in cluster.targets.pods("default", "app=vllm")}


def is_blind(cluster) -> bool:
    try:
        cluster.targets.pods("default", "app=vllm")
    except ClusterError:
        return True
    return False


def test_a_past_that_was_compacted_away_is_listed_anew(plane, api, caplog):
    caplog.set_level("INFO")
    # Long enough to change the world meanwhile.
    slow = replace(QUICK, first_backoff=12.0, longest_backoff=12.0)
    with watching(plane.kubeconfig, pace=slow) as cluster:
        api.post(PODS, pod("before"))
        eventually(lambda: names(cluster) == {"before"})
        plane.apiserver.restart()
        api.post(PODS, pod("after"))
        api.delete(f"{PODS}/before", {"gracePeriodSeconds": 0})
        plane.etcd.compact()
        assert names(cluster) == {"before"}
        eventually(lambda: names(cluster) == {"after"}, within=30)
    assert "/api/v1/pods: The resourceVersion for the provided watch is too old." in caplog.text


def test_a_server_that_hangs_makes_the_copies_too_old_and_then_right_again(plane):
    with watching(plane.kubeconfig, pace=replace(QUICK, max_age=4.0)) as cluster:
        assert not is_blind(cluster)
        plane.apiserver.pause()
        eventually(lambda: is_blind(cluster), within=15)
        with pytest.raises(ClusterError):
            cluster.targets.read(VLLM)
        plane.apiserver.resume()
        eventually(lambda: not is_blind(cluster), within=30)


def test_a_server_that_dies_and_comes_back_is_followed_again(plane, api, cluster):
    api.post(DEPLOYMENTS, workload())
    eventually(lambda: cluster.targets.read(VLLM).replicas == 2)
    plane.apiserver.kill()
    with pytest.raises(ClusterError):
        cluster.targets.write(VLLM, cluster.targets.read(VLLM), 5)
    plane.apiserver.start()
    eventually(lambda: cluster.targets.write(VLLM, cluster.targets.read(VLLM), 5).replicas == 5, within=30)
    eventually(lambda: cluster.targets.read(VLLM).replicas == 5, within=30)
    api.delete(f"{DEPLOYMENTS}/vllm")


def test_while_the_store_is_down_nothing_can_be_written_and_nobody_leads_for_ever(plane, cluster):
    settings = LeaseSettings("default", "vllm-autoscaler", "one", seconds=10)
    election = LeaderElection(cluster.api, settings)
    election.start()
    eventually(election.may_write)
    plane.etcd.pause()
    eventually(lambda: not election.may_write(), within=15)
    plane.etcd.resume()
    eventually(election.may_write, within=30)
    election.stop()
