"""What /metrics says about a policy while it is scaled."""

from __future__ import annotations

from tests.controller.fakes import world

VLLM = {"policy_namespace": "chat", "policy": "vllm"}


def test_how_a_policy_stands_and_why() -> None:
    with world() as made:
        made.sync(load=10)
        said = {
            name: made.metric(f"{name}_replicas", **VLLM)
            for name in ("desired", "current", "ready", "min", "max")
        }
        assert said == {"desired": 4, "current": 2, "ready": 2, "min": 1, "max": 10}
        assert made.metric("last_decision_info", **VLLM, reason="AboveTarget") == 1


def test_the_last_reason_replaces_the_one_before() -> None:
    with world() as made:
        made.sync(load=10)
        made.sync(load=5)
        assert made.metric("last_decision_info", **VLLM, reason="AboveTarget") is None
        assert made.metric("last_decision_info", **VLLM, reason="WithinTolerance") == 1


def test_a_start_is_measured_from_the_order_to_the_last_ready_replica() -> None:
    with world() as made:
        made.chat.ready = 2
        made.sync(load=10)
        assert made.chat.replicas == 4
        for ready in (2, 3, 3):
            made.chat.ready = ready
            made.sync(load=5)
        assert made.metric("replica_start_seconds_count") == 0
        made.chat.ready = 4
        made.sync(load=5)
        assert made.metric("replica_start_seconds_count") == 1
        assert made.metric("replica_start_seconds_sum") == 60


def test_a_policy_that_is_gone_is_not_told_of() -> None:
    with world() as made:
        made.controller.step()
        made.wait()
        made.controller.close()
        assert made.metric("current_replicas", **VLLM) == 2
        made.store.stored.clear()
        made.controller.step()
        assert made.metric("current_replicas", **VLLM) is None
