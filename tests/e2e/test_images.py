"""No image is published: manifests that do not name yours are refused when they are applied."""

from __future__ import annotations

import pytest
from kubernetes.client import ApiException

from tests.deploy.kustomize import of_kind
from tests.e2e.adapter import COMPONENTS, HOME, manifests
from tests.e2e.test_deploy import with_image
from tests.servers.api import APPLY, path_of

pytestmark = pytest.mark.e2e

OVERLAYS = ["overlays/dry-run", "overlays/generic-prometheus", "overlays/gke-managed-prometheus"]


def images(documents):
    templates = [one["spec"]["template"] for one in documents if one["kind"] in ("Deployment", "Job")]
    return [container["image"] for one in templates for container in one["spec"]["containers"]]


@pytest.mark.parametrize("folder", [*OVERLAYS, "base", "examples/batch"])
def test_what_is_shipped_names_no_image(folder):
    assert images(of_kind(folder, "Deployment", "Job")) == [""]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_patch_names_the_image_of_all(tmp_path, overlay):
    assert images(of_kind(with_image(tmp_path, overlay), "Deployment")) == ["example/mine:1"]


def test_the_adapters_components_name_none_either(tmp_path):
    assert images(manifests(tmp_path.resolve(), *COMPONENTS)) == ["", "", ""]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_api_server_refuses_what_names_none(cluster, tmp_path, overlay):
    """The composed one looks at no pod templates."""
    if cluster.plane is not None:
        pytest.skip("needs a cluster of your own: say KUBECONFIG")
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}})

    def tried(folder):
        for deployment in of_kind(folder, "Deployment"):
            path = f"{path_of(deployment)}?fieldManager=tests&force=true&dryRun=All"
            cluster.api.patch(path, deployment, APPLY)

    with pytest.raises(ApiException, match="image: Required value"):
        tried(overlay)
    tried(with_image(tmp_path, overlay))
