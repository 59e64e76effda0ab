"""An emulated vLLM in a process of its own, for commands that talk to one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def emulate(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and the URLs that it printed, by name."""
    command = [sys.executable, "-m", "autoscaler", "emulate", *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        urls = {}
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Serving"):
                    break
                name, _, rest = line.rstrip("\n").partition(" on ")
                urls[name] = rest.partition(",")[0].removesuffix("/metrics")
            yield process, urls
        finally:
            process.kill()
