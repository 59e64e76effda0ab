"""The simulator's modules that also run compiled, and the place where Python finds them.

The same files run as plain Python or, if a C compiler was there at installation, as extensions that mypyc
made of them (``hatch_build.py``). ``AUTOSCALE_PURE=1`` in the environment asks for plain Python.
"""

from __future__ import annotations

import os
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

MODULES = (
    "run/result",
    "startup/replica_life",
    "vllm/decoding",
    "vllm/engine",
    "vllm/kv_blocks",
    "vllm/replica",
    "vllm/request_table",
    "vllm/stepped",
    "world/cluster",
    "world/timeline",
)
"""The inner loops: nearly all of a replay's time is spent in them."""


def compiled_folder(package: Path) -> Path:
    """The folder for extensions of exactly these sources and this Python; it may not exist.

    Its name contains a checksum of the sources: a changed source runs as plain Python until it is
    compiled again.
    """
    text = b"".join((package / f"{module}.py").read_bytes() for module in MODULES)
    return package / "_compiled" / f"{sys.implementation.cache_tag}-{zlib.crc32(text):08x}"


def prefer_compiled(search_path: list[str], wing: str = "") -> None:
    """Puts the extensions before the sources in a package's ``__path__``, if there are any.

    ``wing``: the name of the package within ``simulator``; empty for ``simulator`` itself.
    """
    own = Path(search_path[0])
    folder = compiled_folder(own.parent if wing else own) / wing
    if folder.is_dir() and not os.environ.get("AUTOSCALE_PURE"):
        search_path.insert(0, str(folder))


def describe() -> str:
    """One line on how the simulator runs here."""
    engine = find_spec("simulator.vllm.engine")
    if engine is None or str(engine.origin).endswith(".py"):
        return "The simulator runs as plain Python, at about half its speed: no C compiler was found."
    return "The simulator runs compiled."
