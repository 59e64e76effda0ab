from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.decision.types import Pod, PodPhase
from autoscaler.errors import TargetError
from autoscaler.kube.pods import PodIndex
from autoscaler.selectors import matches, parse_selector

from .objects import pod


def names(index: PodIndex, selector: str, namespace: str = "chat") -> list[str]:
    return [found.name for found in index.select(namespace, selector)]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, Pod("a")),
        ({"ready": False}, Pod("a", ready=False)),
        ({"phase": "Pending", "ready": False}, Pod("a", PodPhase.PENDING, ready=False)),
        ({"phase": "Failed"}, Pod("a", PodPhase.FAILED)),
        ({"phase": "Succeeded"}, Pod("a", PodPhase.SUCCEEDED)),
        ({"phase": "Unknown", "ready": False}, Pod("a", PodPhase.RUNNING, ready=False)),
        ({"deleting": True}, Pod("a", deleting=True)),
    ],
)
def test_a_pod_is_what_the_engine_needs_to_know(state, expected):
    index = PodIndex()
    index.put(pod("a", **state))
    assert index.select("chat", "app=vllm") == [expected]


def test_a_pod_without_a_status_yet_is_pending():
    index = PodIndex()
    index.put({"metadata": {"name": "a", "namespace": "chat", "labels": {"app": "vllm"}}})
    assert index.select("chat", "app=vllm") == [Pod("a", PodPhase.PENDING, ready=False)]


def test_pods_are_found_by_label_within_their_namespace():
    index = PodIndex()
    index.replace(
        [
            pod("a"),
            pod("b", labels={"app": "vllm", "tier": "gold"}),
            pod("c", labels={"app": "other"}),
            pod("a", "elsewhere"),
        ]
    )
    assert names(index, "app=vllm") == ["a", "b"]
    assert names(index, "app=vllm,tier in (gold, silver)") == ["b"]
    assert names(index, "app,!tier") == ["a", "c"]
    assert names(index, "app=vllm", "elsewhere") == ["a"]
    assert names(index, "app=nothing") == []


@pytest.mark.parametrize("selector", ["", "app=", "app in ("])
def test_a_selector_that_selects_nothing_in_particular_is_refused(selector):
    index = PodIndex()
    index.put(pod("a"))
    if selector == "app=":
        assert names(index, selector) == []
        return
    with pytest.raises(TargetError, match="selector"):
        index.select("chat", selector)


def test_a_pod_that_changes_its_labels_is_found_by_the_new_ones_alone():
    index = PodIndex()
    index.put(pod("a"))
    index.put(pod("a", labels={"app": "other"}))
    assert (names(index, "app=vllm"), names(index, "app=other")) == ([], ["a"])


def test_a_pod_that_is_gone_is_not_found_and_dropping_it_twice_is_fine():
    index = PodIndex()
    index.put(pod("a"))
    index.drop(pod("a"))
    index.drop(pod("a"))
    assert (names(index, "app=vllm"), index.find("chat", "a")) == ([], None)


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)
CHANGES = st.lists(st.tuples(st.sampled_from(["put", "drop", "replace"]), st.sampled_from("pqr"), LABELS))
SELECTORS = st.sampled_from(["a=x", "a=x,b=y", "a", "!a", "a!=x", "c in (x,y)", "a=x,c notin (y)"])


@given(CHANGES, SELECTORS)
def test_the_index_finds_what_a_look_at_every_pod_finds(changes, selector):
    index, pods = PodIndex(), {}
    for change, name, labels in changes:
        if change == "replace":
            pods = {name: labels}
            index.replace([pod(name, labels=labels)])
        elif change == "put":
            pods[name] = labels
            index.put(pod(name, labels=labels))
        else:
            pods.pop(name, None)
            index.drop(pod(name))
    requirements = parse_selector(selector)
    assert names(index, selector) == sorted(n for n, labels in pods.items() if matches(requirements, labels))


def test_long_selectors_find_pods_and_leave_little_behind():
    index = PodIndex()
    index.put(pod("a"))
    many = ",".join(f"v{number}" for number in range(1000))
    assert names(index, f"app notin ({many})") == ["a"]
    tracemalloc.start()
    try:
        for number in range(30):
            assert names(index, f"app in ({many},w{number})") == []
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 30 * 1024
