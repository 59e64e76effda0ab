"""The base fits together, and fits the command that it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from autoscaler.cli.commands.run import STOP_SECONDS, run
from autoscaler.controller.watchdog import GIVE_UP_SECONDS, SAY_SECONDS
from autoscaler.kube.client.api import WRITE_TIMEOUT_SECONDS
from autoscaler.kube.client.lease import MARGIN_SECONDS

BASE = Path(__file__).resolve().parents[2] / "deploy" / "base"


def documents(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((BASE / file).read_text()))


DEPLOYMENT = documents("deployment.yaml")[0]
POD = DEPLOYMENT["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]


def options() -> dict[str, Any]:
    """What `autoscale run` makes of the container's arguments."""
    command, *args = CONTAINER["args"]
    assert command == "run"
    return run.make_context("run", args).params


def test_every_file_is_part_of_the_base():
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in BASE.glob("*.yaml")} - set(listed) == {"kustomization.yaml"}


def test_the_arguments_are_those_of_the_command():
    assert options()["prometheus_url"] == "$(PROMETHEUS_URL)"
    assert "PROMETHEUS_URL" in {variable["name"] for variable in CONTAINER["env"]}


def test_telemetry_is_where_probes_and_service_look():
    (port,) = CONTAINER["ports"]
    assert (port["name"], port["containerPort"]) == ("metrics", options()["metrics_port"])
    (service,) = documents("service.yaml")
    assert service["spec"]["ports"][0]["targetPort"] == "metrics"
    probes = {kind: CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }


@pytest.mark.parametrize("file", ["service.yaml", "disruption-budget.yaml"])
def test_its_pods_are_found(file):
    (found,) = documents(file)
    selector = found["spec"]["selector"]
    assert selector.get("matchLabels", selector) == POD["metadata"]["labels"]


def test_one_replica_may_always_go():
    (budget,) = documents("disruption-budget.yaml")
    assert budget["spec"]["minAvailable"] == DEPLOYMENT["spec"]["replicas"] - 1


def test_the_lease_that_it_may_write_is_the_one_that_it_takes():
    role = documents("lease-role.yaml")[0]
    (names,) = [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule]
    assert names == [options()["lease_name"]]


def test_the_rights_are_given_to_the_account_that_it_runs_as():
    account = documents("service-account.yaml")[0]["metadata"]["name"]
    assert POD["spec"]["serviceAccountName"] == account
    for file in ("cluster-role.yaml", "lease-role.yaml"):
        (subject,) = documents(file)[1]["subjects"]
        assert (subject["name"], subject["namespace"]) == (account, "vllm-autoscaler")


def test_no_rule_grants_everything():
    for file in ("cluster-role.yaml", "lease-role.yaml"):
        for rule in documents(file)[0]["rules"]:
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]


def test_the_process_has_ended_before_the_kubelet_kills_it() -> None:
    longest = STOP_SECONDS + 3 * SAY_SECONDS + GIVE_UP_SECONDS
    assert longest < POD["spec"]["terminationGracePeriodSeconds"]
    assert GIVE_UP_SECONDS > WRITE_TIMEOUT_SECONDS + MARGIN_SECONDS + WRITE_TIMEOUT_SECONDS
