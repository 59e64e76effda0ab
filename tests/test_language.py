"""Texts are plain English: the subject comes first, and each word is one of the field's."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

CLEAN = (
    "README.md",
    "CONTRIBUTING.md",
    "docs",
    "policies",
    "deploy",
    "benchmarks",
    "tools",
    "tests/servers",
    "autoscaler",
    "simulator",
)
"""The files and folders that follow the rules."""

EXEMPT = ("docs/adr/", "simulator/report/assets/uPlot.")
"""Decisions keep the words of their day, and uPlot is another project's."""

COMMENTED = {".yaml", ".js", ".css", ".md", ".sh"}


class Pattern(NamedTuple):
    """Words that need a second reading, the reason, and an example with its better words."""

    name: str
    expression: str
    why: str
    example: str
    instead: str


PATTERNS = (
    Pattern(
        "a person in place of a process",
        r"\b(?:no|some|any|every)body\b|\b(?:some|any|every)one\b|\bno one\b|\bwhoever\b|\bstrangers?\b",
        "only people act as persons: name the process, the object or the missing thing",
        "Nothing is scaled while nobody holds the Lease.",
        "Nothing is scaled while no process holds the Lease.",
    ),
    Pattern(
        "telling",
        r"\b(?:tells?|telling|told)\b",
        "a program logs, reports, records, shows or distinguishes",
        "Tells about syncs.",
        "Records syncs.",
    ),
    Pattern(
        "a negated noun",
        r"(?<!\bthere\s)\b(?:is|are|was|were|be)\s+no\s+"
        r"(?!(?:longer|more|less|fewer|later|earlier|higher|lower|larger|smaller)\b)",
        "say what a value is not, or what is unknown or invalid",
        "'x' is no number",
        "'x' is not a number",
    ),
    Pattern(
        "an archaic word",
        r"\b(?:anew|lest|of\s+late|now\s+and\s+then|for\s+so\s+long|by\s+arrangement|to\s+be\s+had)\b",
        "today's words are again, so that, recently, sometimes, agreed, available",
        "a GPU is not to be had, so the pod is scheduled anew",
        "a GPU is not available, so the pod is scheduled again",
    ),
    Pattern(
        "coming along",
        r"\b(?:comes?|came|coming)\s+along\b",
        "a file of the package is bundled",
        "The profiles that come along.",
        "The bundled profiles.",
    ),
    Pattern(
        "going on",
        r"(?-i:\b(?:goes|go|going|went)\s+on\b)(?!\s+(?:top|the|a|each)\b)",
        "work continues, or resumes after an interruption",
        "The next pod goes on.",
        "The next pod resumes.",
    ),
    Pattern(
        "standing somewhere",
        r"\bst(?:ands?|ood)\s+in\s+(?=\[|which\b|it\b)",
        "a file or a field has, lists or contains a fact",
        "How fast it is stands in [speed](speed.md).",
        "[Speed](speed.md) has the figures.",
    ),
)
HEADLESS = re.compile(r"\s*(?:What|Who|Whose|Whom|Whether)\b")


class Text(NamedTuple):
    """One text of a file, with the line at which it begins."""

    line: int
    words: str
    is_docstring: bool = False


def _files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *CLEAN]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [
        name
        for name in sorted({*listed.split("\0")} - {""})
        if not name.startswith(EXEMPT) and (ROOT / name).is_file()
    ]


def _python_texts(source: str) -> Iterator[Text]:
    """Strings, docstrings of modules, classes, functions and fields, and comments."""
    tree = ast.parse(source)
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(node.lineno, node.value, id(node) in bare)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string)


def _texts(name: str) -> Iterator[Text]:
    """The texts of a file; a comment that goes over several lines is one text."""
    path = ROOT / name
    if path.suffix == ".py":
        yield from _python_texts(path.read_text())
    elif path.suffix in COMMENTED or path.name == "Dockerfile":
        yield Text(1, re.sub(r"(?m)^(\s*)#+ ", r"\1", path.read_text()))


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_a_pattern_finds_its_example_and_not_the_better_words(pattern):
    assert re.search(pattern.expression, pattern.example, re.IGNORECASE)
    assert not re.search(pattern.expression, pattern.instead, re.IGNORECASE)


@pytest.mark.parametrize(
    "sentence",
    [
        "there is no series",
        "a pod that is no longer ready",
        "the price stands in simulator/startup/prices.yaml",
        "the pod goes on the node",
        "the rate is no more than a target",
        "int32 wraps around, as Go on arm64 does",
    ],
)
def test_good_english_passes(sentence):
    assert not [one.name for one in PATTERNS if re.search(one.expression, sentence, re.IGNORECASE)]


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_no_text_has(pattern):
    expression = re.compile(pattern.expression, re.IGNORECASE)
    found = [
        f"{name}:{text.line + text.words.count(chr(10), 0, hit.start())}: {hit.group()!r}"
        for name in _files()
        for text in _texts(name)
        for hit in expression.finditer(text.words)
    ]
    assert found == [], f"{pattern.why}; for example {pattern.instead!r} instead of {pattern.example!r}"


def test_a_docstring_begins_with_its_noun_or_verb():
    """``Outcome of a decision``, not ``What becomes of a decision``; ``True if …``, not ``Whether …``."""
    found = [
        f"{name}:{text.line}: {text.words.strip().splitlines()[0]}"
        for name in _files()
        for text in _texts(name)
        if text.is_docstring and HEADLESS.match(text.words)
    ]
    assert found == []


def test_every_root_exists():
    assert [root for root in CLEAN if not (ROOT / root).exists()] == []
