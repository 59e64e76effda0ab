"""``autoscale run``: the controller, put together and run until a signal stops it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import click

from autoscaler import __version__
from autoscaler.api.vocabulary import Action
from autoscaler.cli.options.declared import Options, group, option, takes
from autoscaler.cli.options.kubernetes import WatchOptions
from autoscaler.cli.options.metrics import MetricOptions
from autoscaler.cli.options.telemetry import TelemetryOptions, serve_telemetry
from autoscaler.controller.actuator import Actuator
from autoscaler.controller.clock import Clock
from autoscaler.controller.decision_log import DecisionLog
from autoscaler.controller.loop import Controller
from autoscaler.controller.observation import QueryRights
from autoscaler.controller.reconcile import Reconciler, Sync
from autoscaler.controller.recorder import Recorder
from autoscaler.controller.status_queue import StatusQueue
from autoscaler.controller.watchdog import ForcedExit, Watchdog
from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import connect
from autoscaler.kube.client.lease import LeaderElection, LeaseSettings, SoleReplica
from autoscaler.kube.controller_ports import ControllerPorts, own_identity, own_namespace
from autoscaler.metrics.sources.cached import ClosableSource
from autoscaler.metrics.sources.factory import open_source
from autoscaler.settings import MetricSettings
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from autoscaler.telemetry.logs import BackgroundHandler, set_up_logs
from autoscaler.threads import PROCESS

ONCE_SECONDS = 60.0
"""How long ``--once`` waits for the cluster and for the lead."""

SIGNAL_SECONDS = 0.5
"""How long a signal may go unseen."""

STOP_SECONDS = 20.0
"""How long the process may take to end after the signal; then it is ended, within 13 s more. The
Deployment's terminationGracePeriodSeconds is longer than both together."""

_log = logging.getLogger("autoscaler.run")


class RunOptions(Options):
    """The command line."""

    cluster: WatchOptions = group(WatchOptions)
    metrics: MetricOptions = group(MetricOptions)
    allow_queries_in: tuple[str, ...] = option(
        multiple=True,
        metavar="NAMESPACE",
        help="Policies of this namespace may ask free queries, which can read every namespace's metrics; "
        "* is all. May be repeated.  [default: none]",
    )
    dry_run: bool = option(is_flag=True, help="Decide and record, but never write replicas.")
    once: bool = option(is_flag=True, help="Sync every policy once, print the outcomes, and exit.")
    leader_election: bool = option(
        "--leader-election/--no-leader-election", default=True, help="Sync only while holding a Lease."
    )
    lease_namespace: str | None = option(metavar="NAME", help="Where the Lease is.  [default: our own]")
    lease_name: str = option(default="vllm-autoscaler", metavar="NAME", help="The Lease's name.")
    lease_seconds: int = option(
        type=click.IntRange(10, 3600), default=15, metavar="S", help="How long a dead leader keeps the Lease."
    )
    deletion_costs: bool = option(
        is_flag=True,
        help="Before a scale-down mark the idlest pods to go first. Needs the right to patch pods.",
    )
    decision_log: Path | None = option(
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Append every decision as a line of JSON; see `autoscale replay`.",
    )
    workers: int = option(type=click.IntRange(1, 256), default=16, help="How many targets at a time.")
    telemetry: TelemetryOptions = group(TelemetryOptions)


@click.command(context_settings={"show_default": True})
@takes(RunOptions)
def run(options: RunOptions) -> None:
    """Keep the replicas of every ScalingPolicy's target where its metrics want them.

    \b
    autoscale run --prometheus-url http://prometheus.monitoring:9090
    autoscale run --google-project my-project --cluster my-cluster
    autoscale run --prometheus-url http://localhost:9090 --policies DIR --dry-run

    Stops on SIGTERM or Ctrl-C: finishes the writes in flight, waits for no metrics, gives the lease
    back, exits with 0. A process that is stuck gives the lease back, says why and exits with 70.
    """  # noqa: D301 (click wants the character, not a backslash)
    settings = options.metrics.settings()
    logs = set_up_logs(options.telemetry.log_format, options.telemetry.log_level)
    with build_controller(options, settings, logs) as parts:
        if options.once:
            sys.exit(parts.once())
        parts.run()


@dataclass(frozen=True, slots=True)
class ControllerProcess:
    """A controller and what it needs to run."""

    controller: Controller
    cluster: ControllerPorts
    fence: LeaderElection | SoleReplica
    source: ClosableSource

    def run(self) -> None:
        """Until SIGTERM or SIGINT.

        The loop has a thread of its own, so that a round that waits for metrics can be ended: the lead is
        given back when the loop has ended, and another waits for it. A process that is stuck, or does not
        end in time, is ended from a thread beside all that.
        """
        forced = ForcedExit(self.fence.give_up)
        watchdog = Watchdog(self.alive, forced.now)
        over: SimpleQueue[None] = SimpleQueue()  # unlike an Event's, its lock is safe in a signal handler
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: over.put(None))
        _log.info("running", extra={"version": __version__, "server": self.cluster.api.server})
        stop = threading.Event()
        loop = threading.Thread(target=self._loop, args=(stop, over), name="loop", daemon=True)
        loop.start()
        watchdog.start()
        wait_for_signal(over)
        forced.after(STOP_SECONDS, f"this process did not end within {STOP_SECONDS:.0f} s of the signal")
        stop.set()
        self.source.close()
        loop.join()
        _log.info("stopped")

    def _loop(self, stop: threading.Event, over: SimpleQueue[None]) -> None:
        try:
            self.controller.run(stop)
        finally:
            over.put(None)

    def once(self) -> int:
        """One pass over all policies; the exit status.

        Raises:
            ClusterError: the cluster did not answer, or another process keeps the lead.
        """
        self._await(lambda: self.cluster.wait(0.2), "the cluster did not answer")
        self._await(self.fence.may_write, "another process leads; see --no-leader-election")
        syncs, refused = self.controller.once(), self.cluster.policies.refused()
        for sync in syncs:
            click.echo(_line(sync))
        for one in refused:
            click.echo(f"{one.namespace}/{one.name}  refused: {one.problem}")
        if not syncs and not refused:
            click.echo("no policies")
        return 1 if refused or any(sync.outcome.action is Action.FAILED for sync in syncs) else 0

    @staticmethod
    def _await(condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + ONCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError(f"{otherwise} within {ONCE_SECONDS:.0f} s")
            time.sleep(0.1)

    def alive(self) -> str | None:
        """Why this process should be started again; None while all of it works."""
        return PROCESS.fault() or self.controller.alive()

    def ready(self) -> str | None:
        """The first part that is not ready; None when all are."""
        return self.controller.ready() or self.cluster.stale()


def wait_for_signal(over: SimpleQueue[None]) -> None:
    """Waits, and wakes regularly: a signal that another thread received is handled in this one alone."""
    while True:
        try:
            return over.get(timeout=SIGNAL_SECONDS)
        except Empty:
            continue


def _line(sync: Sync) -> str:
    name = f"{sync.stored.namespace}/{sync.stored.name}"
    if sync.made is None:
        return f"{name}  {sync.outcome.action}  {sync.outcome.reason}: {sync.outcome.message}"
    decision = sync.made.decision
    change = f"{decision.current_replicas} -> {decision.desired_replicas}"
    return f"{name}  {change}  {sync.outcome.action}  {decision.reason}: {sync.outcome.message}"


@contextmanager
def build_controller(
    options: RunOptions, settings: MetricSettings, logs: BackgroundHandler
) -> Iterator[ControllerProcess]:
    """The controller, its parts started; they end in order: syncs, the lease, the rest.

    Raises:
        AutoscalerError: a file is wrong, or it is not even known where the cluster is.
    """
    with ExitStack() as ending:
        decisions = DecisionLog(options.decision_log) if options.decision_log else None
        if decisions is not None:
            ending.callback(decisions.close)
        source = open_source(settings)
        ending.callback(source.close)
        identity, watched = own_identity(), options.cluster
        api = connect(watched.kubeconfig, watched.context)
        cluster = ControllerPorts(api, identity, watched.namespaces, watched.folder)
        ending.callback(cluster.stop)
        cluster.start()
        fence = _fence(options, cluster, identity, ending)
        metrics = ControllerMetrics()
        logs.count_losses(metrics.lost_lines.labels("output").inc)
        if decisions is not None:
            decisions.count_losses(metrics.lost_lines.labels("decisions").inc)
        costs = cluster.deletion_costs if options.deletion_costs else None
        actor = Actuator(cluster.targets, cluster.owners, fence, costs, options.dry_run)
        rights = QueryRights(frozenset(options.allow_queries_in))
        statuses = StatusQueue(cluster.policies, fence, metrics)
        ending.callback(statuses.close)
        controller = Controller(
            source,
            cluster.policies,
            fence,
            Reconciler(cluster.targets, actor, Clock(), rights, cluster.overlaps),
            Recorder(statuses, cluster.events, fence, metrics, decisions, options.dry_run),
            metrics,
            options.workers,
        )
        ending.callback(controller.close)
        parts = ControllerProcess(controller, cluster, fence, source)
        if not options.once:
            _serve(options, metrics, parts, ending)
        yield parts


def _fence(
    options: RunOptions, cluster: ControllerPorts, identity: str, ending: ExitStack
) -> LeaderElection | SoleReplica:
    if not options.leader_election:
        return SoleReplica()
    namespace = options.lease_namespace or own_namespace()
    settings = LeaseSettings(namespace, options.lease_name, identity, options.lease_seconds)
    election = LeaderElection(cluster.api, settings)
    election.start()
    ending.callback(election.stop)
    return election


def _serve(
    options: RunOptions, metrics: ControllerMetrics, parts: ControllerProcess, ending: ExitStack
) -> None:
    address, port = options.telemetry.metrics_address, options.telemetry.metrics_port
    server = serve_telemetry(address, port, metrics.registry, parts.alive, parts.ready)
    ending.callback(server.close)
    _log.info("serving telemetry", extra={"port": server.port})
