"""Label selectors mean what they mean to Kubernetes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.selectors import MAX_TEXT, matches, parse_selector, selector_of, selector_text

LABELS = {"app": "vllm", "tier": "a", "replica": "7", "empty": "", "example.com/role": "leader"}

CASES = [
    ("", True),
    ("app=vllm", True),
    ("app==vllm", True),
    (" app = vllm ", True),
    ("app=other", False),
    ("app!=other", True),
    ("app!=vllm", False),
    ("gone!=x", True),
    ("app", True),
    ("gone", False),
    ("!gone", True),
    ("! app", False),
    ("tier in (a, b)", True),
    ("tier in (b)", False),
    ("tier notin (b,c)", True),
    ("gone notin (b)", True),
    ("gone in (b)", False),
    ("empty=", True),
    ("empty in ()", True),
    ("app in (,vllm)", True),
    ("replica>6", True),
    ("replica<6", False),
    ("tier>1", False),
    ("example.com/role=leader", True),
    ("app=vllm,tier in (a),!gone", True),
    ("app=vllm,tier=b", False),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_selector_chooses(text, expected):
    assert matches(parse_selector(text), LABELS) is expected


@pytest.mark.parametrize(
    "text",
    [
        *("app=vllm,", ",app", "=vllm", "app=a=b", "app in a", "app in (a", "app in (a b)", "a b", "app>x"),
        *(
            "-app=x",
            "app=-x",
            "a/b/c=x",
            "app=" + "x" * 64,
            "app='; drop'",
            'app="vllm"',
            "app={}",
            "!",
            "a>",
        ),
        *("x" * (MAX_TEXT + 1), ",".join(f"a{i}" for i in range(65))),
    ],
)
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(ValueError, match=r"selector|label|whole numbers"):
        parse_selector(text)


def test_a_selector_object_and_its_text_are_in_the_order_of_go():
    selector = {
        "matchLabels": {"tier": "a", "app": "vllm"},
        "matchExpressions": [
            {"key": "zone", "operator": "NotIn", "values": ["b", "a"]},
            {"key": "canary", "operator": "DoesNotExist"},
            {"key": "pool", "operator": "Exists"},
        ],
    }
    text = "app=vllm,!canary,pool,tier=a,zone notin (a,b)"
    assert selector_text(selector_of(selector)) == text
    assert parse_selector(text) == selector_of(selector)


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "a", "operator": "Near"},
        {"key": "a", "operator": "In", "values": []},
        {"key": "a", "operator": "Exists", "values": ["x"]},
        {"key": "a b", "operator": "Exists"},
    ],
)
def test_a_selector_object_that_means_nothing_is_refused(expression):
    with pytest.raises(ValueError, match=r"not a requirement|not a label key"):
        selector_of({"matchExpressions": [expression]})


words = st.from_regex(r"[a-z0-9]([-a-z0-9_.]{0,5}[a-z0-9])?", fullmatch=True)
expressions = st.one_of(
    st.fixed_dictionaries({"key": words, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
    st.fixed_dictionaries(
        {
            "key": words,
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(words, min_size=1, max_size=3),
        }
    ),
)


@given(st.dictionaries(words, words, max_size=3), st.lists(expressions, max_size=3))
def test_text_and_object_mean_the_same(labels, expressions):
    requirements = selector_of({"matchLabels": labels, "matchExpressions": expressions})
    assert parse_selector(selector_text(requirements)) == requirements


@given(st.text("a1=!<>(), .-/in\n\0é", max_size=30))
def test_any_text_is_a_selector_or_an_error(text):
    try:
        requirements = parse_selector(text)
    except ValueError:
        return
    assert parse_selector(selector_text(requirements)) == requirements
