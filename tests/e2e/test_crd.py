"""The CRD in a real API server: what it refuses, fills in and shows, next to what the loader does."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiException

from autoscaler.api.crd import custom_resource_definition
from autoscaler.documents.library import library_names, library_path
from autoscaler.documents.policies import load_policy_object, load_policy_text
from autoscaler.documents.yaml_source import read_documents
from autoscaler.errors import PolicyError
from tests.api.build import VALID
from tests.documents.broken import WRONG_LINES, WRONG_METRICS, with_spec
from tests.e2e.kube_world import install_policies
from tests.servers.api import Api

pytestmark = pytest.mark.e2e

POLICIES = "/apis/vllm-autoscaler.io/v1alpha1/namespaces/default/scalingpolicies"
STRICT = "?dryRun=All&fieldValidation=Strict"

NO_JSON = {".nan", ".inf"}
"""Numbers that cannot even be sent."""
LENIENT = {
    "minReplicas:": "a field without a value counts as absent, and gets its default",
    "0 25 * * *": "a schedule's cron expression is not parsed",
    "Europe/Berln": "nor are the names of time zones known",
}
"""What the API server lets pass and the loader does not; the controller then refuses the policy."""


@pytest.fixture(scope="module")
def api(cluster) -> Api:
    api = cluster.api
    install_policies(api)
    return api


def sent(text: str) -> dict[str, Any]:
    """A policy as kubectl would send it."""
    (document,), _ = read_documents(text, "p.yaml")
    return {**document.data, "metadata": {"name": "chat", "namespace": "default"}}


def refusal(api: Api, text: str) -> str | None:
    """What the API server says against a policy; None where it takes it."""
    try:
        api.post(POLICIES + STRICT, sent(text))
    except ApiException as error:
        if error.status not in (400, 422):
            raise
        return str(json.loads(str(error.body))["message"])
    return None


def is_lenient(text: str) -> bool:
    return any(f"{part}\n" in text or f" {part}," in text for part in LENIENT)


def wrong_policies() -> list[str]:
    lines = [f"{VALID}  {line}\n" for line, _ in WRONG_LINES]
    metrics = [with_spec(f"maxReplicas: 10\nmetrics:\n- {metric}") for metric, _ in WRONG_METRICS]
    return [text for text in lines + metrics if not any(number in text for number in NO_JSON)]


def test_the_definition_is_accepted_as_it_is(api):
    found = api.get(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scalingpolicies.vllm-autoscaler.io"
    )
    conditions = {one["type"]: one for one in found["status"]["conditions"]}
    assert conditions["Established"]["status"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("text", [text for text in wrong_policies() if not is_lenient(text)])
def test_it_refuses_what_the_loader_refuses(api, text):
    with pytest.raises(PolicyError):
        load_policy_text(text, "p.yaml")
    assert refusal(api, text)


@pytest.mark.parametrize("text", [text for text in wrong_policies() if is_lenient(text)])
def test_what_it_cannot_know_it_lets_pass(api, text):
    assert refusal(api, text) is None


def test_the_exceptions_are_these_and_no_more():
    assert sum(map(is_lenient, wrong_policies())) == len(LENIENT)


@pytest.mark.parametrize("name", library_names())
def test_it_takes_every_policy_that_ships(api, name):
    assert refusal(api, library_path(name).read_text(encoding="utf-8")) is None


@pytest.mark.parametrize("quantity", ["32", '"1.5"', '"850m"', "2k", '"1e3"', '"1.5Gi"', "+3", ".5", "5e-1"])
def test_it_takes_quantities_as_kubernetes_writes_them(api, quantity):
    text = VALID.replace("averageValue: 32", f"averageValue: {quantity}")
    load_policy_text(text, "p.yaml")
    document = sent(text)
    target = document["spec"]["metrics"][0]["target"]
    if isinstance(target["averageValue"], float):
        target["averageValue"] = str(target["averageValue"])  # only text may have a fraction there
    api.post(POLICIES + STRICT, document)


def test_a_policy_with_many_long_queries_is_not_too_expensive_to_check(api):
    target = "{type: AverageValue, averageValue: 1}"
    metrics = "".join(
        f"  - name: {number:a>63}\n    query: {'x' * 8000}\n    target: {target}\n" for number in range(32)
    )
    text = VALID[: VALID.index("  metrics:")] + "  metrics:\n" + metrics
    load_policy_text(text, "p.yaml")
    assert refusal(api, text) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "maxReplicas: 10",
            "maxReplicas: 1\n  minReplicas: 2",
            "spec.minReplicas: Invalid value: must be at most maxReplicas",
        ),
        ("type: PodsAverage", "type: Value", "value is missing: type Value takes value"),
        ("averageValue: 32", "averageValue: 0", "should be greater than 0"),
        ("averageValue: 32", 'averageValue: "-5m"', "must be above 0"),
        ("averageValue: 32", 'averageValue: "many"', "should match"),
    ],
)
def test_its_messages_name_the_field_and_what_would_be_right(api, old, new, message):
    assert message in (refusal(api, VALID.replace(old, new)) or "")


def test_stored_policies_have_their_defaults_and_still_load(api):
    made = api.post(f"{POLICIES}?dryRun=All", sent(VALID))
    assert (made["spec"]["minReplicas"], made["spec"]["mode"]) == (1, "Active")
    written = {key: made[key] for key in ("apiVersion", "kind", "spec")}
    loaded = load_policy_object({**written, "metadata": {"name": "chat"}}, "chat")
    (same,) = load_policy_text(VALID, "p.yaml")
    assert loaded.spec == same.policy.spec


def test_kubectl_get_shows_the_state_of_a_policy(api):
    api.post(POLICIES, sent(VALID))
    try:
        status = {
            "mode": "Active",
            "currentReplicas": 2,
            "desiredReplicas": 3,
            "lastDecision": {"reason": "ScaleUpLimit", "time": "2026-03-01T08:30:00Z"},
        }
        api.patch(f"{POLICIES}/chat/status", {"status": full(status)})
        assert row(api) == {
            "Name": "chat",
            "Target": "vllm",
            "Min": 1,
            "Max": 10,
            "Current": 2,
            "Desired": 3,
            "Mode": "Active",
            "Reason": "ScaleUpLimit",
        }
    finally:
        api.delete(f"{POLICIES}/chat")


def full(status: dict[str, Any]) -> dict[str, Any]:
    """With what else a last decision must have."""
    decision = {"currentReplicas": 2, "desiredReplicas": 3, "action": "Held", **status["lastDecision"]}
    return {**status, "lastDecision": decision}


def row(api: Api) -> dict[str, Any]:
    """The line that ``kubectl get`` prints, without the age."""
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    call = api.client.param_serialize("GET", POLICIES, None, [], headers, auth_settings=["BearerToken"])
    table = json.loads(api.client.call_api(*call).read())
    cells = zip(table["columnDefinitions"], table["rows"][0]["cells"], strict=True)
    shown = {column["name"]: cell for column, cell in cells if not column["priority"]}
    assert shown.pop("Age")
    return shown


def test_the_definition_can_be_applied_again(api):
    api.apply(yaml.safe_load(yaml.safe_dump(custom_resource_definition())))
