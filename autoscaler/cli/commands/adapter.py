"""``autoscale adapter``: the metrics APIs of Kubernetes, served until a signal stops it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from autoscaler import __version__
from autoscaler.adapter.adapter_metrics import AdapterMetrics
from autoscaler.adapter.app import App
from autoscaler.adapter.authorizer import Authorizer
from autoscaler.adapter.handlers import Handlers
from autoscaler.adapter.metric_cache import LEEWAY_SECONDS, MetricCache
from autoscaler.adapter.registry_provider import ExportFiles, RegistryProvider
from autoscaler.adapter.server import serve_until_told
from autoscaler.adapter.tls import KeyPair, LiveContext
from autoscaler.cli.commands.api_service_owners import owner_lines, service_option
from autoscaler.cli.options.declared import Options, group, option, takes
from autoscaler.cli.options.kubernetes import WatchOptions
from autoscaler.cli.options.metrics import MetricOptions
from autoscaler.cli.options.telemetry import TelemetryOptions, serve_telemetry
from autoscaler.errors import ClusterError
from autoscaler.kube.adapter_ports import AdapterPorts
from autoscaler.kube.api_services import ApiServices, ServiceRef
from autoscaler.kube.client.api import connect
from autoscaler.kube.controller_ports import own_namespace
from autoscaler.metrics.sources.factory import open_source
from autoscaler.settings import MetricSettings
from autoscaler.telemetry.logs import set_up_logs
from autoscaler.threads import PROCESS

FIRST_READ_SECONDS = 30.0
"""How long to wait for the cluster before listening all the same: readiness reports what is missing."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_log = logging.getLogger("autoscaler.adapter")


class AdapterOptions(Options):
    """The command line."""

    cluster: WatchOptions = group(WatchOptions)
    metrics: MetricOptions = group(MetricOptions)
    exports: tuple[Path, ...] = option(
        type=click.Path(exists=True, path_type=Path),
        multiple=True,
        metavar="FILE|DIR",
        help="MetricExports to serve besides the policies' metrics; followed while it runs. May be repeated.",
    )
    allow_queries_in: tuple[str, ...] = option(
        multiple=True,
        metavar="NAMESPACE",
        help="Policies of this namespace may serve free queries, which can read every namespace's metrics; "
        "* is all. May be repeated.  [default: none]",
    )
    tls_cert_file: Path = option(
        type=_FILE, required=True, help="The serving certificate, PEM; see `autoscale certs`."
    )
    tls_key_file: Path = option(type=_FILE, required=True, help="Its key.")
    service: ServiceRef = service_option()
    scrape_interval: float = option(
        type=click.FloatRange(6.0, 300.0),
        default=15.0,
        metavar="SECONDS",
        help="How often pods are scraped. An answer is never older than that; all callers share it.",
    )
    address: str = option(default="0.0.0.0", metavar="ADDRESS", help="Where to listen.")
    port: int = option(type=click.IntRange(0, 65535), default=10250, metavar="PORT", help="For HTTPS.")
    telemetry: TelemetryOptions = group(TelemetryOptions)


@click.command(context_settings={"show_default": True})
@takes(AdapterOptions)
def adapter(options: AdapterOptions) -> None:
    """Serve the custom and external metrics APIs, so that a stock HorizontalPodAutoscaler can read them.

    \b
    autoscale adapter --prometheus-url http://prometheus:9090 \\
      --tls-cert-file tls.crt --tls-key-file tls.key

    The metrics are those of the ScalingPolicies and of the MetricExports; see docs/adapter.md. Stops on
    SIGTERM or Ctrl-C.
    """  # noqa: D301 (click wants the character, not a backslash)
    settings = options.metrics.settings()
    set_up_logs(options.telemetry.log_format, options.telemetry.log_level)
    with assembled(options, settings) as (app, tls):
        _log.info("running", extra={"version": __version__})
        try:
            asyncio.run(serve_until_told(app, options.address, options.port, tls.context))
        except OSError as error:
            message = (error.strerror or str(error)).lower()
            raise click.UsageError(f"--port {options.port}: {message}") from None
        _log.info("stopped")


@contextmanager
def assembled(options: AdapterOptions, settings: MetricSettings) -> Iterator[tuple[App, LiveContext]]:
    """The adapter, its parts started.

    Raises:
        AutoscalerError: it is not even known where the cluster is.
    """
    with ExitStack() as ending:
        source = open_source(settings, options.scrape_interval - LEEWAY_SECONDS)
        ending.callback(source.close)
        watched = options.cluster
        api = connect(watched.kubeconfig, watched.context)
        extension = AdapterPorts(api, watched.namespaces, watched.folder)
        ending.callback(extension.stop)
        extension.start()
        if not extension.wait(FIRST_READ_SECONDS):
            _log.warning("the cluster was not read yet: %s", "; ".join(extension.unready()))
        _tell_owners(ApiServices(api), options.service)
        tls = _tls(options, extension)
        board = MetricCache(source, extension.targets)
        ending.callback(board.close)
        exports = ExportFiles(options.exports, own_namespace())
        declared = RegistryProvider(extension.policies, exports, options.allow_queries_in)
        telemetry = AdapterMetrics()
        telemetry.watch_usable("Certificates", lambda: tls.problem)
        telemetry.watch_usable("Authorities", lambda: extension.trust.problem)
        address, port = options.telemetry.metrics_address, options.telemetry.metrics_port
        own = serve_telemetry(address, port, telemetry.registry, PROCESS.fault, lambda: None)
        ending.callback(own.close)
        gate = Authorizer(extension.reviews, tls)
        yield App(gate, Handlers(declared, board), extension.unready, telemetry), tls


def _tls(options: AdapterOptions, extension: AdapterPorts) -> LiveContext:
    try:
        return LiveContext(KeyPair(options.tls_cert_file, options.tls_key_file), extension.trust)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--tls-cert-file and --tls-key-file cannot be used: {error}") from None


def _tell_owners(services: ApiServices, ours: ServiceRef) -> None:
    """Logs which Service serves each metrics API; another's API is never taken over."""
    try:
        for line in owner_lines(services, ours):
            _log.info(line)
    except ClusterError as error:
        _log.warning("the services of the metrics APIs are not known: %s", error)
