"""A small world for the adapter: pods, a source and Kubernetes' judgement, as a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoscaler.adapter.registry import MetricRegistry, build_registry
from autoscaler.api.models import ScalingPolicy
from autoscaler.decision.types import Pod
from autoscaler.documents.exports import MetricExport
from autoscaler.errors import ClusterError, TargetError
from autoscaler.ports.identity import Access, AuthenticationConfig, User
from autoscaler.ports.metrics import Answer, Buckets, Point, Question
from autoscaler.ports.policies import StoredPolicy
from autoscaler.ports.targets import Scale, TargetKey, TargetPods
from autoscaler.selectors import matches, parse_selector

NOW = 1_800_000_000.0


def export(*metrics: dict[str, Any], app: str = "vllm") -> MetricExport:
    return MetricExport.model_validate(
        {
            "apiVersion": "vllm-autoscaler.io/v1alpha1",
            "kind": "MetricExport",
            "metadata": {"name": "names", "namespace": "chat"},
            "spec": {"selector": {"matchLabels": {"app": app}}, "metrics": list(metrics)},
        }
    )


def policy(*metrics: dict[str, Any], **spec: Any) -> StoredPolicy:
    policy = ScalingPolicy.model_validate(
        {
            "apiVersion": "vllm-autoscaler.io/v1alpha1",
            "kind": "ScalingPolicy",
            "metadata": {"name": "chat", "namespace": "chat"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
                "maxReplicas": 10,
                "metrics": list(metrics),
                **spec,
            },
        }
    )
    return StoredPolicy("chat", "chat", policy)


WAITING = {"name": "num_requests_waiting", "signal": "waiting", "aliases": ["gcm|waiting|gauge"]}
TTFT = {"signal": "ttft", "target": {"type": "Value", "value": 1}, "windowSeconds": 60}


def served(
    *policies: StoredPolicy, exports: Iterable[MetricExport] = (), queries_in: Sequence[str] = ("*",)
) -> MetricRegistry:
    return build_registry(policies, [("chat", one) for one in exports], queries_in)


@dataclass
class Source:
    """Answers what it was told; counts how often it was asked."""

    answer: Answer = field(default_factory=Answer)
    asked: int = 0
    before: Callable[[], None] = lambda: None

    def answers(
        self, questions: Collection[Question], _namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        self.asked += 1
        self.before()
        return dict.fromkeys(questions, self.answer)


@dataclass
class Fleet:
    """Pods of one namespace with their labels, behind one scale target."""

    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    pods_: dict[str, Pod] = field(default_factory=dict)
    broken: str = ""
    before: Callable[[], object] = lambda: None

    def add(self, *names: str, app: str = "vllm", **fields: Any) -> Fleet:
        for name in names:
            self.pods_[name] = Pod(name, **fields)
            self.labels[name] = {"app": app}
        return self

    def pods(self, namespace: str, selector: str) -> Sequence[Pod]:
        self.before()
        if self.broken:
            raise ClusterError(self.broken)
        requirements = parse_selector(selector)
        if not requirements:
            raise TargetError("no selector")
        if namespace != "chat":
            return []
        return [pod for name, pod in self.pods_.items() if matches(requirements, self.labels[name])]

    def own_pods(self, target: TargetKey, selector: str) -> TargetPods:
        return TargetPods(tuple(self.pods(target.namespace, selector)))

    def read(self, _target: TargetKey, *, fresh: bool = False) -> Scale:  # noqa: ARG002
        return Scale(len(self.pods_), len(self.pods_), "app=vllm", "1")

    def write(self, _target: TargetKey, _scale: Scale, _replicas: int) -> Scale:
        raise AssertionError("the adapter never writes")


def points(values: Mapping[str, float], at: float = NOW, namespace: str = "chat") -> Answer:
    return Answer(points=tuple(Point(value, at, namespace, pod) for pod, value in values.items()))


def buckets(*pods: str, at: float = NOW) -> Answer:
    """All requests took between 0.5 and 1 s."""
    bounds, rates = (0.5, 1.0, float("inf")), (0.0, 2.0, 2.0)
    return Answer(buckets=tuple(Buckets(bounds, rates, at, "chat", pod) for pod in pods))


@dataclass
class Judge:
    """TokenReview and SubjectAccessReview: tokens by name, rights by user."""

    tokens: dict[str, User] = field(default_factory=dict)
    may: Callable[[User, Access], bool] = lambda _user, _access: False
    reviews: list[object] = field(default_factory=list)
    failures: int = 0

    def authenticate(self, token: str) -> User | None:
        self.reviews.append(token)
        self._fail()
        return self.tokens.get(token)

    def authorize(self, user: User, access: Access) -> bool:
        self.reviews.append((user, access))
        self._fail()
        return self.may(user, access)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ClusterError("no answer")


@dataclass
class Trusted:
    """A TrustSource whose trust can be replaced."""

    now: AuthenticationConfig = field(default_factory=AuthenticationConfig)

    def trust(self) -> AuthenticationConfig:
        return self.now
