"""The map shows the code that is there: every room, every file, every word at the place where it lives."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from simulator.compiled import MODULES

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
ABOVE = (ROOT, ROOT / "autoscaler", ROOT / "simulator")

OUTSIDE = {
    *("aiohttp", "asyncio", "concurrent", "http", "kubernetes", "logging", "multiprocessing", "queue"),
    *("requests", "secrets", "signal", "socket", "ssl", "subprocess", "threading", "time", "urllib3"),
}
"""Modules that a room without clock, network, thread or log does not import."""


def rooms(top: str) -> list[str]:
    return sorted(path.parent.name for path in (ROOT / top).glob("*/__init__.py"))


def files_named(text: str) -> set[str]:
    return set(re.findall(r"`([\w/.-]+\.(?:py|yaml))`", text))


def found(name: str) -> list[Path]:
    return [above / name for above in ABOVE if (above / name).is_file()]


def section(title: str) -> str:
    return re.split(r"(?m)^## ", ARCHITECTURE.partition(f"## {title}\n")[2])[0]


def rows(text: str) -> list[list[str]]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if not set(cells[0]) <= {"-", " ", "|"}]


@pytest.mark.parametrize("text", [ARCHITECTURE, GLOSSARY], ids=["architecture", "glossary"])
def test_every_file_that_a_page_names_is_there(text):
    assert sorted(name for name in files_named(text) if not found(name)) == []


@pytest.mark.parametrize("top", ["autoscaler", "simulator"])
def test_every_room_is_in_the_drawing_and_in_its_table(top):
    drawing = section("The drawing").split("```")[1]
    [table] = re.findall(rf"(?ms)^\| (?:room|wing) of `{top}/`.*?\n\n", section("The drawing"))
    assert [room for room in rooms(top) if not re.search(rf"\b{room}\b", drawing)] == []
    assert sorted(cells[0].strip("`") for cells in rows(table)[1:]) == rooms(top)


def test_the_drawing_is_readable_at_100_columns():
    assert max(map(len, section("The drawing").split("```")[1].splitlines())) <= 100


def words_elsewhere(cell: str, files: str) -> list[str]:
    """The names in a cell that no file of another cell has."""
    text = "".join(path.read_text() for name in files_named(files) for path in found(name))
    return [word for word in re.findall(r"`(\w+)`", cell) if text and not re.search(rf"\b{word}\b", text)]


def test_a_type_that_carries_a_sample_stands_in_the_files_of_its_step():
    steps = [cells for cells in rows(section("A sample's life"))[1:] if len(cells) == 4]
    assert len(steps) > 10
    assert {
        number: lost for number, _, files, types in steps if (lost := words_elsewhere(types, files))
    } == {}


def imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in whole | parts}


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        ("no clock, chance, network", OUTSIDE | {"random"}),
        ("the same, and chance", OUTSIDE),
    ],
)
def test_a_room_that_is_called_pure_imports_nothing_that_is_not(row, refused):
    [(_, cell)] = [cells for cells in rows(section("Pure, and not")) if cells[0].startswith(row)]
    pure = [ROOT / name for name in re.findall(r"`([\w/]+)`", cell)]
    impure = {
        path: names for room in pure for path in room.glob("*.py") if (names := imports(path) & refused)
    }
    assert len(pure) >= 2
    assert impure == {}


def test_the_compiled_modules_are_listed():
    listed = files_named(section("Compiled code")) - {"hatch_build.py", "simulator/compiled.py"}
    assert listed == {f"{module}.py" for module in MODULES}


def test_a_word_of_the_glossary_stands_in_the_files_that_it_names():
    words = [(cells[0], lost) for cells in rows(GLOSSARY) if (lost := words_elsewhere(cells[0], cells[-1]))]
    assert words == []
