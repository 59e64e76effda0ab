"""The components of the serving examples combine, also those that no overlay has put together."""

import os
from itertools import product
from pathlib import Path

import pytest
import yaml

from tests.deploy.kustomize import DEPLOY, of_kind, pod_templates

pytestmark = pytest.mark.e2e

EXAMPLES = DEPLOY / "examples" / "vllm"
ALTERNATIVES = ("model", "accelerator", "weights")
OPTIONS = ("tensor-parallel", "image", "monitoring", "scaling")
SETTINGS = {
    "WEIGHTS_BUCKET": "my-bucket",
    "PROJECT": "my-project",
    "ZONE": "europe-west4-a",
    "WEIGHTS_DISK": "weights-v1",
    "FILESTORE_IP": "10.0.0.2",
    "FILESTORE_SHARE": "/weights",
    "NODE_POOL": "gpus",
}


def components(group: str) -> list[str]:
    return sorted(
        f"{group}/{path.parent.name}"
        for path in (EXAMPLES / "components" / group).glob("*/kustomization.yaml")
    )


def combined(folder: Path, chosen: list[str]) -> Path:
    """An overlay as a user would write it, outside the repository's own."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "llm",
        "resources": [os.path.relpath(EXAMPLES / "server", folder)],
        "components": [os.path.relpath(EXAMPLES / "components" / name, folder) for name in chosen],
        "configMapGenerator": [
            {
                "name": "vllm-settings",
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in SETTINGS.items()],
            }
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def test_the_examples_are_where_this_looks():
    assert all(components(group) for group in (*ALTERNATIVES, *OPTIONS))


@pytest.mark.parametrize(("model", "accelerator", "weights"), [*product(*map(components, ALTERNATIVES))])
def test_every_model_on_every_accelerator_from_every_storage(model, accelerator, weights, tmp_path):
    folder = combined(tmp_path.resolve(), [model, accelerator, weights])
    (deployment,) = of_kind(folder, "Deployment")
    (template,) = pod_templates(deployment)
    (container,) = (one for one in template["spec"]["containers"] if one["name"] == "vllm")
    assert "cloud.google.com/gke-accelerator" in template["spec"]["nodeSelector"]
    assert "/weights" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["resources"]["limits"].keys() >= {"nvidia.com/gpu", "memory"}


@pytest.mark.parametrize("option", [name for group in OPTIONS for name in components(group)])
def test_every_option_goes_with_the_rest(option, tmp_path):
    chosen = ["model/gemma-2-9b-it", "accelerator/l4", "weights/gcsfuse", option]
    assert of_kind(combined(tmp_path.resolve(), chosen), "Deployment")
