"""`autoscale adapter` and `autoscale certs`, as far as their command lines go; the rest is end to end."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import requests

from autoscaler.adapter.certificates import Keys, utc_now, with_authority, with_certificate
from autoscaler.cli.commands.certs import certs, renew
from autoscaler.cli.main import main
from autoscaler.kube.api_services import ApiService, ServiceRef
from tests.servers.process import free_port

OURS = ServiceRef("home", "adapter")
NOWHERE = """
apiVersion: v1
kind: Config
clusters: [{name: x, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: x, user: {}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
current-context: x
"""
NAMES = ["adapter.home.svc", "adapter.home.svc.cluster.local"]


class Secret:
    """Keeps what was written, and forgets nothing; ``break_at``: the write that fails."""

    def __init__(self, data=None, break_at=None):
        self.data, self.writes, self.break_at = data or {}, [], break_at

    def read(self):
        return self.data

    def write(self, data):
        if len(self.writes) == self.break_at:
            raise ConnectionError
        self.data = data
        self.writes.append(data)


class Services:
    """All metrics APIs but one are ours; ``bundle`` is what the aggregator trusts."""

    def __init__(self, foreign=""):
        self.foreign, self.bundle, self.log = foreign, "", []

    def find(self, name):
        theirs = name == self.foreign
        service = ServiceRef("keda", "keda-operator-metrics-apiserver") if theirs else OURS
        return ApiService(name, service, "KEDA" if theirs else "ours", True, self.bundle, False, "1")

    def trust(self, found, ours, bundle):
        assert found.service == ours
        changed, self.bundle = self.bundle != bundle, bundle
        self.log.append(found.name)
        return changed


def test_a_first_run_makes_an_authority_makes_it_known_and_then_signs():
    secret, services = Secret(), Services(foreign="v1beta1.external.metrics.k8s.io")
    told = list(renew(secret, services, OURS, utc_now()))
    assert told == [
        "a new certificate authority",
        "v1beta1.custom.metrics.k8s.io: the authority is in its caBundle",
        "v1beta1.external.metrics.k8s.io: served by KEDA (keda/keda-operator-metrics-apiserver): left alone",
        "a new certificate for adapter.home.svc",
        "valid: adapter.home.svc",
    ]
    assert [bool(data["tls.crt"]) for data in secret.writes] == [False, True]
    assert services.bundle == secret.data["ca.crt"]


def test_a_second_run_changes_nothing():
    secret, services = Secret(), Services()
    list(renew(secret, services, OURS, utc_now()))
    before = len(secret.writes)
    assert list(renew(secret, services, OURS, utc_now())) == ["valid: adapter.home.svc"]
    assert len(secret.writes) == before


@pytest.mark.parametrize("break_at", [0, 1])
def test_a_run_that_broke_off_is_finished_by_the_next(break_at):
    now = utc_now()
    good = with_certificate(with_authority(Keys(), now), NAMES, now)
    broken = Keys("", good.ca_key, good.tls_crt, good.tls_key)  # the authority's certificate was lost
    secret, services = Secret(broken.as_secret(), break_at), Services()
    with pytest.raises(ConnectionError):
        list(renew(secret, services, OURS, now))
    secret.break_at = None
    list(renew(secret, services, OURS, now))
    keys = Keys.of_secret(secret.data)
    assert with_certificate(with_authority(keys, now), NAMES, now) == keys
    assert services.bundle == keys.ca_crt


@pytest.mark.parametrize(
    ("given", "pod", "found"),
    [
        ([], None, "vllm-autoscaler/vllm-autoscaler-adapter"),
        ([], "home", "home/vllm-autoscaler-adapter"),
        (["--service", "adapter"], "home", "home/adapter"),
        (["--service", "a/b"], "home", "a/b"),
    ],
)
def test_ours_is_the_service_next_to_this_pod_or_that_of_our_manifests(monkeypatch, given, pod, found):
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    if pod:
        monkeypatch.setenv("POD_NAMESPACE", pod)
    assert str(certs.make_context("certs", list(given)).params["service"]) == found


FILES = ["--tls-cert-file", __file__, "--tls-key-file", __file__]
WRONG = [
    (["adapter", *FILES], "no metrics: give --prometheus-url"),
    (["adapter", "--prometheus-url", "http://x"], "--tls-cert-file"),
    (["adapter", "--prometheus-url", "http://x", "--tls-cert-file", "/none"], "does not exist"),
    (["certs", "--service", "a/b/c"], "must have the form NAMESPACE/NAME"),
    (["certs", "--service", "/b"], "must have the form NAMESPACE/NAME"),
    (["certs", "--every", "0"], "--every"),
    (["certs", "--health-port", "8080"], "--health-port needs --every"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_wrong_command_line_says_what_is_wrong(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_without_a_cluster_there_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["certs", "--owners"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("no cluster to talk to")
    assert err.count("\n") == 1


def test_certs_that_look_again_and_again_end_well_when_they_are_told_to(tmp_path):
    """As the first process of a container they would be deaf to SIGTERM."""
    kubeconfig = tmp_path / "nowhere.kubeconfig"
    kubeconfig.write_text(NOWHERE)
    port = free_port()
    options = ["--every", "3600", "--health-port", str(port), "--kubeconfig", str(kubeconfig)]
    command = ["-m", "autoscaler", "certs", *options]
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "did not answer" in process.stderr.readline()
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).text == "ok\n"
        unready = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
        assert (unready.status_code, "did not answer" in unready.text) == (503, True)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
