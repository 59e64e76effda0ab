"""A cluster, a Prometheus that scrapes its pods, and a namespace for each test."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from yaml import YAMLError

from tests.e2e.adapter import (
    COMPONENTS,
    GROUPS,
    HOME,
    HOST_VARIABLE,
    RunningAdapter,
    certs,
    install,
    manifests,
    mount,
)
from tests.e2e.cluster import Cluster, Rounds, whereabouts
from tests.e2e.controller import RunningController
from tests.e2e.endpoints import Endpoints
from tests.e2e.fleet import Fleet
from tests.e2e.kube_world import install_definition, install_policies, scalable
from tests.e2e.policies import Policy, spec
from tests.e2e.scripted import Script, vllm
from tests.e2e.workloads import Workloads
from tests.servers.aggregation import available
from tests.servers.eventually import eventually
from tests.servers.prometheus import Prometheus


def pytest_collection_finish(session):
    """Before the first test, and only where one is about to run."""
    named = os.environ.get("KUBECONFIG")
    if named and any(item.get_closest_marker("e2e") for item in session.items):
        try:
            where = whereabouts(Path(named))
        except (OSError, LookupError, TypeError, StopIteration, YAMLError) as error:
            raise pytest.UsageError(f"KUBECONFIG={named} names no cluster: {error!r}") from None
        session.config.get_terminal_writer().line(where)


@pytest.fixture(scope="session")
def cluster(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    if named := os.environ.get("KUBECONFIG"):
        return Cluster(Path(named), folder)
    plane = request.getfixturevalue("control_plane")
    return Cluster(plane.kubeconfig, folder, plane)


@pytest.fixture(scope="session")
def crd(cluster):
    """The kind ScalingPolicy, ready to be used."""
    install_policies(cluster.api)


@pytest.fixture(scope="session")
def composed(cluster):
    """The control plane as its parts, for tests that break it."""
    if cluster.plane is None:
        pytest.skip("this test stops and slows the control plane, which it may not do to a real cluster")
    return cluster.plane


@pytest.fixture
def proxy(composed):
    """In front of the API server, for controllers that are given its kubeconfig."""
    with composed.apiserver.proxy() as started:
        yield started


@pytest.fixture
def through(composed, proxy):
    """The kubeconfig that leads through the proxy."""
    return composed.kubeconfig_through(proxy)


@pytest.fixture(scope="session")
def targets(tmp_path_factory):
    return tmp_path_factory.mktemp("targets") / "pods.json"


@pytest.fixture(scope="session")
def prometheus(targets, tmp_path_factory):
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets=targets) as server:
        yield server


@pytest.fixture(scope="session")
def workloads(cluster):
    return Workloads(cluster.api)


@pytest.fixture(scope="session")
def emulators():
    with Fleet() as started:
        yield started


@pytest.fixture(scope="session")
def endpoints(cluster, targets, workloads, emulators):  # noqa: ARG001 (they outlive it)
    opened = Endpoints(targets)
    parts = (opened, workloads) if cluster.plane else (opened,)
    with Rounds(cluster.api, *parts):
        yield opened
    opened.close()


@pytest.fixture
def namespace(cluster, workloads, endpoints):
    """A namespace; what it held is gone afterwards, and its endpoints are closed."""
    api = cluster.api
    name = api.post("/api/v1/namespaces", {"metadata": {"generateName": "e2e-"}})["metadata"]["name"]
    workloads.namespaces.add(name)
    yield name
    workloads.clear(name)
    eventually(lambda: api.get(f"/api/v1/namespaces/{name}/pods")["items"] == [], within=60)
    workloads.namespaces.remove(name)
    endpoints.leave(name)
    api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def fleet(namespace, endpoints, emulators):
    """Emulated vLLM servers for the pods of the namespace."""
    endpoints.openers[namespace] = emulators
    yield emulators
    emulators.keep(0)


@pytest.fixture
def script(namespace, endpoints):
    """Pods of the namespace that say what the test dictates: at first, that they idle."""
    endpoints.openers[namespace] = told = Script(lambda _: vllm())
    return told


@pytest.fixture
def start(cluster, prometheus, namespace, tmp_path):
    """Starts controllers for the namespace; by default one that need not be elected.

    ``source``: the URL of another Prometheus. ``output``: see ``Server``.
    """
    with ExitStack() as running:

        def started(
            name: str = "controller",
            *options: str,
            kubeconfig: Path = cluster.kubeconfig,
            source: str = prometheus.url,
            output: int | None = None,
        ) -> RunningController:
            chosen = options or ("--no-leader-election",)
            where = (f"--namespace={namespace}", f"--lease-namespace={namespace}", "--metrics-deadline=2")
            controller = RunningController(tmp_path / name, kubeconfig, source, *where, *chosen)
            controller.output = output
            return running.enter_context(controller)

        yield started


@pytest.fixture
def engines(cluster):
    """Makes targets of a kind that is read at each decision, none of it being watched, with policies."""
    version = "serving.example/v1"
    install_definition(cluster.api, scalable("serving.example", "Engine"))

    def made(namespace: str, count: int, **more: object) -> list[Policy]:
        policies = []
        for number in range(count):
            ref = {"apiVersion": version, "kind": "Engine", "name": f"engine-{number}"}
            engine = {"metadata": {"name": ref["name"]}, "spec": {"replicas": 1}}
            path = f"/apis/{version}/namespaces/{namespace}/engines"
            cluster.api.post(path, {"apiVersion": version, "kind": "Engine", **engine})
            known = {"selector": f"app={ref['name']}", "replicas": 1}
            cluster.api.patch(f"{path}/{ref['name']}/status", {"status": known})
            policies.append(Policy(cluster, namespace, spec(scaleTargetRef=ref, **more), ref["name"]))
        return policies

    return made


@pytest.fixture(scope="module")
def own_prometheus(targets, endpoints, tmp_path_factory):  # noqa: ARG001 (who writes the targets)
    """One that the tests of a module may stop."""
    with Prometheus(tmp_path_factory.mktemp("adapter-prometheus"), targets=targets) as server:
        yield server


@pytest.fixture(scope="module")
def adapter(cluster, own_prometheus, tmp_path_factory):
    """Deployed with all its components, its certificate issued, available behind the aggregation layer."""
    if cluster.plane is None and HOST_VARIABLE not in os.environ:
        pytest.skip(f"takes the metrics APIs of the cluster: agree by {HOST_VARIABLE}, where it reaches us")
    folder = tmp_path_factory.mktemp("adapter")
    install(cluster.api, manifests(folder, *COMPONENTS))
    told = certs(cluster.account(HOME, "vllm-autoscaler-certs"))
    assert "v1beta1.external.metrics.k8s.io: the authority is in its caBundle" in told
    mount(cluster.api, folder / "tls")
    with RunningAdapter(folder, cluster, own_prometheus.url) as started:
        started.connect(cluster.api)
        for group, versions in GROUPS.items():
            for version in versions:
                eventually(lambda g=group, v=version: available(cluster.api, g, v), within=120)
        yield started
        for group, versions in GROUPS.items():
            for version in versions:
                cluster.api.delete(f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{group}")
