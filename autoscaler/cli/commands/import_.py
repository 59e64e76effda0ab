"""``autoscale import``: other autoscalers' manifests as ScalingPolicies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from autoscaler.errors import Diagnostic
from autoscaler.exchange.convert import Conversion, Converted, convert_file, convert_text
from autoscaler.exchange.source_documents import DUMP

STDIN = "-"


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--strict", is_flag=True, help="Exit with 1 if anything could not be carried over.")
def import_(files: tuple[str, ...], strict: bool) -> int:
    """Turn HPAs (autoscaling/v2) and KEDA ScaledObjects into ScalingPolicies.

    \b
    kubectl get hpa -A -o yaml | autoscale import - > policies.yaml
    autoscale import hpa.yaml

    The policies go to standard output, with semantics: HPA, so that they decide as before. What could
    not be carried over, or needs a look, goes to standard error as FILE:LINE: FIELD: MESSAGE. Of two
    that have one name, in all files, the first becomes a policy.
    """  # noqa: D301 (click wants the character, not a backslash)
    import yaml

    remarks: list[Diagnostic] = []
    converted: list[Converted] = []
    for file in files:
        conversion = _convert(file, converted)
        converted += conversion.converted
        remarks += conversion.remarks
    for remark in remarks:
        click.echo(str(remark), err=True)
    documents = [one.document for one in converted]
    click.echo(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True), nl=False)
    return 1 if strict and remarks else 0


def _convert(file: str, before: Sequence[Converted]) -> Conversion:
    if file == STDIN:
        return convert_text(sys.stdin.buffer.read(DUMP.size + 1), "<stdin>", before)
    return convert_file(Path(file), before)
