"""The house is in order: what no compiler checks and every reader trips over."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from autoscaler import __version__
from autoscaler.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = ("runtime.txt", "build.txt", "parquet.txt", "dev.txt")

# Brackets keep the patterns from finding themselves.
FOREIGN = {
    "a package index": r"p[y]pi\.(org|python)|p[y]thonhosted|npm[j]s\.(org|com)|proxy\.gol[a]ng",
    "an index option": r"--(extra-)?ind[e]x-url|--find-l[i]nks|--trusted-h[o]st|(?<![\w-])find_l[i]nks",
    "a path of one machine": r"(?<![\w./$}~-])/(r[o]ot|w[o]rk|h[o]me|Us[e]rs|opt/wh[e]els)(/|\b)",
}
GRAB_BAGS = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "base", "core"}


@cache
def files() -> tuple[Path, ...]:
    """What is or would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


@cache
def texts() -> dict[Path, str]:
    found = {}
    for path in files():
        try:
            found[path] = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue  # an archive or an image
    return found


def pages() -> dict[Path, str]:
    return {path: text for path, text in texts().items() if path.suffix == ".md"}


# -- nothing of one machine, nothing of one registry ---------------------------------------------


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names(what):
    allowed = {ROOT / "Makefile", ROOT / "tests/test_house.py"} if what == "an index option" else set()
    pattern = re.compile(FOREIGN[what])
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path, text in texts().items()
        if path not in allowed and pattern.search(text)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert hits == []


def test_no_file_names_this_checkout():
    assert [path for path, text in texts().items() if str(ROOT) + "/" in text] == []


def test_what_the_targets_write_is_ignored():
    written = [
        ".venv/x",
        "demo-report/report.html",
        ".coverage",
        "dist/x.whl",
        "autoscaler/__pycache__/x.pyc",
    ]
    command = ["git", "check-ignore", *written]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ignored.split() == written


# -- requirements --------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_hold_exact_versions_and_hashes_alone(name):
    text = (ROOT / "requirements" / name).read_text()
    entry = re.compile(r"[a-z0-9][\w.-]*==[\w.!]+( \\\n    --hash=sha256:[0-9a-f]{64})+\n")
    rest = re.sub(r"(?m)^\s*(#.*)?\n", "", entry.sub("", text))
    assert rest == ""
    assert len(entry.findall(text)) == len(pins(name)) > 0


@pytest.mark.parametrize("name", ["runtime.txt", "parquet.txt"])
def test_what_the_image_gets_is_pinned_as_it_was_tested(name):
    assert pins(name).items() <= pins("dev.txt").items()


@pytest.mark.parametrize("dependency", PROJECT["project"]["dependencies"])
def test_pins_are_within_the_ranges_for_users(dependency):
    requirement = Requirement(dependency)
    assert requirement.specifier.contains(pins("runtime.txt")[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", PROJECT["build-system"]["requires"])
def test_the_build_backend_is_pinned(requirement):
    wanted = Requirement(requirement)
    assert wanted.specifier.contains(pins("dev.txt")[canonicalize_name(wanted.name)])


def test_the_tools_are_those_of_dev_in():
    inputs = ("requirements/dev.in", "requirements/build.in")
    lines = [line for name in inputs for line in (ROOT / name).read_text().splitlines()]
    tools = {canonicalize_name(line) for line in lines if line and not line.startswith(("#", "-r"))}
    assert tools <= pins("dev.txt").keys()


# -- versions ------------------------------------------------------------------------------------


def test_the_installed_version_is_that_of_the_source():
    assert version("vllm-autoscaler") == __version__


def test_the_changelog_begins_with_unreleased_and_lists_versions_downwards():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    released = [tuple(map(int, heading.split("."))) for heading in headings[1:]]
    assert released == sorted(released, reverse=True)


# -- documents -----------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", text)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(f"{page.relative_to(ROOT)} -> {link}")
    return broken


def test_every_link_between_documents_resolves():
    assert [link for page, text in pages().items() for link in broken_links(page, text)] == []


def test_every_guide_is_listed():
    index = (ROOT / "docs/README.md").read_text()
    guides = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {guide for guide in guides if f"]({guide})" not in index} == set()


def test_decision_records_are_numbered_without_gaps_and_listed():
    folder = ROOT / "docs/adr"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name[:5] for name in records] == [f"{number:04}-" for number in range(1, len(records) + 1)]
    listed = re.findall(r"^\| \[(\d{4})\]\((.+?)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == [(name[:4], name) for name in records]


@pytest.mark.parametrize("record", sorted((ROOT / "docs/adr").glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_a_decision_record_says_why_what_and_what_follows(record):
    text = record.read_text()
    assert text.startswith(f"# {record.name[:4]}. ")
    found = re.findall(r"^## (Context|Decision|Consequences)\b", text, re.MULTILINE)
    assert found == ["Context", "Decision", "Consequences"]


def test_every_make_target_in_a_document_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (path.name, target)
        for path, text in pages().items()
        for target in re.findall(r"(?:`|^|\$ )make ([a-z][a-z-]*)(?=[`\s])(?!.*[.,]$)", text, re.MULTILINE)
    }
    assert {pair for pair in named if pair[1] not in targets} == set()


def test_every_command_in_a_document_exists():
    named = {
        (path.name, command)
        for path, text in pages().items()
        for command in re.findall(r"(?:`|^|\$ |/)autoscale ([a-z][a-z-]*)", text, re.MULTILINE)
    }
    assert {pair for pair in named if pair[1] not in COMMANDS} == set()


def test_works_of_others_are_named_in_the_notice():
    notice = (ROOT / "NOTICE").read_text()
    data = [
        path for path in files() if path.parent == ROOT / "simulator/traces/data" and path.suffix != ".md"
    ]
    licences = [path for path in files() if path.name.endswith(".LICENSE")]
    names = [str(path.relative_to(ROOT)) for path in data + licences]
    assert len(names) >= 2
    assert [name for name in names if name not in notice] == []


# -- the layout ----------------------------------------------------------------------------------


def test_data_folders_hold_no_code():
    code = [path for path in files() if path.suffix == ".py"]
    assert [path for path in code if path.relative_to(ROOT).parts[0] in {"policies", "deploy"}] == []


TWO_SIDES = {"goal", "metrics", "policies", "profile", "replay", "schema", "status", "targets", "trace"}
"""A command, options or a port, and the module that does the work: one thing seen from two sides."""

MOST_LINES = 300
LONG_FILES = {
    "simulator/vllm/engine.py": "one compiled object; split, each step would pay for calls between parts"
}
"""Why a file is longer than that."""


@cache
def product() -> dict[Path, ast.Module]:
    """Every module that is shipped, parsed."""
    folders = (ROOT / "autoscaler", ROOT / "simulator")
    ours = (path for path in files() if path.suffix == ".py" and set(folders) & set(path.parents))
    return {path: ast.parse(path.read_text()) for path in ours}


def twice(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """The names that several places have."""
    places: dict[str, list[str]] = {}
    for name, path in pairs:
        places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    return {name: found for name, found in places.items() if len(found) > 1}


def lines_of_code(text: str, module: ast.Module) -> int:
    """Lines that are not blank, a comment or a docstring."""
    of_docstrings = {
        line
        for node in ast.walk(module)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return sum(
        number not in of_docstrings and bool(line.strip()) and not line.lstrip().startswith("#")
        for number, line in enumerate(text.splitlines(), start=1)
    )


def test_a_public_class_name_has_one_meaning():
    classes = (
        (node.name, path)
        for path, module in product().items()
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert twice(classes) == {}


def test_a_module_name_has_one_meaning():
    modules = ((path.stem, path) for path in product() if not path.stem.startswith("__"))
    assert twice(modules).keys() == TWO_SIDES


def test_no_file_is_too_long():
    lines = {path: lines_of_code(path.read_text(), module) for path, module in product().items()}
    long = {str(path.relative_to(ROOT)) for path, count in lines.items() if count > MOST_LINES}
    assert long == LONG_FILES.keys()


def test_every_module_is_named_for_what_it_holds():
    assert [path for path in files() if path.suffix == ".py" and path.stem in GRAB_BAGS] == []


def test_ci_can_be_run_as_a_program():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111 == 0o111
