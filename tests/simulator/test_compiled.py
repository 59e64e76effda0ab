"""The simulator compiled: the same files, the same results to the last bit, and never a stale one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.compiled import MODULES, compiled_folder, prefer_compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path) -> Path:
    for module in MODULES:
        source = tmp_path / f"{module}.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(f"# {module}\n")
    return tmp_path


def test_extensions_of_these_very_sources_are_found_first(package, monkeypatch):
    monkeypatch.delenv("AUTOSCALE_PURE")
    compiled_folder(package).mkdir(parents=True)
    places = [str(package)]
    prefer_compiled(places)
    assert places == [str(compiled_folder(package)), str(package)]


def test_a_wing_finds_its_own_extensions_first(package, monkeypatch):
    monkeypatch.delenv("AUTOSCALE_PURE")
    folder = compiled_folder(package) / "vllm"
    folder.mkdir(parents=True)
    places = [str(package / "vllm")]
    prefer_compiled(places, "vllm")
    assert places == [str(folder), str(package / "vllm")]


def test_a_changed_source_runs_as_python(package, monkeypatch):
    monkeypatch.delenv("AUTOSCALE_PURE")
    compiled_folder(package).mkdir(parents=True)
    (package / f"{MODULES[0]}.py").write_text("# changed\n")
    places = [str(package)]
    prefer_compiled(places)
    assert places == [str(package)]


def test_plain_python_can_be_asked_for(package, monkeypatch):
    monkeypatch.setenv("AUTOSCALE_PURE", "1")
    compiled_folder(package).mkdir(parents=True)
    places = [str(package)]
    prefer_compiled(places)
    assert places == [str(package)]


def python(*arguments: str, cwd: Path, pure: str = "") -> str:
    environment = os.environ | {"AUTOSCALE_PURE": pure, "PYTHONPATH": str(cwd)}
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """A copy of the sources, compiled."""
    if shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("needs a C compiler")
    copy = tmp_path_factory.mktemp("compiled") / "tree"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "_compiled", "build", "dist"))
    program = "import hatch_build as b; print(b.compile_into(b.compiled_folder(b.ROOT / 'simulator')))"
    assert python("-c", program, cwd=copy) == "None\n"
    return copy


@pytest.mark.slow
def test_the_tests_of_the_simulator_pass_compiled(compiled):
    told = python("-c", "from simulator.compiled import describe; print(describe())", cwd=compiled)
    assert told == "The simulator runs compiled.\n"
    chosen = "not slow and not browser and not e2e"
    python(
        "-m", "pytest", "-q", "-x", "-m", chosen, "-p", "no:cacheprovider", "tests/simulator", cwd=compiled
    )


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [("--replicas", "3"), ("--policy", "chat")])
def test_compiled_and_plain_results_are_the_same_bytes(compiled, scaling):
    results = []
    for name, pure in (("plain", "1"), ("compiled", "")):
        outputs = [f"{name}.json", f"{name}.csv"]
        command = ("simulate", "azure-conv", *scaling, "--json", outputs[0], "--requests", outputs[1])
        python("-m", "autoscaler", *command, cwd=compiled, pure=pure)
        results.append([(compiled / output).read_bytes() for output in outputs])
    assert results[0] == results[1]
