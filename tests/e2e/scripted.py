"""Pods whose metrics a test dictates, for the faults that a real vLLM cannot show."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.api import JSON
from tests.servers.exporter import Exporter


def vllm(running: float | str = 0, waiting: float | str = 0, kv: float | str = 0.1) -> str:
    """What a vLLM says of its load; a value may be any text: NaN, or a value with a time of its own."""
    labels = '{engine="0",model_name="google/gemma-2-9b-it"}'
    values = {"num_requests_running": running, "num_requests_waiting": waiting, "kv_cache_usage_perc": kv}
    return "".join(
        f"# TYPE vllm:{name} gauge\nvllm:{name}{labels} {value}\n" for name, value in values.items()
    )


class ScriptedPod(Exporter):
    """One pod's endpoint."""

    def close(self) -> None:
        """The pod is gone."""
        self.__exit__(None, None, None)


class Script:
    """Gives each pod an endpoint that says ``says(name of the pod)``."""

    def __init__(self, says: Callable[[str], str]) -> None:
        self.says = says
        self.pods: dict[str, ScriptedPod] = {}

    def __call__(self, pod: JSON) -> ScriptedPod:
        """An endpoint for a pod that has got ready."""
        name = pod["metadata"]["name"]
        self.pods[name] = endpoint = ScriptedPod(self.says(name))
        endpoint.__enter__()
        return endpoint

    def change(self, says: Callable[[str], str]) -> None:
        """From now on all pods say this."""
        self.says = says
        for name, pod in self.pods.items():
            pod.text = says(name)
