"""What users install: the wheel in a fresh environment outside the checkout, and the sdist."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from autoscaler import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
DATA = {
    "autoscaler/py.typed",
    "simulator/py.typed",
    "simulator/traces/data/azure_llm_2023_conv.csv.gz",
    "simulator/vllm/profiles/gemma2-9b-h100.yaml",
    "simulator/vllm/profiles/llama3-8b-h100.yaml",
    "simulator/startup/components.yaml",
    "simulator/startup/prices.yaml",
    "simulator/report/assets/uPlot.iife.min.js",
    "simulator/report/assets/uPlot.min.css",
}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    unwanted = ("PYTHONPATH", "VIRTUAL_ENV", "AUTOSCALE_PURE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted} | variables
    ended = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from it as installers do."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel and the pinned run-time dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("user")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    pip = (folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    pinned = ROOT / "requirements/runtime.txt"
    run(*pip, "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", pinned, cwd=folder)
    run(*pip, "--no-deps", wheel, cwd=folder)
    return folder


def autoscale(installed: Path, *arguments: str | Path) -> str:
    return run(installed / "venv/bin/autoscale", *arguments, cwd=installed)


def policies() -> set[str]:
    return {path.name for path in (ROOT / "policies").glob("*.yaml")}


def test_the_wheel_holds_code_data_and_licences_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"vllm_autoscaler-{__version__}.dist-info"
    assert names >= DATA
    assert names >= {f"autoscaler/data/policies/{name}" for name in policies()}
    assert names >= {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"}
    assert {name.split("/")[0] for name in names} == {"autoscaler", "simulator", info}


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "autoscaler", "simulator")
    sources = {name for name in run(*command, cwd=ROOT).splitlines() if (ROOT / name).is_file()}
    assert sources - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_sdist_can_be_built_and_tested(built):
    (sdist,) = built.glob("*.tar.gz")
    top = f"vllm_autoscaler-{__version__}"
    with tarfile.open(sdist) as archive:
        names = set(archive.getnames())
    for name in (
        "LICENSE",
        "NOTICE",
        "Makefile",
        "requirements/dev.txt",
        "tests/test_packaging.py",
        "CHANGELOG.md",
    ):
        assert f"{top}/{name}" in names
    assert names >= {f"{top}/{name}" for name in DATA}
    assert names >= {f"{top}/policies/{name}" for name in policies()}
    assert [name for name in names if ".venv" in name or "__pycache__" in name] == []


@pytest.mark.parametrize("variable", [{"CC": "no-such-compiler"}, {"HATCH_BUILD_NO_HOOKS": "1"}])
def test_without_a_compiler_or_the_hook_the_wheel_is_plain_python_for_every_platform(
    built, tmp_path, variable
):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"vllm_autoscaler-{__version__}"
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", source, cwd=tmp_path, **variable)
    (wheel,) = (source / "dist").glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert [name for name in zipfile.ZipFile(wheel).namelist() if "_compiled" in name] == []


@pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="needs a C compiler")
def test_with_a_compiler_the_installed_simulator_runs_compiled(installed):
    program = "from simulator.compiled import describe; print(describe())"
    told = run(installed / "venv/bin/python", "-c", program, cwd=installed)
    assert told == "The simulator runs compiled.\n"


def test_the_installed_command_knows_its_version(installed):
    assert autoscale(installed, "--version") == f"autoscale {__version__}\n"


def test_nothing_is_imported_from_the_checkout(installed):
    program = "import autoscaler, simulator; print(autoscaler.__file__, simulator.__file__)"
    places = run(installed / "venv/bin/python", "-c", program, cwd=installed).split()
    assert [place for place in places if not place.startswith(str(installed))] == []


def test_the_installed_library_of_policies_is_whole_and_valid(installed):
    names = autoscale(installed, "policies").split()
    assert {f"{name}.yaml" for name in names} == policies()
    for name in names:
        (installed / f"{name}.yaml").write_text(autoscale(installed, "policies", name))
    autoscale(installed, "validate", *[f"{name}.yaml" for name in names])


def test_the_installed_simulator_replays_the_bundled_trace(installed):
    outputs = ("--json", "summary.json", "--html", "report.html")
    autoscale(installed, "simulate", "azure-conv", "--span", "60", *outputs)
    summary = json.loads((installed / "summary.json").read_text())
    assert summary["completed"] == summary["requests"] > 0
    assert "</html>" in (installed / "report.html").read_text()


def test_completion_works_where_it_is_installed(installed):
    assert "_autoscale_completion" in autoscale(installed, "completion", "bash")
