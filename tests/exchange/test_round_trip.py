"""policy -> HPA -> policy: the decisions stay the same."""

from __future__ import annotations

from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.documents.policies import load_policies
from autoscaler.exchange.convert import convert_text
from autoscaler.exchange.to_hpa import hpa_of_policy
from autoscaler.ports.policies import StoredPolicy
from tests.parity import scenarios
from tests.parity.test_exact_mode import as_policy, observation


def through_an_hpa(policy: ScalingPolicy, external: bool) -> ScalingPolicy:
    written = hpa_of_policy(StoredPolicy("chat", policy.metadata.name, policy), external)
    (converted,) = convert_text(yaml.safe_dump(written.hpa), "hpa.yaml").converted
    return converted.loaded.policy


@given(st.randoms(use_true_random=False), st.booleans())
def test_an_hpa_and_back_decides_the_same(rng: Random, external: bool) -> None:
    spec = {**scenarios.spec(rng), "toleranceRule": "v1.33", "zeroRule": "v1.36"}
    policy = as_policy(spec)
    again = through_an_hpa(policy, external)
    now, replicas = 1000.0, rng.randint(0, 20)
    state = initial_state(replicas, now)
    for sync in scenarios.syncs(rng, spec, 5):
        now += sync.gap
        seen = observation(sync, replicas, max(0, replicas + sync.surge))
        decision, after = evaluate(policy, seen, state, now)
        assert evaluate(again, seen, state, now) == (decision, after)
        state = record_scale(policy, after, decision, now)
        replicas = decision.desired_replicas


@pytest.mark.parametrize("name", ["queue-size", "batch-size", "chat"])
@pytest.mark.parametrize("external", [True, False])
def test_the_library_keeps_its_metrics_and_rules(name: str, external: bool) -> None:
    from autoscaler.documents.library import library_path

    (loaded,) = load_policies(library_path(name))
    spec = loaded.policy.spec
    again = through_an_hpa(loaded.policy, external).spec
    drivers = [metric for metric in spec.metrics if metric.role == "Driver"]
    assert [(one.name, one.signal, one.target) for one in again.metrics] == [
        (one.name, one.signal, one.target) for one in drivers
    ]
    assert (again.min_replicas, again.max_replicas) == (spec.min_replicas, spec.max_replicas)
    assert (again.scale_up, again.scale_down) == (spec.scale_up, spec.scale_down)


def test_what_an_hpa_cannot_say_is_said() -> None:
    document = as_policy(scenarios.spec(Random(1))).model_dump(mode="json", by_alias=True, exclude_none=True)
    del document["spec"]["zeroRule"]
    document["spec"] |= {
        "semantics": "LLM",
        "mode": "Paused",
        "freeze": "ScaleUp",
        "minReplicas": 0,
        "fallback": {"replicas": 1},
        "behavior": {"scaleUp": {"tolerance": 0.2}},
        "schedules": [{"name": "a", "cron": "0 8 * * *", "durationSeconds": 60, "minReplicas": 1}],
    }
    document["spec"]["metrics"] += [
        {"signal": "ttft", "role": "Guard", "target": {"type": "Value", "value": 1}},
        {"signal": "waiting", "missingData": "Zero", "target": {"type": "PodsAverage", "averageValue": 1}},
    ]
    policy = ScalingPolicy.model_validate(document)
    remarks = hpa_of_policy(StoredPolicy("chat", "chat", policy), True).remarks
    starts = [remark.split(" ")[0] for remark in remarks]
    assert starts == [
        *("semantics:", "fallback:", "schedules:", "mode:", "freeze:", "minReplicas:"),
        *("behavior.*.tolerance", "metrics:", "metrics:", "metrics:"),
    ]
