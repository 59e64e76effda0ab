"""Who may talk to whom: the policies are those of the table in docs/security.md, and each pod has one."""

import re

import pytest

from tests.deploy.kustomize import DEPLOY
from tests.e2e.adapter import COMPONENTS, manifests

DENY = "vllm-autoscaler-default-deny"
ROWS = {
    "vllm-autoscaler": "controller, with `network-policy`",
    "vllm-autoscaler-adapter": "adapter",
    "vllm-autoscaler-certs": "certs",
}


@pytest.fixture
def documents(tmp_path):
    return manifests(tmp_path.resolve(), *COMPONENTS, "network-policy", "network-default-deny")


def table():
    """Row by row of docs/security.md: pods -> (in, out)."""
    page = (DEPLOY.parent / "docs" / "security.md").read_text()
    lines = re.search(r"^\| pods \|.*\n\|.*\n((?:\|.*\n)+)", page, re.MULTILINE).group(1).splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {pods: (inward, outward) for pods, inward, outward in cells}


def ports(rule):
    """As the table writes them: a port has its protocol where it is a number."""
    names = [
        f"{one['port']}/{one.get('protocol', 'TCP')}" if isinstance(one["port"], int) else one["port"]
        for one in rule["ports"]
    ]
    return ", ".join(names)


def peers(rule, word):
    if not (given := rule.get(word)):
        return f"{word} anywhere"
    named = []
    for peer in given:
        if "ipBlock" in peer:
            named.append(peer["ipBlock"]["cidr"])
        elif peer["namespaceSelector"] == {}:
            named.append("any namespace")
        else:
            (one,) = peer["namespaceSelector"]["matchExpressions"]
            assert (one["key"], one["operator"]) == ("kubernetes.io/metadata.name", "In")
            named += one["values"]
    return f"{word} {' or '.join(named)}"


def written(rules, word):
    return "; ".join(f"{ports(rule)} {peers(rule, word)}" for rule in rules) or "nothing"


def policies(documents):
    return {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "NetworkPolicy"}


def test_every_policy_is_a_row_of_the_table_and_every_row_a_policy(documents):
    found = policies(documents)
    assert set(found) == {*ROWS, DENY}
    said = table()
    assert len(said) == len(found)
    for name, row in ROWS.items():
        assert set(found[name]["policyTypes"]) == {"Ingress", "Egress"}
        inward, outward = found[name].get("ingress", ()), found[name].get("egress", ())
        assert (written(inward, "from"), written(outward, "to")) == said[row], name


def test_what_is_not_allowed_is_refused_for_every_pod_of_the_namespace(documents):
    assert policies(documents)[DENY] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_pod_of_ours_is_allowed_something(documents):
    chosen = [spec["podSelector"] for spec in policies(documents).values()]
    selectors = [selector["matchLabels"] for selector in chosen if selector]
    for one in documents:
        if one["kind"] == "Deployment":
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert sum(selector.items() <= labels.items() for selector in selectors) == 1


def test_all_of_them_are_in_our_namespace(documents):
    assert {one["metadata"]["namespace"] for one in documents if one["kind"] == "NetworkPolicy"} == {
        "vllm-autoscaler"
    }
