from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents.library import library_names, library_path
from autoscaler.documents.policies import load_policies, load_policy_text
from autoscaler.documents.yaml_source import MAX_DEPTH, POLICY_FILE
from autoscaler.errors import Diagnostic, PolicyError
from tests.api.build import HEAD, HEAD_LINES, METRICS, VALID
from tests.documents.broken import WRONG_LINES, WRONG_METRICS, with_spec

OTHER = VALID.replace("name: chat", "name: other")


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_policy_text(text, "p.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_a_valid_document_gives_a_policy_with_its_place() -> None:
    (loaded,) = load_policy_text(f"# a comment\n{VALID}", "p.yaml")
    assert loaded.policy.metadata.name == "chat"
    assert (loaded.file, loaded.line) == ("p.yaml", 2)


def test_every_document_of_a_file_is_loaded_and_empty_ones_are_skipped() -> None:
    text = f"---\n{VALID}---\n# nothing here\n---\n---\n{OTHER}---\n"
    assert [item.policy.metadata.name for item in load_policy_text(text, "p.yaml")] == ["chat", "other"]


@pytest.mark.parametrize(("line", "problem"), WRONG_LINES)
def test_a_wrong_line_is_named_with_what_would_be_right(line: str, problem: str) -> None:
    text = f"{VALID}  {line}\n"
    assert problems(text) == [f"p.yaml:{len(text.splitlines())}: spec.{problem}"]


@pytest.mark.parametrize(("metric", "problem"), WRONG_METRICS)
def test_a_metric_is_checked_as_a_whole(metric: str, problem: str | None) -> None:
    found = problems(with_spec(f"maxReplicas: 10\nmetrics:\n- {metric}"))
    if problem is None:
        assert found == [
            "p.yaml:8: spec.metrics: every metric is a Guard: at least one must have the role Driver"
        ]
    else:
        assert f"p.yaml:9: spec.metrics[0]{problem}" in found


def test_all_problems_come_at_once_in_line_order() -> None:
    found = problems(
        with_spec(
            """\
minReplicas: 5
maxReplicas: 3
minReplicas: 4
max_age: 3
metrics:
- signal: wating
  target: {type: PodsAverage, averageValue: 0}
- signal: running
  name: a
  target:
    type: Value
    averageValue: 1
- signal: waiting
  name: a
  target: {type: PodsAverage, averageValue: 1}
behavior:
  scaleDown:
    stabilizationWindowSeconds: "300"
schedules:
- name: x
  cron: '@daily'
  durationSeconds: 5
  minReplicas: 9
  maxReplicas: 8"""
        )
    )
    places = [line.split(": ")[0].removeprefix("p.yaml:") + " " + line.split(": ")[1] for line in found]
    assert places == [
        "7 spec.minReplicas",
        "9 spec.minReplicas",
        "10 spec.max_age",
        "12 spec.metrics[0].signal",
        "13 spec.metrics[0].target.averageValue",
        "16 spec.metrics[1].target",
        "18 spec.metrics[1].target.averageValue",
        "20 spec.metrics[2].name",
        "24 spec.behavior.scaleDown.stabilizationWindowSeconds",
        "27 spec.schedules[0].cron",
        "28 spec.schedules[0].durationSeconds",
        "29 spec.schedules[0].minReplicas",
    ]


def test_a_missing_field_is_reported_at_its_parent_and_a_misspelt_one_once() -> None:
    assert problems(with_spec("max_replicas: 3\n" + METRICS.replace("\n  ", "\n").strip())) == [
        "p.yaml:7: spec.max_replicas: is not a field here: did you mean maxReplicas?"
    ]
    assert problems(HEAD + METRICS) == [
        "p.yaml:5: spec.maxReplicas: is missing: set it to an integer from 1 to 2147483647"
    ]


SERVER_SET = """
  uid: 8e0e2b5c-9c1f-4a4e-8b7c-0d5f2d1c7a3e
  resourceVersion: "4711"
  generation: 3
  creationTimestamp: "2027-01-15T08:00:00Z"
  managedFields: [{manager: kubectl, operation: Update}]
"""


def test_a_policy_as_the_api_server_gives_it_back_is_what_was_applied() -> None:
    name = "  name: chat\n"
    assert name in VALID
    given = VALID.replace(name, name + SERVER_SET) + "status: {lastDecision: {desiredReplicas: 3}}\n"
    (loaded,) = load_policy_text(given, "p.yaml")
    assert loaded.policy == load_policy_text(VALID, "p.yaml")[0].policy
    assert problems(given.replace("maxReplicas: 10", "maxReplicas: 0")) != []


def test_a_list_as_kubectl_prints_several_is_its_policies() -> None:
    items = "".join(textwrap.indent(given, "  ").replace("  ", "- ", 1) for given in (VALID, OTHER))
    text = f"apiVersion: v1\nkind: List\nmetadata:\n  resourceVersion: ''\nitems:\n{items}"
    assert [one.policy.metadata.name for one in load_policy_text(text, "p.yaml")] == ["chat", "other"]
    line = text[: text.rindex("maxReplicas: 10")].count("\n") + 1
    found = problems("maxReplicas: 0".join(text.rsplit("maxReplicas: 10", 1)))
    assert found == [f"p.yaml:{line}: spec.maxReplicas: must be at least 1, is 0"]


def test_a_list_of_nothing_holds_no_policy() -> None:
    assert problems("apiVersion: v1\nkind: List\nitems: []\n")[0].startswith("p.yaml: holds no policy")


def test_a_file_that_no_server_gave_has_no_status() -> None:
    assert [text.partition(":")[2].split(":")[1] for text in problems(VALID + "status: {}\n")] == [" status"]


def test_a_bad_second_document_is_found_on_its_own_lines() -> None:
    second = OTHER.replace("maxReplicas: 10", "maxReplicas: 0")
    line = len(VALID.splitlines()) + 1 + HEAD_LINES + 1
    assert problems(f"{VALID}---\n{second}") == [f"p.yaml:{line}: spec.maxReplicas: must be at least 1, is 0"]


def test_a_syntax_error_in_the_second_document_does_not_hide_the_first_ones_problems() -> None:
    first = VALID.replace("maxReplicas: 10", "maxReplicas: 0")
    found = problems(f"{first}---\na: b\n\tc: d\n")
    assert found == [
        "p.yaml:7: spec.maxReplicas: must be at least 1, is 0",
        "p.yaml:13: is indented with a tab: YAML wants spaces",
    ]


def test_two_policies_with_one_name_in_one_namespace_are_a_problem() -> None:
    elsewhere = VALID.replace("name: chat", "name: chat\n  namespace: other")
    again = f"{VALID}---\n{elsewhere}---\n{VALID}"
    assert problems(again) == [
        'p.yaml:27: metadata.name: the policy "chat" was already defined at line 4: give it another name'
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty: a policy begins with"),
        ("\n \n", "is empty: a policy begins with"),
        ("# only words\n---\n", "holds no policy: a policy begins with"),
        ("- a\n", "1: is not a policy document, but a list: a policy begins with"),
        ("\njust words\n", "2: is not a policy document, but a single value: a policy begins with"),
        (b"\x7fELF\x00\x01", "1: has the control character U+007F"),
        (b"apiVersion: a\x00b", "has the control character U+0000"),
        (b"a: b\nc: \x1b[31m", "2: has the control character U+001B"),
        (b"\xff\xfea\x00", "is not UTF-8 text (byte 0)"),
        (b"x" * (POLICY_FILE.size + 1), "is too large: at most 1048576 bytes are read"),
        ("a: [1, 2\n", "2: is not YAML:"),
        ("a: b: c\n", "1: is not YAML:"),
        ("{a: *nowhere}\n", "1: a: the alias *nowhere has no anchor &nowhere before it"),
        ("spec: &a {b: *a}\n", "1: spec.b: the alias *a contains itself"),
        ("spec: &a [x, *a]\n", "1: spec[1]: the alias *a contains itself"),
        ("1: a\n", "1: the key 1 is not a string: put it in quotes"),
        ("on: a\n", "1: the key true is not a string: put it in quotes"),
        ("? [a]\n: b\n", "1: the key (a list or mapping) is not a string: put it in quotes"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "1: a: has the YAML tag !!python/object/apply:os.system",
        ),
        ("a: !mine b\n", "1: a: has the YAML tag !mine"),
        (
            "b: &b {c: d}\na: {<<: *b}\n",
            '2: a["<<"]: merge keys (<<) are not supported: write the fields out',
        ),
        ("a:\n- \n- b\n", "2: a[0]: is an empty list entry"),
        ("a: {b: 1, c: {d: 1, d: 2}}\n", "1: a.c.d: is set twice, first on line 1: keep one of them"),
    ],
)
def test_broken_input_is_explained(text: str | bytes, problem: str) -> None:
    prefix = "p.yaml:" if problem[0].isdigit() else "p.yaml: "
    assert any(found.startswith(f"{prefix}{problem}") for found in problems(text)), problems(text)


def test_a_tagged_value_is_reported_once_and_not_for_its_type_too() -> None:
    text = VALID.replace("maxReplicas: 10", "maxReplicas: !!python/name:os.system x")
    assert len(problems(text)) == 1


def test_aliases_repeat_values() -> None:
    text = VALID.replace("target: {", "target: &t {") + "  - {signal: running, target: *t}\n"
    (loaded,) = load_policy_text(text, "p.yaml")
    assert [metric.target.milli for metric in loaded.policy.spec.metrics] == [32000, 32000]


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert problems("\n".join(lines))[-1].endswith("are there aliases that multiply?")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_deep_nesting_is_stopped(opening: str, closing: str, depth: int) -> None:
    (problem,) = problems(f"a: {opening * depth}{closing * depth}\n")
    assert problem.endswith(f"is nested deeper than {MAX_DEPTH} levels: no policy needs that")


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        (
            "HorizontalPodAutoscaler",
            "`autoscale import` turns one into a policy",
        ),
        ("ScaledObject", "`autoscale import` turns KEDA's into a policy"),
        ("Deployment", "this document is none of ours"),
    ],
)
def test_another_kind_gets_one_hint_instead_of_a_list_of_unknown_fields(kind: str, hint: str) -> None:
    (problem,) = problems(f"apiVersion: other/v1\nkind: {kind}\nspec: {{minReplicaCount: 1}}\n")
    assert problem.startswith(f"p.yaml:2: kind: must be ScalingPolicy, not {kind}")
    assert hint in problem


def test_a_wrong_version_and_a_misspelt_kind_do_not_hide_the_rest() -> None:
    text = VALID.replace("v1alpha1", "v1").replace("kind: ScalingPolicy", "kind: Scalingpolicy")
    assert problems(text.replace("maxReplicas: 10", "maxReplicas: 0")) == [
        'p.yaml:1: apiVersion: must be vllm-autoscaler.io/v1alpha1, not the string "vllm-autoscaler.io/v1"',
        'p.yaml:2: kind: must be ScalingPolicy, not the string "Scalingpolicy"',
        "p.yaml:7: spec.maxReplicas: must be at least 1, is 0",
    ]


def test_files_that_cannot_be_read_are_problems_without_a_line(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "is a directory"), (tmp_path / "none.yaml", "does not exist")):
        with pytest.raises(PolicyError) as caught:
            load_policies(path)
        assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "secret.yaml"
    path.write_text(VALID)
    path.chmod(0)
    with pytest.raises(PolicyError, match="cannot be read: permission denied"):
        load_policies(path)


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    (loaded,) = load_policy_text(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode(), "p.yaml")
    assert loaded.policy.spec.max_replicas == 10


@given(st.data())
def test_damaged_policies_never_end_in_anything_but_a_policy_error(data: st.DataObject) -> None:
    text = library_path(data.draw(st.sampled_from(library_names()))).read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    damaged = text[:start] + data.draw(st.text(max_size=8)) + text[end:]
    found: tuple[Diagnostic, ...] = ()
    try:
        load_policy_text(damaged, "p.yaml")
    except PolicyError as error:
        found = error.problems
    lines = len(damaged.splitlines()) + 1
    assert all(problem.line is None or 1 <= problem.line <= lines for problem in found)
