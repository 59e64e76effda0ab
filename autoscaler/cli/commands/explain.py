"""``autoscale explain NAMESPACE/NAME``: the last decisions of a policy as a story."""

from __future__ import annotations

from pathlib import Path

import click

from autoscaler.api.status import PolicyStatus, read_status
from autoscaler.cli.options.declared import Options, argument, group, option, takes
from autoscaler.cli.options.kubernetes import ClusterOptions
from autoscaler.cli.printable import printable
from autoscaler.errors import AutoscalerError
from autoscaler.history.decision_status import troubles_of
from autoscaler.history.explanation import Explanation, explanation_of_log, explanation_of_status, render
from autoscaler.history.records import read_decisions_jsonl
from autoscaler.ports.policies import AnyPolicy


class ExplainOptions(Options):
    """The command line."""

    name: str = argument(metavar="NAMESPACE/NAME", default="")
    log: Path | None = option(
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Read a decision log instead of the cluster.",
    )
    last: int = option(
        type=click.IntRange(1), default=10, show_default=True, help="With --log: at most so many lines."
    )
    cluster: ClusterOptions = group(ClusterOptions)


@click.command()
@takes(ExplainOptions)
def explain(options: ExplainOptions) -> None:
    """Explain the last decisions of a policy: each metric's value, each stage, and the outcome.

    From the policy's status in the cluster, or from a decision log; NAMESPACE/NAME is not needed for
    a simulator's log. Equal decisions in a row are one line.

    \b
    autoscale explain chat/vllm
    autoscale explain chat/vllm --log decisions.jsonl
    """  # noqa: D301 (click wants the character, not a backslash)
    if options.log is not None:
        records = read_decisions_jsonl(options.log)
        story = explanation_of_log(records, options.name, options.last, str(options.log))
    else:
        story = _from_cluster(options.name, options.cluster)
    for line in render(story):
        click.echo(printable(line))


def _from_cluster(name: str, cluster: ClusterOptions) -> Explanation:
    from autoscaler.kube.client.api import connect
    from autoscaler.kube.watched_policies import read_policies

    namespace, _, own = name.rpartition("/")
    namespace = namespace or (cluster.namespaces[0] if len(cluster.namespaces) == 1 else "")
    if not namespace or not own:
        raise click.UsageError("which policy? Name it as NAMESPACE/NAME, or give --log FILE")
    there = read_policies(connect(cluster.kubeconfig, cluster.context), [namespace])
    policy = next((one for one in there if one.name == own), None)
    if policy is None:
        names = ", ".join(one.name for one in there) or "none"
        raise AutoscalerError(f"there is no policy {namespace}/{own}; in {namespace} there are: {names}")
    status = read_status(policy.status)
    story = explanation_of_status(f"{namespace}/{own}", policy, status) if status else None
    if story is None:
        raise AutoscalerError(f"{namespace}/{own}: nothing was decided yet{_why_not(policy, status)}")
    return story


def _why_not(policy: AnyPolicy, status: PolicyStatus | None) -> str:
    if policy.problem is not None:
        return f": the policy is not in force: {policy.problem}"
    reasons = [one.message for one in troubles_of(status)] if status else []
    return f": {'; '.join(reasons)}" if reasons else "; does `autoscale run` see it?"
