"""The API machinery of Kubernetes on this machine: etcd, the composed API server, and kwok.

What it is made of and what is missing: tests/controlplane/README.md.
"""

from __future__ import annotations

import base64
import functools
import json
import secrets
import ssl
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import requests
import urllib3
import yaml

from tests.servers.api import Api
from tests.servers.api_proxy import ApiProxy
from tests.servers.certificates import Authority, Pair
from tests.servers.process import Server, free_port

BUILD = Path(__file__).parent.parent / "controlplane" / "build"
HERE = Path(__file__).parent
LOOPBACK = ("127.0.0.1", "localhost")
FRONT_PROXY = "front-proxy-client"


@functools.cache
def binaries() -> Path:
    """The folder that ``make controlplane`` filled; without it, the test is skipped."""
    where = subprocess.run([BUILD, "--where"], capture_output=True, text=True, check=True).stdout.strip()
    if not (Path(where) / "apiserver").exists():
        pytest.skip("the control plane of the tests is not built: `make controlplane` (needs Go)")
    return Path(where)


class Etcd(Server):
    """The storage of the API server; ``folder`` outlives a restart."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        peers = f"http://127.0.0.1:{free_port()}"
        command: list[str | Path] = [
            binaries() / "etcd",
            f"--data-dir={folder / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
            "--watch-progress-notify-interval=5s",
            "--log-level=warn",
        ]
        folder.mkdir(parents=True)
        super().__init__(command, folder / "etcd.log")

    def ready(self) -> bool:
        """True once it has a leader: itself."""
        return requests.get(f"{self.url}/health", timeout=1).json()["health"] == "true"

    def compact(self) -> None:
        """Forgets all history: a watch from an older resourceVersion has expired."""
        key = base64.b64encode(b"/").decode()
        seen = requests.post(f"{self.url}/v3/kv/range", json={"key": key}, timeout=10).json()
        revision = {"revision": seen["header"]["revision"], "physical": True}
        requests.post(f"{self.url}/v3/kv/compaction", json=revision, timeout=10).raise_for_status()


class ApiServer(Server):
    """The composed API server. ``audit``: the requests of service accounts, an event a line."""

    def __init__(self, folder: Path, etcd: Etcd, tokens: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.authority = Authority(folder / "pki", "kubernetes")
        self.front_proxy = Authority(folder / "front-proxy", "front-proxy")
        self.admin = self.authority.issue("admin", ("system:masters",))
        self._watch_cache = True
        serving = self.authority.issue("apiserver", hosts=LOOPBACK)
        proxy = self.front_proxy.issue(FRONT_PROXY)
        self.audit = folder / "audit.jsonl"
        csv = folder / "tokens.csv"
        csv.write_text("".join(f"{token},{user},{user}\n" for user, token in tokens.items()))
        command: list[str | Path] = [
            binaries() / "apiserver",
            f"--etcd-servers={etcd.url}",
            f"--secure-port={port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.authority.certificate}",
            f"--token-auth-file={csv}",
            f"--proxy-client-cert-file={proxy.certificate}",
            f"--proxy-client-key-file={proxy.key}",
            f"--audit-policy-file={HERE / 'audit.yaml'}",
            f"--audit-log-path={self.audit}",
        ]
        super().__init__(command, folder / "apiserver.log")

    @property
    def watch_cache(self) -> bool:
        """True if watches are served from memory; a change counts from the next start on.

        Without it, a compacted past is gone at once.
        """
        return self._watch_cache

    @watch_cache.setter
    def watch_cache(self, on: bool) -> None:
        self._watch_cache = on
        self.command = [word for word in self.command if not word.startswith("--watch-cache")]
        self.command.append(f"--watch-cache={str(on).lower()}")

    def proxy(self) -> ApiProxy:
        """A proxy in front of it, whose callers all have the administrator's rights."""
        trust = ssl.create_default_context(cafile=self.authority.certificate)
        trust.load_cert_chain(self.admin.certificate, self.admin.key)
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving = self.authority.issue("apiserver-proxy", hosts=LOOPBACK)
        shown.load_cert_chain(serving.certificate, serving.key)
        return ApiProxy(self.url, urllib3.PoolManager(maxsize=64, ssl_context=trust), shown)

    def ready(self) -> bool:
        """True once /readyz succeeds, with all its own groups registered."""
        pair = (str(self.admin.certificate), str(self.admin.key))
        trust = str(self.authority.certificate)
        return requests.get(f"{self.url}/readyz", cert=pair, verify=trust, timeout=2).ok


class Kwok(Server):
    """Plays the kubelets of fake nodes: pods run, get ready after a while, and end."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        folder.mkdir(parents=True)
        self._url = f"http://127.0.0.1:{free_port()}"
        command: list[str | Path] = [
            binaries() / "kwok",
            f"--kubeconfig={kubeconfig}",
            f"--config={HERE / 'kwok.yaml'}",
            "--manage-all-nodes=true",
            "--node-ip=127.0.0.1",
            f"--server-address={self._url.removeprefix('http://')}",
            "--node-lease-duration-seconds=40",
        ]
        super().__init__(command, folder / "kwok.log")

    def ready(self) -> bool:
        """True while it runs."""
        return requests.get(f"{self._url}/readyz", timeout=1).ok


class ControlPlane:
    """All of it, started in order; faults are played on ``etcd``, ``apiserver`` and ``kwok``.

    ``tokens``: a bearer token for each of the ``users`` (``system:serviceaccount:NAMESPACE:NAME`` too).
    """

    def __init__(self, folder: Path, users: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.tokens = {user: secrets.token_hex(16) for user in users}
        self.etcd = Etcd(folder / "etcd")
        self.apiserver = ApiServer(folder / "apiserver", self.etcd, self.tokens)
        self.kubeconfig = self._write_kubeconfig("admin", self.apiserver.admin)
        self.kwok = Kwok(folder / "kwok", self.kubeconfig)

    def kubeconfig_of(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig with a client certificate for that user."""
        return self._write_kubeconfig(user, self.apiserver.authority.issue(user, groups))

    def kubeconfig_of_service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig for what a pod of that service account would be."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        return self.kubeconfig_of(f"system:serviceaccount:{namespace}:{name}", groups)

    def kubeconfig_through(self, proxy: ApiProxy) -> Path:
        """A kubeconfig that leads to a proxy in front of the API server."""
        pair = self.apiserver.authority.issue(f"through-{proxy.port}")
        return self._write_kubeconfig(f"through-{proxy.port}", pair, proxy.url)

    def _write_kubeconfig(self, user: str, pair: Pair, server: str | None = None) -> Path:
        cluster = {
            "server": server or self.apiserver.url,
            "certificate-authority": str(self.apiserver.authority.certificate),
        }
        shown = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": shown}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path = pair.certificate.with_suffix(".kubeconfig")
        path.write_text(yaml.safe_dump(document))
        return path

    def __enter__(self) -> Self:
        try:
            for server in (self.etcd, self.apiserver):
                server.start()
            self._bootstrap()
            self.kwok.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _bootstrap(self) -> None:
        """The objects that a new cluster has from its first moment on."""
        api = Api(self.kubeconfig)
        for document in yaml.safe_load_all((HERE / "cluster.yaml").read_text()):
            api.apply(document)
        front_proxy = self.apiserver.front_proxy.certificate.read_text()
        api.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
                "data": {
                    "client-ca-file": self.apiserver.authority.certificate.read_text(),
                    "requestheader-client-ca-file": front_proxy,
                    "requestheader-allowed-names": json.dumps([FRONT_PROXY]),
                    "requestheader-username-headers": json.dumps(["X-Remote-User"]),
                    "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
                    "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
                },
            }
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self.kwok, self.apiserver, self.etcd):
            server.stop()
