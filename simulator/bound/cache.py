"""Earlier bounds, under the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from autoscaler.errors import InputError
from autoscaler.files import atomic_writer

METHOD = 6
"""Counts up with every change that gives other bounds for the same inputs."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/vllm-autoscaler/bounds``, or under ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "vllm-autoscaler" / "bounds"


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BoundCache:
    """One file a bound, named by all that the bound depends on.

    The document stands beside its own digest: a file that is damaged in any way is ignored.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, Any]) -> None:
        text = json.dumps({"method": METHOD, **inputs}, sort_keys=True, default=str)
        self.path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def read(self) -> dict[str, Any] | None:
        """The stored document; None without one."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(kept, dict) or not isinstance(document := kept.get("document"), dict):
            return None
        return document if kept.get("sha256") == _digest_of(document) else None

    def write(self, document: Mapping[str, Any]) -> None:
        """Stores a document; a folder that cannot be written stores none, which costs only time."""
        with suppress(OSError, InputError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_writer(self.path) as file:
                file.write(json.dumps({"sha256": _digest_of(document), "document": document}))


def _digest_of(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()
