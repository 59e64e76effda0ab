"""Bundled YAML files. Tests have validated them, so they are read without validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bundled(path: Path) -> Any:
    """The one document of a bundled file, as plain data."""
    return yaml.load(path.read_bytes(), Loader=_LOADER)
