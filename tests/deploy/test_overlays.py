"""The overlays: what each changes about the base, and that its command takes what it is given."""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.cli.commands.run import run
from tests.deploy.kustomize import Object, objects, of_kind

pytestmark = pytest.mark.e2e

OVERLAYS = ["overlays/dry-run", "overlays/generic-prometheus", "overlays/gke-managed-prometheus"]


def container(folder: str) -> Object:
    (deployment,) = of_kind(folder, "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return found


def options(folder: str) -> dict[str, Any]:
    command, *args = container(folder)["args"]
    assert command == "run"
    return run.make_context("run", args).params


def granted(folder: str) -> set[tuple[str, str]]:
    """Verb and resource of every rule."""
    return {
        (verb, resource)
        for role in of_kind(folder, "ClusterRole", "Role")
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_command_takes_its_arguments_and_each_variable_is_set(folder):
    given = {variable["name"] for variable in container(folder).get("env", ())}
    for source in container(folder).get("envFrom", ()):
        (settings,) = (
            one
            for one in of_kind(folder, "ConfigMap")
            if one["metadata"]["name"] == source["configMapRef"]["name"]
        )
        given |= settings["data"].keys()
    for value in options(folder).values():
        if isinstance(value, str) and value.startswith("$("):
            assert value[2:-1] in given


def test_a_dry_run_writes_no_scale_and_has_no_right_to():
    assert options("overlays/dry-run")["dry_run"]
    assert not options("overlays/gke-managed-prometheus")["dry_run"]
    more = granted("overlays/gke-managed-prometheus") - granted("overlays/dry-run")
    assert {verb for verb, _ in more} == {"patch"}
    assert {resource for _, resource in more} == {
        "deployments/scale",
        "statefulsets/scale",
        "leaderworkersets/scale",
    }


def test_going_live_after_a_dry_run_changes_nothing_else():
    def rest(folder: str) -> list[Object]:
        return [one for one in objects(folder) if one["kind"] not in ("Deployment", "ClusterRole")]

    assert rest("overlays/dry-run") == rest("overlays/gke-managed-prometheus")


def test_the_network_policy_lets_the_prometheus_through_that_the_overlay_names():
    """A service's port is not looked at: policies see that of the pods, here the same."""
    (policy,) = of_kind("overlays/generic-prometheus", "NetworkPolicy")
    url = next(
        one["value"]
        for one in container("overlays/generic-prometheus")["env"]
        if one["name"] == "PROMETHEUS_URL"
    )
    _, _, port = url.rpartition(":")
    assert int(port) in {entry["port"] for rule in policy["spec"]["egress"] for entry in rule["ports"]}
    namespace = url.rpartition(":")[0].rpartition(".")[2]
    (scraper,) = policy["spec"]["ingress"][0]["from"]
    assert scraper["namespaceSelector"]["matchExpressions"][0]["values"] == [namespace]
