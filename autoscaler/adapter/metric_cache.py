"""The current values, ready to be sent: one answer of the source and one rendering for all callers.

The source is asked once per refresh for all pods and all callers. Its values are joined with the
watched pods at most once a second, so that a pod that is gone is gone here too, and rendered only
when something changed. All of that happens in threads; requests wait for it, but not for long. Pods
are looked up in threads of their own, which a source that hangs does not hold.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeVar

from autoscaler.adapter.registry import MetricRegistry, ServedMetric
from autoscaler.adapter.values import Values, values
from autoscaler.adapter.wire import CUSTOM, EXTERNAL, Item, custom_item, external_item, value_list
from autoscaler.decision.types import Pod
from autoscaler.errors import ClusterError, TargetError
from autoscaler.ports.metrics import Answer, MetricSource
from autoscaler.ports.targets import ScaleTargets, TargetKey
from autoscaler.telemetry.log_once import News

JOIN_SECONDS = 1.0
"""How long a join with the pods is reused."""
LEEWAY_SECONDS = 5.0
"""How long it is still served while the next one is made, so that frequent callers never wait."""
WAIT_SECONDS = 3.0
"""How long a request waits for news. The aggregator gives up after 5 s."""
WORKERS = 4
LOOKERS = 2

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CachedList:
    """A measure's items as JSON text by name of the object, and the whole list as it is sent.

    ``expires``: when its oldest value becomes too old.
    """

    items: Mapping[str, str]
    body: bytes
    joined: float
    expires: float
    answer: Answer | None = field(repr=False, default=None)
    pods: tuple[Pod, ...] = field(repr=False, default=())


class MetricCache:
    """Tables by measure and version. For one event loop; the ports are used from threads."""

    def __init__(
        self,
        source: MetricSource,
        targets: ScaleTargets,
        clock: Callable[[], float] = time.time,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._source = source
        self._targets = targets
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._builders = ThreadPoolExecutor(WORKERS, thread_name_prefix="board")
        self._lookers = ThreadPoolExecutor(LOOKERS, thread_name_prefix="pods")
        self._tables: dict[tuple[ServedMetric, str], CachedList] = {}
        self._building: dict[tuple[ServedMetric, str], asyncio.Task[CachedList]] = {}
        self._logged: defaultdict[ServedMetric, News] = defaultdict(News)

    def close(self) -> None:
        """Ends the threads."""
        for pool in (self._builders, self._lookers):
            pool.shutdown(wait=False, cancel_futures=True)

    def keep(self, served: MetricRegistry) -> None:
        """Forgets metrics that are not served any more."""
        kept = set(served.measures)
        self._tables = {key: table for key, table in self._tables.items() if key[0] in kept}
        for measure in self._logged.keys() - kept:
            del self._logged[measure]

    async def table(self, measure: ServedMetric, version: str, served: MetricRegistry) -> CachedList:
        """The values of a measure that may be served now, in the form of a version of its group.

        When the source or the cluster takes too long, the last values are served unless they are too old.
        """
        key, now = (measure, version), self._clock()
        known = self._tables.get(key)
        # A clock that was set back knows no ages.
        age = inf if known is None or not known.joined <= now < known.expires else now - known.joined
        if known is not None and age < JOIN_SECONDS:
            return known
        task = self._building.get(key) or self._start(key, known, served)
        if known is not None and age < LEEWAY_SECONDS:
            return known
        done, _ = await asyncio.wait([task], timeout=self._wait_seconds)
        if done:
            return task.result()
        return known if known is not None and age < inf else _empty(measure, version, now)

    def _start(
        self, key: tuple[ServedMetric, str], known: CachedList | None, served: MetricRegistry
    ) -> asyncio.Task[CachedList]:
        async def renew() -> CachedList:
            loop = asyncio.get_running_loop()
            table = await loop.run_in_executor(self._builders, self._build, *key, known, served.namespaces)
            self._tables[key] = table
            return table

        def finished(task: asyncio.Task[CachedList]) -> None:
            self._building.pop(key, None)
            if not task.cancelled() and task.exception() is not None:
                log.error("%s could not be read", key[0].name, exc_info=task.exception())

        task = self._building[key] = asyncio.ensure_future(renew())
        task.add_done_callback(finished)
        return task

    async def chosen(self, measure: ServedMetric, table: CachedList, selector: str) -> frozenset[str] | None:
        """The names of the pods that a label selector finds; None where it finds the measure's own.

        Raises:
            TargetError: the selector is not valid.
            ClusterError: the list of pods is unavailable.
        """
        if not selector or selector == measure.whose:
            return None
        if isinstance(measure.whose, TargetKey) and selector == await self._look(self._selector, measure):
            return None
        pods = await self._look(self._targets.pods, measure.namespace, selector)
        return frozenset(pod.name for pod in pods if pod.name in table.items)

    async def _look(self, function: Callable[..., T], *arguments: object) -> T:
        """The cluster's answer within the time limit. Raises ``ClusterError`` as the ports do."""
        looking = asyncio.get_running_loop().run_in_executor(self._lookers, function, *arguments)
        try:
            return await asyncio.wait_for(looking, self._wait_seconds)
        except TimeoutError:
            raise ClusterError("the pods could not be looked up in time") from None

    # In threads

    def _build(
        self, measure: ServedMetric, version: str, known: CachedList | None, namespaces: frozenset[str]
    ) -> CachedList:
        try:
            pods = self._pods(measure)
        except (TargetError, ClusterError) as error:
            self._log_news(measure, str(error))
            return _empty(measure, version, self._clock())
        answer = self._source.answers([measure.question], namespaces)[measure.question]
        now = self._clock()
        if known is not None and known.answer is answer and known.pods == pods and now < known.expires:
            return replace(known, joined=now)
        return self._render(measure, version, answer, pods, now)

    def _render(
        self,
        measure: ServedMetric,
        version: str,
        answer: Answer,
        pods: tuple[Pod, ...],
        now: float,
    ) -> CachedList:
        found = values(measure, answer, pods, now)
        self._log_news(measure, found.reason)
        item = item_of(measure, version)
        items = {name: item(name, one.value, one.timestamp) for name, one in found.by_name.items()}
        body = value_list(CUSTOM if measure.resource else EXTERNAL, version, items.values())
        return CachedList(items, body, now, _expiry(measure, found), answer, pods)

    def _pods(self, measure: ServedMetric) -> tuple[Pod, ...]:
        """The pods that the values are of: the target's own, or those that a selector finds."""
        selector = self._selector(measure)
        if isinstance(measure.whose, TargetKey):
            return self._targets.own_pods(measure.whose, selector).pods
        return tuple(self._targets.pods(measure.namespace, selector))

    def _selector(self, measure: ServedMetric) -> str:
        """The label selector of the pods that the values are of."""
        if isinstance(measure.whose, TargetKey):
            return self._targets.read(measure.whose).selector
        return measure.whose

    def _log_news(self, measure: ServedMetric, reason: str) -> None:
        """Logs once why values are absent, and once that they are back."""
        if self._logged[measure].is_new(reason):
            log.info("%s/%s: %s", measure.namespace, measure.name, reason or "all values are there")


def item_of(measure: ServedMetric, version: str) -> Item:
    """The form of a measure's items. An item's selector identifies the measure."""
    window, labels = measure.question.window_seconds, dict(measure.labels)
    if measure.resource is None:
        return external_item(measure.name, labels, window)
    selector = {"matchLabels": labels} if labels else None
    return custom_item(version, measure.resource, measure.namespace, measure.name, window, selector)


def _expiry(measure: ServedMetric, found: Values) -> float:
    oldest = min((one.timestamp for one in found.by_name.values()), default=inf)
    return oldest + measure.max_age_seconds


def _empty(measure: ServedMetric, version: str, now: float) -> CachedList:
    return CachedList({}, value_list(CUSTOM if measure.resource else EXTERNAL, version, ()), now, inf)
