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
from autoscaler.cli.options.cluster import connection_options
from autoscaler.cli.options.telemetry import serve_telemetry
from autoscaler.errors import ClusterError
from autoscaler.kube.api_services import ApiServices, ServiceRef
from autoscaler.kube.client.api import connect
from autoscaler.kube.secrets import Secret

RETRY_SECONDS = 60.0


@click.command(context_settings={"show_default": True})
@connection_options
@service_option
@click.option(
    "--secret", default="vllm-autoscaler-adapter-tls", metavar="NAME", help="Where the keys are kept."
)
@click.option(
    "--every",
    type=click.FloatRange(1.0, 30 * 86400.0),
    metavar="SECONDS",
    help="Look again and again.  [default: once]",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="With --every: serve /healthz and /readyz, for probes.  [default: none]",
)
@click.option("--owners", is_flag=True, help="Only print who serves each metrics API now.")
def certs(
    kubeconfig: str | None,
    context: str | None,
    service: ServiceRef,
    secret: str,
    every: float | None,
    health_port: int | None,
    owners: bool,
) -> None:
    """Issue and renew the adapter's serving certificate, by an authority of its own.

    \b
    autoscale certs --service vllm-autoscaler/vllm-autoscaler-adapter
    autoscale certs --owners

    Keeps the keys in one Secret (which must exist, empty at first, in the Service's namespace) and puts
    the authority into the caBundle of the metrics APIServices that name the Service. APIServices of others
    are left alone, and so are those that cert-manager injects. A new authority joins the old one before
    anything is signed with it. Running again changes nothing until a renewal is due.
    """  # noqa: D301 (click wants the character, not a backslash)
    if health_port is not None and every is None:
        raise click.UsageError("--health-port needs --every: there is nothing to probe afterwards")
    api = connect(kubeconfig, context)
    services, keys = ApiServices(api), Secret(api, service.namespace, secret)

    def look() -> None:
        lines = owner_lines(services, service) if owners else renew(keys, services, service, utc_now())
        for line in lines:
            click.echo(line)
        sys.stdout.flush()

    if every is None:
        look()
    else:
        _again_and_again(look, every, health_port)


def _again_and_again(look: Callable[[], None], every: float, health_port: int | None) -> None:
    """Looks until a signal ends it; after a failure sooner than after ``every`` seconds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # else the first process of a container ignores it
    renewals = Renewals()
    with ExitStack() as ending:
        if health_port is not None:
            served = serve_telemetry(
                "", health_port, CollectorRegistry(), renewals.alive, renewals.ready, option="--health-port"
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
    """Does what is due, in the order in which a crash in between does no harm; tells each step.

    Raises:
        ClusterError: the API did not answer, or says no. Running again goes on.
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
