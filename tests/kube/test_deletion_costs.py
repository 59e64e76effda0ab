from __future__ import annotations

import pytest

from autoscaler.errors import ClusterError
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.deletion_costs import KubeDeletionCosts
from autoscaler.kube.pods import PodIndex

from .objects import pod

PODS = "/api/v1/namespaces/chat/pods"


@pytest.fixture
def costs(double):
    body = {"metadata": {"resourceVersion": "1"}, "items": [pod("idle"), pod("busy", cost="40"), pod("full")]}
    double.on("GET", "/api/v1/pods", lambda call: call.json(body))
    for name in ("idle", "busy", "full"):
        double.on("PATCH", f"{PODS}/{name}", lambda call: call.json({}))
    watched = Informer(double.api(), "/api/v1/pods", (), PodIndex)
    watched.start()
    assert watched.wait(30)
    yield KubeDeletionCosts(double.api(), watched)
    watched.stop()


def test_pods_are_annotated_with_what_has_changed(double, costs):
    costs.write("chat", {"idle": 0, "busy": 40, "gone": 7})
    (request,) = double.seen("PATCH")
    assert request.path == f"{PODS}/idle"
    assert request.body == {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "0"}}}


def test_one_that_fails_does_not_keep_the_others_from_theirs(double, costs):
    double.instead("PATCH", f"{PODS}/idle", lambda call: call.refuse(403, "Forbidden", "cannot patch pods"))
    with pytest.raises(ClusterError, match="1 deletion costs were not written: cannot patch pods"):
        costs.write("chat", {"idle": 1, "busy": 2, "full": 3})
    assert len(double.seen("PATCH")) == 3


def test_one_that_went_meanwhile_is_no_failure(double, costs):
    double.instead("PATCH", f"{PODS}/idle", lambda call: call.refuse(404, "NotFound"))
    costs.write("chat", {"idle": 1})
    assert len(double.seen("PATCH")) == 1
