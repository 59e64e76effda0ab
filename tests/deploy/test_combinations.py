"""The components of the serving examples combine, also those that no overlay has put together."""

import os
from itertools import product
from pathlib import Path

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from tests.deploy.kustomize import DEPLOY, of_kind, pod_templates

pytestmark = pytest.mark.e2e

EXAMPLES = DEPLOY / "examples" / "vllm"
ALTERNATIVES = ("model", "accelerator", "weights")
OPTIONS = ("tensor-parallel", "image", "monitoring", "scaling")
SETTINGS = {
    "WEIGHTS_BUCKET": "my-bucket",
    "VLLM_IMAGE": "europe-west4-docker.pkg.dev/my-project/mirror/vllm-openai",
    "PROJECT": "my-project",
    "ZONE": "europe-west4-a",
    "WEIGHTS_DISK": "weights-v1",
    "FILESTORE_IP": "10.0.0.2",
    "FILESTORE_SHARE": "/weights",
    "NODE_POOL": "gpus",
}

WEIGHTS = {  # in bfloat16: two bytes a parameter
    "model/gemma-2-9b-it": 9.24e9 * 2,
    "model/llama-3.1-8b-instruct": 8.03e9 * 2,
    "model/llama-3.1-70b-instruct": 70.6e9 * 2,
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


def test_the_streamed_image_is_ones_own_in_the_version_of_the_server(tmp_path):
    chosen = ["model/gemma-2-9b-it", "accelerator/l4", "weights/filestore", "image/streaming"]
    (deployment,) = of_kind(combined(tmp_path.resolve(), chosen), "Deployment")
    (container,) = pod_templates(deployment)[0]["spec"]["containers"]
    (server,) = yaml.safe_load_all((EXAMPLES / "server" / "deployment.yaml").read_text())
    (shipped,) = server["spec"]["template"]["spec"]["containers"]
    assert container["image"] == shipped["image"].replace("vllm/vllm-openai", SETTINGS["VLLM_IMAGE"])


@pytest.mark.parametrize("model", components("model"))
def test_a_cache_of_the_weights_fits_and_evicts_nobody(model, tmp_path):
    """The kubelet evicts a pod whose emptyDirs are above the sum of its containers' limits."""
    chosen = [model, "accelerator/h100-80gb", "weights/gcsfuse"]
    (deployment,) = of_kind(combined(tmp_path.resolve(), chosen), "Deployment")
    (template,) = pod_templates(deployment)
    for container in template["spec"]["containers"]:
        assert "ephemeral-storage" not in container["resources"]["limits"]
    annotations = template["metadata"]["annotations"]
    assert annotations["gke-gcsfuse/ephemeral-storage-limit"] == "0"
    assert parse_quantity(annotations["gke-gcsfuse/ephemeral-storage-request"]) > WEIGHTS[model]


def test_settings_of_a_component_are_changed_by_a_kustomization_over_it(tmp_path):
    """As deploy/examples/README.md says; in the overlay itself the component's value would win."""
    resource = os.path.relpath(EXAMPLES / "overlays/gemma-2-9b-h100-gcsfuse", tmp_path.resolve())
    settings = {
        "name": "vllm-settings",
        "namespace": "llm",
        "behavior": "merge",
        "literals": ["MODEL=/weights/v2"],
    }
    kustomization = {"resources": [resource], "configMapGenerator": [settings]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (merged,) = of_kind(tmp_path, "ConfigMap")
    assert merged["data"]["MODEL"] == "/weights/v2"
    assert merged["data"]["MAX_MODEL_LEN"] == "8192"
    (container,) = pod_templates(of_kind(tmp_path, "Deployment")[0])[0]["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": merged["metadata"]["name"]}}]


@pytest.mark.parametrize("option", [name for group in OPTIONS for name in components(group)])
def test_every_option_goes_with_the_rest(option, tmp_path):
    chosen = ["model/gemma-2-9b-it", "accelerator/l4", "weights/gcsfuse", option]
    assert of_kind(combined(tmp_path.resolve(), chosen), "Deployment")
