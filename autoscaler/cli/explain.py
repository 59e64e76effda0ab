"""``autoscale explain NAMESPACE/NAME``: the last decisions of a policy as a story."""

from __future__ import annotations

from pathlib import Path

import click

from autoscaler.controller.story import story_of_log, tell
from autoscaler.records import read_decisions_jsonl


@click.command()
@click.argument("name", metavar="NAMESPACE/NAME", default="")
@click.option(
    "--log",
    "log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Tell it from a decision log instead of the cluster.",
)
@click.option("--last", type=click.IntRange(1), default=10, show_default=True, help="At most so many lines.")
def explain(name: str, log: Path | None, last: int) -> None:
    r"""Tell the last decisions of a policy: what each metric said, each stage, and what became of it.

    From the policy's status in the cluster, or from a decision log. Equal decisions in a row are one
    line.

    \b
    autoscale explain chat/vllm
    autoscale explain chat/vllm --log decisions.jsonl
    """
    assert log is not None
    story = story_of_log(read_decisions_jsonl(log), name, last, str(log))
    for line in tell(story):
        click.echo(line)
