"""Where ``make servers`` and ``make controlplane`` keep what they fetched and built."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vllm-autoscaler"


def find_prometheus() -> Path:
    """The fetched Prometheus, else that of PATH; without any, the test is skipped."""
    fetched = sorted(CACHE.glob("prometheus-*/usr/bin/prometheus"))
    if fetched:
        return fetched[-1]
    if installed := shutil.which("prometheus"):
        return Path(installed)
    pytest.skip("no Prometheus here: `make servers` fetches it")
