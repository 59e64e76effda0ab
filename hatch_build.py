"""Build hook: the simulator's inner loops also as C extensions, by mypyc, where there is a C compiler.

Without one (or without mypy) the installation is plain Python and works all the same. Asked for by
``HATCH_BUILD_NO_HOOKS=1``, the wheel is plain Python too and serves every platform.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from simulator.compiled import MODULES, compiled_folder  # noqa: E402

# C compilers may join a product and a sum into one rounding; Python never does, and both must agree.
EXACT = "/fp:precise" if sys.platform == "win32" else "-ffp-contract=off"


class CompiledSimulator(BuildHookInterface[Any]):
    """Compiles in place; an editable installation uses that, a wheel takes it along."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds a wheel or an editable installation."""
        folder = compiled_folder(ROOT / "simulator")
        if not folder.is_dir() and (problem := compile_into(folder)):
            self.app.display_warning(f"The simulator stays plain Python: {problem}")
        elif version != "editable":
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"].append(f"simulator/_compiled/{folder.name}/**/*")


def compile_into(folder: Path) -> str | None:
    """Compiles the modules into ``folder`` and removes those of older sources; or says why not."""
    with tempfile.TemporaryDirectory() as draft:
        for package in ("autoscaler", "simulator"):
            shutil.copytree(ROOT / package, Path(draft) / package, ignore=shutil.ignore_patterns("_compiled"))
        command = [sys.executable, str(ROOT / "hatch_build.py")]
        ended = subprocess.run(command, cwd=draft, capture_output=True, text=True, check=False)
        if ended.returncode:
            return (ended.stderr or ended.stdout).strip().rpartition("\n")[2]
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(Path(draft) / "out/simulator", folder)
    return None


def run_mypyc() -> None:
    """Compiles ``simulator`` in the working directory into ``out``; in a process of its own."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    files = [f"simulator/{module}.py" for module in MODULES]
    extensions = mypycify([*options, *files], group_name="simulator.compiled", opt_level="3", debug_level="0")
    for extension in extensions:
        extension.extra_compile_args.append(EXACT)
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib, command.build_temp = "out", "objects"
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    run_mypyc()
