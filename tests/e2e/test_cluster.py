"""Whoever has KUBECONFIG set is told on which cluster the tests are about to work."""

from __future__ import annotations

import yaml

from tests.e2e.cluster import whereabouts


def test_the_current_context_and_its_server_are_named(tmp_path):
    kubeconfig = tmp_path / "config"
    contexts = [
        {"name": "kind", "context": {"cluster": "kind", "user": "me"}},
        {"name": "live", "context": {"cluster": "prod", "user": "me"}},
    ]
    clusters = [
        {"name": "kind", "cluster": {"server": "https://127.0.0.1:6443"}},
        {"name": "prod", "cluster": {"server": "https://10.0.0.1"}},
    ]
    document = {"current-context": "live", "contexts": contexts, "clusters": clusters}
    kubeconfig.write_text(yaml.safe_dump(document))
    assert "https://10.0.0.1 (context live)" in whereabouts(kubeconfig)
