"""Logging in to a Prometheus: tokens and passwords that rotate, certificates on both sides."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from autoscaler.metrics.sources.factory import open_source
from autoscaler.ports.metrics import PromqlQuestion
from autoscaler.settings import MetricSettings
from tests.servers.certificates import Authority
from tests.servers.managed_prometheus import ManagedPrometheus

QUESTIONS = (PromqlQuestion("up"), PromqlQuestion("down"))


@pytest.fixture
def server() -> Iterator[ManagedPrometheus]:
    with ManagedPrometheus() as proxy:
        yield proxy


def error(server: ManagedPrometheus, **settings: Any) -> str | None:
    """What the first question ends with, asked with these settings."""
    with closing(open_source(MetricSettings(server.url, **settings))) as source:
        return source.answers(QUESTIONS[:1], [])[QUESTIONS[0]].error


def test_without_any_login_nothing_is_sent(server):
    assert error(server) is None
    assert server.authorizations == [""]


def test_a_token_is_read_again_for_each_query(server, tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    server.tokens = {"first"}
    with closing(open_source(MetricSettings(server.url, token_file=file))) as source:
        assert source.answers(QUESTIONS[:1], [])[QUESTIONS[0]].error is None
        file.write_text("second\n")
        server.tokens = {"second"}
        assert source.answers(QUESTIONS[1:], [])[QUESTIONS[1]].error is None


def test_a_wrong_token_is_told(server, tmp_path):
    (tmp_path / "token").write_text("old")
    server.tokens = {"new"}
    told = error(server, token_file=tmp_path / "token")
    assert told == "HTTP 401, UNAUTHENTICATED: Request had invalid authentication credentials."


def test_a_token_that_cannot_be_read_is_told(server, tmp_path):
    assert error(server, token_file=tmp_path / "token") == f"{tmp_path / 'token'}: No such file or directory"


def test_a_password_is_the_files(server, tmp_path):
    (tmp_path / "password").write_text("open: sesame\n")
    error(server, username="me", password_file=tmp_path / "password")
    assert server.authorizations == [f"Basic {b64encode(b'me:open: sesame').decode()}"]


# TLS


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


def serving(authority: Authority, asks_for_certificate: bool = False) -> ManagedPrometheus:
    pair = authority.issue("server", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.certificate)
    return ManagedPrometheus(tls=context)


def test_a_server_is_trusted_by_the_authority_that_is_given_and_no_other(authority):
    with serving(authority) as server:
        assert error(server, ca_file=authority.certificate) is None
        assert "certificate verify failed" in str(error(server))


def test_a_server_that_asks_for_a_certificate_is_shown_one(authority):
    ours = authority.issue("client")
    with serving(authority, asks_for_certificate=True) as server:
        shown = {"cert_file": ours.certificate, "key_file": ours.key}
        assert error(server, ca_file=authority.certificate, **shown) is None
        assert error(server, ca_file=authority.certificate, deadline_seconds=0.5) is not None
