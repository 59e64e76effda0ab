"""YAML files that come along. Tests have looked at them, so they are read as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bundled(path: Path) -> Any:
    """The one document of a file of ours, as plain data."""
    return yaml.load(path.read_bytes(), Loader=_LOADER)
