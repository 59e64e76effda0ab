"""Writes the tables of lint rules in docs/policy.md: ``python -m tools.rule_tables``.

A row is a rule's id, the docstring of its check and its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autoscaler.lint import policy_rules as lint
from autoscaler.lint import workload_rules as fit
from autoscaler.lint.rule import Rule

PAGE = Path(__file__).resolve().parent.parent / "docs" / "policy.md"
HEAD = "| Id | When | Message |\n|---|---|---|\n"


def table(rules: Iterable[Rule[Any]]) -> str:
    """The table of some rules."""
    return HEAD + "".join(f"| `{rule.id}` | {rule.when} | {_words(rule)} |\n" for rule in rules)


def _words(rule: Rule[Any]) -> str:
    """The words of a rule; a value that they mention is there by its name, in italics."""
    return re.sub(r"\{(\w+)[^}]*\}", r"*\1*", rule.says)


def with_tables(page: str) -> str:
    """The page with its tables of rules as they must be: first those of policies, then those of workloads."""
    tables = iter([table(lint.RULES), table(fit.RULES)])
    return re.sub(re.escape(HEAD) + r"(\|.*\n)*", lambda _: next(tables), page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
