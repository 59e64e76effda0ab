"""Where two decisions that order the same begin to differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TypeAlias

from autoscaler.decision.types import Condition, Decision, Proposal, Step

_Part: TypeAlias = Proposal | Step | Condition


def first_difference(logged: Decision, now: Decision) -> str:
    """The metric, stage, condition or message that differs, as ``stage metrics: replicas was 3, is 2``."""
    return next(_differences(logged, now), "")


def _differences(logged: Decision, now: Decision) -> Iterator[str]:
    parts = _parts(logged), _parts(now)
    for name in parts[0] | parts[1]:
        was, is_ = (part.get(name) for part in parts)
        if was is None or is_ is None:
            yield f"{name} is {'new' if was is None else 'gone'}"
        else:
            yield from (f"{name}: {words}" for words in _fields(was, is_))
    yield from _fields(logged, now)


def _parts(decision: Decision) -> dict[str, _Part]:
    """In the order in which one leads to the next."""
    return {
        **{f"metric {one.metric}": one for one in decision.proposals},
        **{f"stage {one.stage}": one for one in decision.steps},
        **{f"condition {one.type}": one for one in decision.conditions},
    }


def _fields(was: Decision | _Part, is_: Decision | _Part) -> Iterator[str]:
    for field in fields(was):
        before, after = getattr(was, field.name), getattr(is_, field.name)
        if before != after:
            yield f"{field.name.replace('_', ' ')} was {before}, is {after}"
