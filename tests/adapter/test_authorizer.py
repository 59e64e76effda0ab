"""Who passes: the order of identities, what is stripped, and what is remembered."""

import asyncio
from dataclasses import replace

import pytest

from autoscaler.adapter.authentication import UnauthorizedError
from autoscaler.adapter.authorizer import Authorizer, ForbiddenError
from autoscaler.errors import ClusterError
from autoscaler.ports.identity import Access, AuthenticationConfig, User
from tests.adapter.authority import Authority
from tests.adapter.world import Judge, Trusted

CLUSTER, FRONT = Authority("cluster"), Authority("front-proxy")
TRUST = AuthenticationConfig(
    client_ca=CLUSTER.pem,
    requestheader_ca=FRONT.pem,
    allowed_names=("front-proxy-client",),
    username_headers=("X-Remote-User",),
    group_headers=("X-Remote-Group",),
    uid_headers=("X-Remote-Uid",),
    extra_prefixes=("X-Remote-Extra-",),
)
PROXY = FRONT.client("front-proxy-client").chain
HPA = User("system:serviceaccount:kube-system:horizontal-pod-autoscaler", ("system:serviceaccounts",), "u1")
READ = Access("get", "custom.metrics.k8s.io", "v1beta2", "chat", "pods", "waiting", "*")
REMOTE = [("X-Remote-User", HPA.name), ("X-Remote-Group", "a"), ("X-Remote-Group", "b")]
BEARER = [("Authorization", "Bearer t0")]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def judge():
    return Judge(tokens={"t0": HPA}, may=lambda _user, _access: True)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(judge, clock):
    return Authorizer(judge, Trusted(TRUST), clock)


async def test_the_front_proxy_speaks_for_others(gate):
    headers = [*REMOTE, ("x-remote-uid", "7"), ("X-Remote-Extra-Scopes%2fX", "one")]
    user = await gate.authorize(headers, PROXY, READ)
    groups = ("a", "b", "system:authenticated")
    assert user == User(HPA.name, groups, "7", (("scopes/x", ("one",)),))


async def test_a_request_of_the_aggregator_without_groups_is_of_somebody_who_is_known(gate, judge):
    judge.may = lambda user, _access: "system:authenticated" in user.groups
    headers = [("X-Remote-User", "system:kube-aggregator")]
    user = await gate.authorize(headers, PROXY, Access("get", path="/apis/custom.metrics.k8s.io/v1beta1"))
    assert user.groups == ("system:authenticated",)


async def test_masters_need_no_review(gate, judge):
    judge.may = lambda _user, _access: False
    headers = [("X-Remote-User", "system:kube-aggregator"), ("X-Remote-Group", "system:masters")]
    await gate.authorize(headers, PROXY, READ)
    assert judge.reviews == []


@pytest.mark.parametrize("chain", [(), FRONT.client("somebody-else").chain])
async def test_headers_without_the_front_proxys_certificate_are_no_identity(gate, judge, chain):
    judge.may = lambda user, _access: "system:unauthenticated" not in user.groups
    with pytest.raises(UnauthorizedError):
        await gate.authorize([*REMOTE, ("X-Remote-Group", "system:masters")], chain, READ)


async def test_headers_next_to_a_client_certificate_are_stripped(gate):
    chain = CLUSTER.client("alice", "dev").chain
    user = await gate.authorize([*REMOTE, ("X-Remote-Group", "system:masters")], chain, READ)
    assert user == User("alice", ("dev", "system:authenticated"))


async def test_headers_next_to_a_token_are_stripped(gate):
    user = await gate.authorize([*BEARER, ("X-Remote-User", "admin"), ("X-Remote-Group", "x")], (), READ)
    assert user == replace(HPA, groups=(*HPA.groups, "system:authenticated"))


async def test_without_allowed_names_every_certificate_of_the_front_proxy_speaks(judge):
    gate = Authorizer(judge, Trusted(replace(TRUST, allowed_names=())))
    user = await gate.authorize(REMOTE, FRONT.client("any").chain, READ)
    assert user.name == HPA.name


async def test_the_clients_authority_does_not_speak_for_others(gate):
    chain = CLUSTER.client("front-proxy-client").chain
    assert (await gate.authorize(REMOTE, chain, READ)).name == "front-proxy-client"


async def test_an_authority_that_was_rotated_out_is_believed_no_more(judge):
    trusted = Trusted(TRUST)
    gate = Authorizer(judge, trusted)
    await gate.authorize(REMOTE, PROXY, READ)
    fresh = Authority("front-proxy-2")
    trusted.now = replace(TRUST, requestheader_ca=fresh.pem)
    with pytest.raises(UnauthorizedError):
        await gate.authorize(REMOTE, PROXY, READ)
    assert await gate.authorize(REMOTE, fresh.client("front-proxy-client").chain, READ)


async def test_both_authorities_of_an_overlap_are_believed(judge):
    old, new = Authority("old"), Authority("new")
    gate = Authorizer(judge, Trusted(replace(TRUST, requestheader_ca=old.pem + new.pem)))
    for authority in (old, new):
        assert await gate.authorize(REMOTE, authority.client("front-proxy-client").chain, READ)


async def test_an_intermediate_speaks_for_the_authority_above_it(gate):
    middle = Authority("front-proxy-2026", FRONT)
    user = await gate.authorize(REMOTE, middle.client("front-proxy-client").chain, READ)
    assert user.name == HPA.name
    lower = Authority("front-proxy-2026-a", middle)
    assert (await gate.authorize(REMOTE, lower.client("front-proxy-client").chain, READ)).name == HPA.name
    clients = Authority("cluster-2026", CLUSTER)
    assert (await gate.authorize(REMOTE, clients.client("front-proxy-client").chain, READ)).name == (
        "front-proxy-client"
    )


async def test_the_same_certificate_with_another_chain_is_looked_at_again(gate):
    proxy = Authority("front-proxy-2026", FRONT).client("front-proxy-client")
    with pytest.raises(UnauthorizedError):
        await gate.authorize(REMOTE, proxy.chain[:1], READ)
    assert (await gate.authorize(REMOTE, proxy.chain, READ)).name == HPA.name


async def test_an_intermediate_that_has_expired_since_the_handshake_ends_what_it_issued(gate):
    old = Authority("front-proxy-2026", FRONT, days=-1)
    with pytest.raises(UnauthorizedError, match="expired"):
        await gate.authorize(REMOTE, old.client("front-proxy-client").chain, READ)


async def test_a_certificate_that_expired_since_the_handshake_is_refused(gate):
    with pytest.raises(UnauthorizedError, match="expired"):
        await gate.authorize([], CLUSTER.client("alice", hours=-1).chain, READ)


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer wrong")],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer " + "x" * 20_000)],
        [("Authorization", "Bearer t0"), ("Authorization", "Bearer t0")],
    ],
)
async def test_what_is_no_good_token_is_refused(gate, headers):
    with pytest.raises(UnauthorizedError):
        await gate.authorize(headers, (), READ)


async def test_who_may_not_is_told_so_in_kubernetes_words(gate, judge):
    judge.may = lambda _user, _access: False
    message = (
        f'User "{HPA.name}" cannot get resource "pods/waiting" in API group "custom.metrics.k8s.io" '
        'in the namespace "chat"'
    )
    with pytest.raises(ForbiddenError, match=message):
        await gate.authorize(BEARER, (), READ)
    with pytest.raises(ForbiddenError, match='cannot get path "/openapi/v2"'):
        await gate.authorize(BEARER, (), Access("get", path="/openapi/v2"))


async def test_nobody_in_particular_is_anonymous_and_may_what_anonymous_may(gate, judge):
    judge.may = lambda user, _access: user.name == "system:anonymous"
    assert (await gate.authorize([], (), READ)).groups == ("system:unauthenticated",)
    judge.may = lambda _user, _access: False
    with pytest.raises(UnauthorizedError):
        await gate.authorize([], (), replace(READ, namespace="other"))


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/pods"])
async def test_health_is_open(gate, judge, path):
    await gate.authorize([], (), Access("get", path=path))
    assert judge.reviews == []


@pytest.mark.parametrize("allowed", [True, False])
async def test_yes_and_no_are_remembered_for_ten_seconds(gate, judge, clock, allowed):
    judge.may = lambda _user, _access: allowed

    async def ask():
        try:
            await gate.authorize(BEARER, (), READ)
        except ForbiddenError:
            return False
        return True

    assert await asyncio.gather(*(ask() for _ in range(20))) == [allowed] * 20
    assert len(judge.reviews) == 2  # one of the token, one of the right
    clock.now = 9.9
    assert await ask() is allowed
    assert len(judge.reviews) == 2
    clock.now = 10.0
    assert await ask() is allowed
    assert len(judge.reviews) == 4


async def test_rights_are_not_mixed_up(gate, judge):
    judge.may = lambda user, access: access.namespace == "chat" and user.name == HPA.name
    await gate.authorize(BEARER, (), READ)
    with pytest.raises(ForbiddenError):
        await gate.authorize(BEARER, (), replace(READ, namespace="other"))
    judge.tokens["t1"] = User("bob")
    with pytest.raises(ForbiddenError):
        await gate.authorize([("Authorization", "Bearer t1")], (), READ)


async def test_a_review_is_tried_again(gate, judge):
    judge.failures = 1
    assert await gate.authorize(BEARER, (), READ)


async def test_without_an_answer_nobody_passes(judge, clock):
    judge.failures = 1000
    gate = Authorizer(judge, Trusted(TRUST), clock, first_pause_seconds=0.001)
    with pytest.raises(ClusterError):
        await gate.authorize(BEARER, (), READ)
    assert len(judge.reviews) == 5
