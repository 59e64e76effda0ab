"""The lint rules of policies: what is legal but harmful to LLM serving."""

from __future__ import annotations

from autoscaler.documents.policies import LoadedPolicy
from autoscaler.errors import Diagnostic
from autoscaler.lint import driver_metrics, queries, replica_counts, single_metrics, target_kinds

_GROUPS = (target_kinds.rule, driver_metrics.rule, single_metrics.rule, replica_counts.rule, queries.rule)
RULES = tuple(rule for group in _GROUPS for rule in group)
"""Every rule, in the order of docs/policy.md."""


def lint(loaded: LoadedPolicy) -> tuple[Diagnostic, ...]:
    """The warnings for one policy, in line order: ``file:line: path: warning: … [id]``."""
    warnings = [found for rule in RULES for found in rule.warnings(loaded.policy.spec, loaded)]
    return tuple(sorted(warnings, key=lambda found: found.line or 0))
