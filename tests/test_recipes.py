"""docs/recipes.md names every file of a usual change, and no more than the code asks for."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from autoscaler.api.signals import Signal
from autoscaler.decision import guards
from autoscaler.decision.types import Reason
from autoscaler.lint import policy_rules, workload_rules
from autoscaler.ports.metrics import CloudQuestion, Question
from autoscaler.workload_kinds import WORKLOAD_KINDS
from simulator.run.scraped_signals import READERS
from simulator.traces.formats import FORMATS, OURS

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION = ("autoscaler/", "simulator/")
PAGE = (ROOT / "docs/recipes.md").read_text()
RECIPES = dict(re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", PAGE))

A_FILE = r"`([\w.-]+(?:/[\w.-]+)*\.(?:py|md|yaml|json))`"
A_NAME = r"`@?([A-Za-z_]\w*)(?:\(\.\.\.\))?`"


def steps(recipe: str) -> list[str]:
    return re.findall(r"(?ms)^\d+\. (.*?)(?=^\d+\. |^$|\Z)", RECIPES[recipe])


def files_of(recipe: str) -> list[str]:
    """Production files of the steps, the first of each: others of a step are where it may go instead."""
    first = (re.findall(A_FILE, step)[0] for step in steps(recipe))
    return [name for name in first if name.startswith(PRODUCTION)]


@cache
def modules() -> dict[str, str]:
    """Every production module and its text."""
    paths = (path for top in PRODUCTION for path in (ROOT / top).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths if "_compiled" not in path.parts}


def mentioning(word: str) -> set[str]:
    return {name for name, text in modules().items() if re.search(rf"\b{re.escape(word)}\b", text)}


@cache
def constants() -> dict[str, set[str]]:
    """The texts in each module that are neither a docstring nor longer than a name."""
    found = {}
    for name, text in modules().items():
        tree = ast.parse(text)
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs)
        found[name] = {node.value for node in texts if isinstance(node.value, str)}
    return found


def writing(text: str) -> set[str]:
    return {name for name, texts in constants().items() if text in texts}


# -- the page ------------------------------------------------------------------------------------


def test_every_file_that_a_recipe_names_is_there():
    assert [name for name in re.findall(A_FILE, PAGE) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_counts_its_production_files(recipe):
    [count] = re.findall(r"^Production files: (\d+)\.", RECIPES[recipe], re.MULTILINE)
    assert len(set(files_of(recipe))) == int(count)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_step_adds_to_is_in_its_file(recipe):
    lost = []
    for step in steps(recipe):
        file, *_ = re.findall(A_FILE, step)
        if file.startswith(PRODUCTION):
            module = import_module(file.removesuffix(".py").replace("/", "."))
            names = set(re.findall(A_NAME, step)) - {"answers", "close"}
            lost += [(file, name) for name in names if not hasattr(module, name)]
    assert lost == []


# -- signals -------------------------------------------------------------------------------------

A_SIGNAL = "A signal that the simulator counts already"
KNOW_ONE_SIGNAL = {
    "autoscaler/api/models.py",
    "autoscaler/cli/commands/query.py",
    "autoscaler/controller/deletion.py",
    "autoscaler/decision/metric_samples.py",
    "autoscaler/decision/state.py",
}
"""Besides lint rules: what is about one signal, and would not be about the next. This list only shrinks."""


def test_the_simulator_reads_every_signal():
    assert READERS.keys() == set(Signal)


def test_a_signal_is_in_the_files_of_its_recipe():
    everywhere = set.union(*(mentioning(f"Signal.{signal.name}") for signal in Signal))
    others = {name for name in everywhere if not name.startswith("autoscaler/lint/")}
    assert others - set(files_of(A_SIGNAL)) == KNOW_ONE_SIGNAL


def test_most_signals_are_nowhere_else():
    plain = [signal for signal in Signal if mentioning(f"Signal.{signal.name}") <= set(files_of(A_SIGNAL))]
    assert len(plain) > len(Signal) / 2


def test_a_count_of_the_engines_is_in_the_files_of_its_recipe():
    assert mentioning("generated_tokens") <= set(files_of("A signal that it does not count"))


# -- sources -------------------------------------------------------------------------------------


def test_every_kind_of_question_has_a_source():
    kinds = {kind.__name__ for kind in get_args(Question)}
    assert set(re.findall(r"\b(\w+Question): ", modules()["autoscaler/metrics/sources/factory.py"])) == kinds


def test_a_kind_of_question_is_in_the_files_of_its_recipe():
    beside = {"autoscaler/settings.py", "autoscaler/cli/options/metrics.py", "autoscaler/api/models.py"}
    beside |= {"autoscaler/api/metric_rules.py"}
    assert mentioning(CloudQuestion.__name__) == set(files_of("A metric source")) - beside


# -- guards --------------------------------------------------------------------------------------


def test_every_guard_is_registered():
    held = {name for name in vars(guards) if name.startswith("hold_")}
    assert [guard.__name__ for guard in guards.GUARDS if guard.__name__ not in held] == []
    assert held == {guard.__name__ for guard in guards.GUARDS}
    assert set(guards.FALLBACK_GUARDS) <= set(guards.GUARDS)


@pytest.mark.parametrize(
    "reason", [Reason.PENDING_REPLICAS, Reason.REJECTED_REQUESTS, Reason.REMAINING_CAPACITY]
)
def test_a_guards_reason_is_in_the_files_of_its_recipe(reason):
    assert mentioning(f"Reason.{reason.name}") <= set(files_of("A guard"))


# -- lint rules, trace formats, kinds of targets ---------------------------------------------------


def rule_ids() -> list[str]:
    return [rule.id for rules in (policy_rules.RULES, workload_rules.RULES) for rule in rules]


@pytest.mark.parametrize("rule", rule_ids())
def test_a_lint_rule_is_in_one_file(rule):
    [file] = writing(rule)
    assert file in re.findall(A_FILE, RECIPES["A lint rule"])


@pytest.mark.parametrize(
    "known", [known for known in FORMATS if known is not OURS], ids=lambda known: known.name
)
def test_a_trace_format_is_in_one_file(known):
    assert writing(known.prompt) == set(files_of("A trace format"))


@pytest.mark.parametrize(
    "kind", [kind for kind in WORKLOAD_KINDS if kind.watched], ids=lambda kind: kind.name
)
def test_a_watched_kind_is_in_its_table_and_in_the_roles(kind):
    table = set(files_of("A target kind that is watched, linted and compared"))
    assert table <= writing(kind.name)
    role = (ROOT / "deploy/base/cluster-role.yaml").read_text()
    assert f"{kind.plural}/scale" in role
