"""Checks of a PromQL query without evaluating it.

For lint rules, which only warn: they look at words, not at a syntax tree, and a query that hides its
intention (recording rules, ``label_replace``) gets the benefit of the doubt. ``unbalanced`` finds what
no server would take. A parser would refuse what other servers take (ADR 0023).
"""

from __future__ import annotations

import re

_COMMENT_OR_STRING = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_NAME_MATCHER = re.compile(r"__name__\s*=\s*[\"'`]([a-zA-Z_:][\w:]*)[\"'`]", re.ASCII)
_WORD = re.compile(r"[a-zA-Z_:][\w:]*", re.ASCII)
_HISTOGRAM_SUFFIX = re.compile(r"_(bucket|sum|count|total)$")
_AGGREGATION = re.compile(
    r"\b(sum|avg|min|max|count|group|quantile|stddev|stdvar|count_values)\s*(by|without)?\s*\("
)
_GROUPING = re.compile(r"\b(by|without)\s*\(([^)]*)\)")
_RATE = re.compile(r"\b(rate|irate|increase|delta|idelta|deriv|resets|changes|\w+_over_time)\s*\(")
_RELABEL = re.compile(r"\blabel_(replace|join)\s*\(")
_UTILIZATION = re.compile(
    r"dcgm_fi_|container_cpu_|container_memory_|node_cpu_|node_memory_|process_cpu_|process_resident_|nvidia_",
    re.IGNORECASE,
)
_FROM_PODS = re.compile(r"vllm:|dcgm_fi_|container_(cpu|memory)_|process_(cpu|resident)_", re.IGNORECASE)
_WITH_DEFAULT = re.compile(r"\bor\b[^)]*\bvector\s*\(|\babsent\s*\(")
_QUANTILE = re.compile(r"\bhistogram_quantile\s*\(")
_COMPARISON = re.compile(r"[<>]=?|==|!=(?!~)")
_WAITING = "vllm:num_requests_waiting"
_BRACKET_OR_QUOTE = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`[^`]*`|[\"'`()\[\]{}]")
_CLOSES = {")": "(", "]": "[", "}": "{"}


def unbalanced(query: str) -> str | None:
    """The first bracket or quote that has no partner, in words; None where each has one."""
    opened: list[str] = []
    for token in _BRACKET_OR_QUOTE.findall(query):
        if token in _CLOSES:
            if not opened or opened.pop() != _CLOSES[token]:
                return f"has a {token} without its {_CLOSES[token]}"
        elif token in _CLOSES.values():
            opened.append(token)
        elif len(token) == 1 and token != "#":
            return f"has a {token} that is never closed"
    return f"has a {opened[-1]} that is never closed" if opened else None


def _bare(query: str) -> str:
    """The query without comments and the contents of its strings."""
    return _COMMENT_OR_STRING.sub('""', query)


def metrics_of(query: str) -> frozenset[str]:
    """Every word that may be a metric, histogram and counter suffixes also taken off."""
    words = {*_WORD.findall(_bare(query)), *_NAME_MATCHER.findall(query)}
    return frozenset(words | {_HISTOGRAM_SUFFIX.sub("", word) for word in words})


def aggregates(query: str) -> bool:
    """True if any function of the query reduces the number of series."""
    return bool(_AGGREGATION.search(_bare(query)) or re.search(r"\bscalar\s*\(", _bare(query)))


def drops_pod(query: str) -> bool:
    """True if an aggregation drops the ``pod`` label."""
    bare = _bare(query)
    if not _AGGREGATION.search(bare) or _RELABEL.search(bare):
        return False
    groupings = [(word, re.split(r"[\s,]+", labels.strip())) for word, labels in _GROUPING.findall(bare)]
    return not any((word == "by") == ("pod" in labels) for word, labels in groupings)


def is_utilization(query: str) -> bool:
    """True if all metrics of the query are CPU, GPU or memory utilization."""
    bare = _bare(query) + " ".join(_NAME_MATCHER.findall(query))
    return bool(_UTILIZATION.search(bare)) and "vllm:" not in bare


def is_waiting(query: str) -> bool:
    """True if waiting requests are the only vLLM metric in the query."""
    names = {name for name in metrics_of(query) if name.startswith("vllm:")}
    return bool(names) and all(name.startswith(_WAITING) for name in names)


def vanishes_at_zero(query: str) -> bool:
    """True if the query reads only metrics of pods, and has no default for their absence."""
    bare = _bare(query) + " ".join(_NAME_MATCHER.findall(query))
    return bool(_FROM_PODS.search(bare)) and not _WITH_DEFAULT.search(bare)


def nan_without_requests(query: str) -> bool:
    """True if the query takes a quantile, which is NaN without counts, and no comparison drops the NaN."""
    outside_of_selectors = re.sub(r"\{[^{}]*\}", "", _bare(query))
    return bool(_QUANTILE.search(outside_of_selectors)) and not _COMPARISON.search(outside_of_selectors)


def raw_counters(query: str) -> tuple[str, ...]:
    """Counters in a query that takes no rate of anything."""
    bare = _bare(query)
    if _RATE.search(bare):
        return ()
    return tuple(dict.fromkeys(word for word in _WORD.findall(bare) if word.endswith("_total")))
