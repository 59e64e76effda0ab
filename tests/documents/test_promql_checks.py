"""Queries that no server would take."""

from __future__ import annotations

import pytest

from autoscaler.documents.policies import load_policy_text
from autoscaler.documents.promql_checks import unbalanced
from autoscaler.errors import PolicyError

GOOD = 'sum(rate(vllm:prompt_tokens_total{model_name=~"a(b|c)]", pod!=\'x"y\'}[5m])) # not ( closed'


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        (GOOD, None),
        ("up{a=`\\`}", None),
        (r'up{a="\\\"("}', None),
        ("# only ( a ' comment", None),
        ("sum(rate(a[5m])", "has a ( that is never closed"),
        ("sum(a))", "has a ) without its ("),
        ("sum(a[5m)]", "has a ) without its ("),
        ("a{b='c}", "has a ' that is never closed"),
        ('a{b="c\nd"}', 'has a " that is never closed'),
        ("a{b=`c}", "has a ` that is never closed"),
        ("a}", "has a } without its {"),
    ],
)
def test_every_bracket_and_quote_has_its_partner(query, fault):
    assert unbalanced(query) == fault


@pytest.mark.parametrize("bracket", "()[]{}")
def test_a_query_that_lost_any_of_its_brackets_is_unbalanced(bracket):
    query = "sum(rate(a{b!='0'}[5m])) / (1 + max_over_time(c{}[1h]))"
    places = [index for index, char in enumerate(query) if char == bracket]
    assert places
    for index in places:
        assert unbalanced(query[:index] + query[index + 1 :]) is not None


def test_the_loader_names_the_line_and_the_field():
    text = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: ScalingPolicy
metadata: {name: a}
spec:
  scaleTargetRef: {kind: Deployment, name: vllm}
  maxReplicas: 10
  metrics:
  - name: load
    query: sum(rate(a[5m])
    target: {type: AverageValue, averageValue: 32}
"""
    with pytest.raises(PolicyError) as caught:
        load_policy_text(text, "p.yaml")
    assert str(caught.value) == "p.yaml:9: spec.metrics[0].query: has a ( that is never closed"
