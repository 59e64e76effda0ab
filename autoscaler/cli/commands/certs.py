"""``autoscale certs``: the adapter's certificate, issued, renewed and made known to the aggregator."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime

import click
from prometheus_client import CollectorRegistry

from autoscaler.adapter.certificates import Keys, utc_now, with_authority, with_certificate
from autoscaler.adapter.renewals import Renewals
from autoscaler.cli.commands.api_service_owners import NAMES, described, owner_lines, service_option
from autoscaler.cli.options.declared import Options, group, option, takes
from autoscaler.cli.options.kubernetes import ConnectionOptions
from autoscaler.cli.options.telemetry import serve_telemetry
from autoscaler.errors import ClusterError
from autoscaler.kube.api_services import ApiServices, ServiceRef
from autoscaler.kube.client.api import connect
from autoscaler.kube.secrets import Secret

RETRY_SECONDS = 60.0


class CertsOptions(Options):
    """The command line."""

    connection: ConnectionOptions = group(ConnectionOptions)
    service: ServiceRef = service_option()
    secret: str = option(
        default="vllm-autoscaler-adapter-tls", metavar="NAME", help="Where the keys are kept."
    )
    every: float | None = option(
        type=click.FloatRange(1.0, 30 * 86400.0),
        metavar="SECONDS",
        help="Repeat at this interval.  [default: once]",
    )
    health_port: int | None = option(
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help="With --every: serve /healthz and /readyz, for probes.  [default: none]",
    )
    owners: bool = option(is_flag=True, help="Only print which Service serves each metrics API now.")


@click.command(context_settings={"show_default": True})
@takes(CertsOptions)
def certs(options: CertsOptions) -> None:
    """Issue and renew the adapter's serving certificate, by an authority of its own.

    \b
    autoscale certs --service vllm-autoscaler/vllm-autoscaler-adapter
    autoscale certs --owners

    Keeps the keys in one Secret (which must exist, empty at first, in the Service's namespace) and puts
    the authority into the caBundle of the metrics APIServices that name the Service. APIServices of others
    are left alone, and so are those that cert-manager injects. A new authority joins the old one before
    anything is signed with it. Running again changes nothing until a renewal is due.
    """  # noqa: D301 (click wants the character, not a backslash)
    if options.health_port is not None and options.every is None:
        raise click.UsageError("--health-port needs --every: there is nothing to probe afterwards")
    service = options.service
    api = connect(options.connection.kubeconfig, options.connection.context)
    services, keys = ApiServices(api), Secret(api, service.namespace, options.secret)

    def look() -> None:
        if options.owners:
            lines = owner_lines(services, service)
        else:
            lines = renew(keys, services, service, utc_now())
        for line in lines:
            click.echo(line)
        sys.stdout.flush()

    if options.every is None:
        look()
    else:
        _again_and_again(look, options.every, options.health_port)


def _again_and_again(look: Callable[[], None], every: float, health_port: int | None) -> None:
    """Looks until a signal ends it; after a failure sooner than after ``every`` seconds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # else the first process of a container ignores it
    renewals = Renewals()
    with ExitStack() as ending:
        if health_port is not None:
            served = serve_telemetry(
                "", health_port, CollectorRegistry(), renewals.alive, renewals.ready, flag="--health-port"
            )
            ending.callback(served.close)
        while True:
            pause = every
            try:
                with renewals.look():
                    look()
            except ClusterError as error:
                click.echo(str(error), err=True)
                pause = min(every, RETRY_SECONDS)
            time.sleep(pause)


def renew(secret: Secret, services: ApiServices, ours: ServiceRef, now: datetime) -> Iterator[str]:
    """Does what is due, in the order in which a crash in between does no harm; yields a line for each step.

    Raises:
        ClusterError: the API did not answer, or refused. The next run continues.
    """
    keys = Keys.of_secret(secret.read())
    renewed = with_authority(keys, now)
    if renewed != keys:
        secret.write(renewed.as_secret())
        yield "a new certificate authority"
    for name in NAMES:
        found = services.find(name)
        if found is None or found.service != ours:
            yield f"{name}: {described(found, ours)}"
        elif services.trust(found, ours, renewed.ca_crt):
            yield f"{name}: the authority is in its caBundle"
    names = [f"{ours.name}.{ours.namespace}.svc", f"{ours.name}.{ours.namespace}.svc.cluster.local"]
    issued = with_certificate(renewed, names, now)
    if issued != renewed:
        secret.write(issued.as_secret())
        yield f"a new certificate for {names[0]}"
    yield f"valid: {names[0]}"
