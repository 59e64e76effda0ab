"""Connections: whose certificate is good enough, and what changes without a restart."""

import asyncio
import ssl
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from autoscaler.adapter.server import SaysWhy
from autoscaler.ports.identity import AuthenticationConfig
from tests.adapter.test_authorizer import CLUSTER, FRONT, TRUST

from .authority import Authority
from .running import running
from .test_app import DECLARED, V2, get, judge
from .world import Trusted

PROXY = FRONT.client("front-proxy-client")


@pytest.fixture
async def world(tmp_path):
    async with running(tmp_path, DECLARED, judge(), Trusted(TRUST)) as world:
        yield world


async def spoken(world, client=None, change=None):
    """What the server says on a connection with a client certificate: an answer, or an alert."""

    def prepare(context):
        if change is not None:
            change(context)
        if client is not None:
            context.load_cert_chain(*client.write(world.folder, "spoken"))

    said = await asyncio.to_thread(speak, world, LIVEZ, prepare)
    return said.splitlines()[0]


LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def speak(world, sent, prepare=lambda _: None):
    """All that is answered until the end of the connection, or the alert."""
    said = b""
    try:
        with world.secured(prepare) as tls:
            tls.sendall(sent)
            while more := tls.recv(65536):
                said += more
    except ssl.SSLError as error:
        return error.reason
    return said.decode()


def only(version):
    def change(context):
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version

    return change


OK = "HTTP/1.1 200 OK"


async def test_good_certificates_and_none_are_welcome(world):
    for client in (None, PROXY, CLUSTER.client("alice")):
        assert await spoken(world, client) == OK


async def test_an_untrusted_or_expired_client_certificate_ends_in_an_alert(world):
    stranger = Authority("stranger").client("front-proxy-client")
    assert await spoken(world, stranger) == "TLSV1_ALERT_UNKNOWN_CA"
    assert await spoken(world, FRONT.client("x", hours=-1)) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


async def test_a_chain_through_an_intermediate_is_welcome_and_one_through_a_leaf_is_not(world):
    middle = Authority("front-proxy-2026", FRONT)
    async with world.session(middle.client("front-proxy-client"), **{"X-Remote-User": "hpa"}) as session:
        assert (await get(session, V2))[0] == 200
    async with world.session(Authority("cluster-2026", CLUSTER).client("hpa")) as session:
        assert (await get(session, V2))[0] == 200
    leaf = Authority("front-proxy-client", FRONT, ca=False)
    assert await spoken(world, leaf.client("front-proxy-client")) == "TLSV1_ALERT_UNKNOWN_CA"
    old = Authority("front-proxy-2020", FRONT, days=-1)
    assert await spoken(world, old.client("front-proxy-client")) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_2_is_the_oldest_that_is_spoken(world):
    assert await spoken(world, change=only(ssl.TLSVersion.TLSv1_2)) == OK
    assert await spoken(world, change=only(ssl.TLSVersion.TLSv1_3)) == OK
    assert await spoken(world, change=only(ssl.TLSVersion.TLSv1_1)) == "TLSV1_ALERT_PROTOCOL_VERSION"


async def test_a_renewed_certificate_is_served_without_a_restart(world):
    assert await spoken(world) == OK
    world.issue()
    assert await spoken(world) == OK


async def test_a_broken_certificate_file_leaves_the_one_in_use(world):
    (world.folder / "tls.crt").write_text("nonsense")
    assert await spoken(world) == OK


async def test_a_rotated_authority_counts_at_the_next_handshake(world):
    fresh = Authority("front-proxy-2")
    world.trusted.now = replace(TRUST, requestheader_ca=fresh.pem)
    async with world.session(fresh.client("front-proxy-client"), **{"X-Remote-User": "hpa"}) as session:
        assert (await get(session, V2))[0] == 200
    assert await spoken(world, PROXY) == "TLSV1_ALERT_UNKNOWN_CA"


BROKEN = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("bundle", [BROKEN, FRONT.pem + BROKEN, BROKEN + FRONT.pem])
async def test_authorities_that_cannot_be_used_leave_those_in_use_for_handshakes_and_requests(
    world, bundle, caplog
):
    world.trusted.now = replace(TRUST, requestheader_ca=bundle)
    for _ in range(3):
        async with world.session(PROXY, **{"X-Remote-User": "hpa"}) as session:
            assert (await get(session, V2))[0] == 200
        async with world.session(CLUSTER.client("hpa")) as session:
            assert (await get(session, V2))[0] == 200
    assert caplog.text.count("the new ones cannot be used") == 1
    assert unusable(world) == 1
    world.trusted.now = TRUST
    assert await spoken(world, PROXY) == OK
    assert unusable(world) == 0


def unusable(world):
    name = "vllm_autoscaler_adapter_newest_unusable"
    return world.telemetry.registry.get_sample_value(name, {"what": "Certificates"})


async def test_a_client_without_a_server_name_gets_the_newest_certificate_too(world):
    world.issue()
    context = ssl.create_default_context(cadata=world.keys.ca_crt)
    context.check_hostname = False
    _, writer = await asyncio.open_connection(
        "127.0.0.1", urlsplit(world.url).port, ssl=context, server_hostname=""
    )
    writer.close()


async def test_a_client_certificate_names_its_user(world):
    async with world.session(CLUSTER.client("hpa")) as session:
        assert (await get(session, V2))[0] == 200
    async with world.session(CLUSTER.client("somebody")) as session:
        assert (await get(session, V2))[0] == 403


async def test_without_any_authority_every_client_certificate_is_refused(tmp_path):
    async with running(tmp_path, DECLARED, judge(), Trusted(AuthenticationConfig())) as world:
        assert await spoken(world, PROXY) == "TLSV1_ALERT_UNKNOWN_CA"


class OtherAsyncio:
    """A protocol of an asyncio without the private names."""


class WithoutFlush:
    """A protocol of an asyncio that has one of the names, with another signature."""

    def __init__(self):
        self.completed = []

    def _on_handshake_complete(self, *outcome):
        self.completed.append(outcome)


def test_without_asyncios_private_names_a_failed_handshake_ends_without_an_alert():
    class Bare(SaysWhy, OtherAsyncio):
        pass

    class Partly(SaysWhy, WithoutFlush):
        pass

    Bare()._on_handshake_complete(ConnectionResetError())
    partly = Partly()
    partly._on_handshake_complete(None, "verified")
    assert partly.completed == [(None, "verified")]
