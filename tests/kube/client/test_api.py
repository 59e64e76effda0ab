from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import ApiError, connect
from tests.kube.double import Call, Double

PODS = "/api/v1/namespaces/chat/pods"


def test_an_object_comes_back_as_plain_json(double: Double) -> None:
    double.on("GET", PODS, lambda call: call.json({"items": []}))
    assert double.api().get(PODS, {"limit": 5, "continue": "a b"}) == {"items": []}
    assert double.requests[0].query == {"limit": "5", "continue": "a b"}


def test_calls_carry_the_token_and_say_who_they_are(double: Double) -> None:
    double.on("GET", PODS, lambda call: call.json({}))
    double.api(token="s3cret").get(PODS)
    headers = double.requests[0].headers
    assert headers["Authorization"] == "bearer s3cret"
    assert headers["User-Agent"].startswith("vllm-autoscaler/")


def test_a_patch_has_its_type_and_our_field_manager(double: Double) -> None:
    double.on("PATCH", PODS, lambda call: call.json({}))
    double.api().patch(PODS, {"a": None})
    (request,) = double.requests
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert (request.body, request.query) == ({"a": None}, {"fieldManager": "vllm-autoscaler"})


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 429, 500, 503])
def test_a_refusal_says_what_the_server_said(double: Double, status: int) -> None:
    double.on("GET", PODS, lambda call: call.refuse(status, "Because", "of this", Retry_After="60"))
    with pytest.raises(ApiError, match="of this") as caught:
        double.api().get(PODS)
    assert (caught.value.status, caught.value.reason) == (status, "Because")
    assert caught.value.retry_after_seconds == 60


def test_a_read_that_is_put_off_is_asked_again(double: Double) -> None:
    """As one of objects whose definition has just been established."""
    refusals = iter(["storage is (re)initializing"] * 2)

    def answer(call: Call) -> None:
        message = next(refusals, None)
        if message:
            call.refuse(429, "TooManyRequests", message, Retry_After="0")
        else:
            call.json({"items": []})

    double.on("GET", PODS, answer)
    assert double.api().get(PODS) == {"items": []}
    assert len(double.requests) == 3


def test_a_read_that_is_put_off_for_ever_is_a_refusal(double: Double) -> None:
    double.on("GET", PODS, lambda call: call.refuse(429, "TooManyRequests", "busy", Retry_After="0"))
    with pytest.raises(ApiError, match="busy"):
        double.api(read_seconds=1.0).get(PODS)
    assert 1 < len(double.requests) < 12


def test_a_change_that_is_put_off_is_not_sent_again(double: Double) -> None:
    double.on("PATCH", PODS, lambda call: call.refuse(429, "TooManyRequests", "busy", Retry_After="0"))
    with pytest.raises(ApiError, match="busy"):
        double.api().patch(PODS, {})
    assert len(double.requests) == 1


def test_a_proxys_error_page_is_a_refusal_too(double: Double) -> None:
    double.on("GET", PODS, lambda call: call.text("<html>bad gateway</html>", 502))
    with pytest.raises(ApiError, match=f"GET {PODS}: HTTP 502"):
        double.api().get(PODS)


@pytest.mark.parametrize("body", ["<html>", "[1]", ""])
def test_an_answer_that_is_no_object_is_no_answer(double: Double, body: str) -> None:
    double.on("GET", PODS, lambda call: call.text(body))
    with pytest.raises(ClusterError, match=r"the answer is not (valid JSON|a JSON object)"):
        double.api().get(PODS)


def test_a_broken_connection_is_no_answer_and_nothing_is_sent_twice(double: Double) -> None:
    double.on("PATCH", PODS, Call.reset)
    with pytest.raises(ClusterError, match="did not answer"):
        double.api().patch(PODS, {})
    assert len(double.requests) == 1


def test_a_slow_server_is_given_up(double: Double) -> None:
    double.on("PATCH", PODS, double.until_over)
    with pytest.raises(ClusterError, match="did not answer"):
        double.api(write_seconds=0.2).patch(PODS, {})


def test_nobody_there_is_a_cluster_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        nowhere = Double(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ClusterError, match="did not answer"):
            nowhere.api().get(PODS)


# Watches


def event(kind: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"resourceVersion": str(version)}}}


def test_a_watch_yields_events_as_they_come(double: Double) -> None:
    def answer(call: Call) -> None:
        call.begin_stream()
        call.send(event("ADDED", 1), event("MODIFIED", 2))
        call.send(event("DELETED", 3))
        call.end_stream()

    double.on("GET", PODS, answer, watch=True)
    stream = double.api().watch(PODS, {"resourceVersion": "0"}, 5)
    assert [one["type"] for one in stream] == ["ADDED", "MODIFIED", "DELETED"]


def test_an_event_in_pieces_is_put_together(double: Double) -> None:
    text = (json.dumps(event("ADDED", 1)) + "\n").encode()

    def answer(call: Call) -> None:
        call.begin_stream()
        for byte in text:
            call.send_piece(bytes([byte]))
        call.end_stream()

    double.on("GET", PODS, answer, watch=True)
    assert list(double.api().watch(PODS, {}, 5)) == [event("ADDED", 1)]


def test_a_watch_that_breaks_off_is_an_error_after_what_it_told(double: Double) -> None:
    def answer(call: Call) -> None:
        call.begin_stream()
        call.send(event("ADDED", 1))
        call.reset()

    double.on("GET", PODS, answer, watch=True)
    events = iter(double.api().watch(PODS, {}, 5))
    assert next(events) == event("ADDED", 1)
    with pytest.raises(ClusterError, match="the watch broke"):
        next(events)


def test_a_silent_watch_is_broken(double: Double) -> None:
    def answer(call: Call) -> None:
        call.begin_stream()
        double.until_over(call)

    double.on("GET", PODS, answer, watch=True)
    with pytest.raises(ClusterError, match="the watch broke"):
        list(double.api().watch(PODS, {}, 0.2))


def test_a_watch_can_be_closed_while_somebody_waits_for_it(double: Double) -> None:
    def answer(call: Call) -> None:
        call.begin_stream()
        double.until_over(call)

    double.on("GET", PODS, answer, watch=True)
    stream = double.api().watch(PODS, {}, 20)

    def read() -> None:
        with pytest.raises(ClusterError):
            list(stream)

    reader = threading.Thread(target=read)
    reader.start()
    stream.close()
    reader.join(5)
    assert not reader.is_alive()


# Configuration


def kubeconfig(folder: Path, url: str) -> Path:
    path = folder / "config"
    contexts = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")]
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "one",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": "t0ken"}}],
                "contexts": contexts,
            }
        )
    )
    return path


def test_a_kubeconfig_says_where_and_who(double: Double, tmp_path: Path) -> None:
    double.on("GET", PODS, lambda call: call.json({}))
    connect(str(kubeconfig(tmp_path, double.url)), "two").get(PODS)
    assert double.requests[0].headers["Authorization"] == "Bearer t0ken"


@pytest.fixture
def in_a_pod(tmp_path, monkeypatch):
    """What the kubelet puts into a pod."""
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "ca.crt").write_text("a certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.mark.usefixtures("in_a_pod")
def test_in_a_pod_the_cluster_around_it_is_meant(tmp_path):
    assert connect().server == "https://10.0.0.1:443"
    assert connect(str(kubeconfig(tmp_path, "http://127.0.0.1:1"))).server == "http://127.0.0.1:1"


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="nowhere/config"):
        connect(str(tmp_path / "nowhere/config"))


def test_without_a_kubeconfig_it_is_said_where_one_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    with pytest.raises(ClusterError, match="no cluster to talk to: /nowhere/config: "):
        connect()
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere/config")
    with pytest.raises(ClusterError, match=r"~/\.kube/config \(--kubeconfig or \$KUBECONFIG name"):
        connect()


def test_a_kubeconfig_that_does_not_help_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no cluster to talk to"):
        connect(str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="three"):
        connect(str(kubeconfig(tmp_path, "http://127.0.0.1:1")), "three")
