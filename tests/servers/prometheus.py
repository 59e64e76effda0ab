r"""A real Prometheus for a test.

::

    with Exporter("vllm:num_requests_running 3\n") as pod, Prometheus(tmp_path) as prometheus:
        prometheus.scrape([{"targets": [pod.address], "labels": {"pod": "vllm-0"}}])
        eventually(lambda: prometheus.query("up == 1"))
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from tests.servers.cache import find_prometheus
from tests.servers.process import Server, free_port

JSON = dict[str, object]


class Prometheus(Server):
    """Scrapes what ``scrape`` says, or what ``scrape_configs`` (as in prometheus.yml) say.

    ``interval``: seconds between scrapes. ``targets``: the file that ``scrape`` writes; another process
    may write it instead, in the format of file_sd. Prometheus follows it within five seconds.
    Without Prometheus on this machine the test is skipped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        interval: float = 0.5,
        targets: Path | None = None,
        scrape_configs: Sequence[JSON] | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.targets = targets or folder / "targets.json"
        self._config = folder / "prometheus.yml"  # JSON is YAML
        self._config.write_text(json.dumps(self._configuration(interval, scrape_configs)))
        command: list[str | Path] = [
            find_prometheus(),
            f"--config.file={self._config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
            "--web.enable-admin-api",
            "--storage.tsdb.retention.time=1d",
            *flags,
        ]
        super().__init__(command, folder / "prometheus.log")

    def _configuration(self, interval: float, scrape_configs: Sequence[JSON] | None) -> JSON:
        pace = f"{round(interval * 1000)}ms"
        followed: JSON = {
            "job_name": "pods",
            "file_sd_configs": [{"files": [str(self.targets)], "refresh_interval": "1s"}],
        }
        return {
            "global": {"scrape_interval": pace, "scrape_timeout": pace, "evaluation_interval": pace},
            "scrape_configs": list(scrape_configs) if scrape_configs is not None else [followed],
        }

    def ready(self) -> bool:
        """True once queries are answered."""
        return requests.get(f"{self.url}/-/ready", timeout=1).ok

    def scrape(self, groups: Sequence[Mapping[str, object]]) -> None:
        """Replaces the targets: ``[{"targets": ["127.0.0.1:8000"], "labels": {"pod": "vllm-0"}}]``."""
        draft = self.targets.with_suffix(".draft")
        draft.write_text(json.dumps(list(groups)))
        draft.replace(self.targets)

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """An instant query's vector: labels and value."""
        response = requests.post(f"{self.url}/api/v1/query", {"query": promql}, timeout=10)
        response.raise_for_status()
        result = response.json()["data"]["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]
