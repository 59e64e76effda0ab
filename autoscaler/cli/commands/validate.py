"""``autoscale validate``: every problem of every policy file, one a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from autoscaler.cli.options.declared import Options, argument, option, takes
from autoscaler.cli.printable import printable
from autoscaler.documents.document_checks import read_file
from autoscaler.documents.exports import LoadedExport, is_export, load_export_text
from autoscaler.documents.policies import LoadedPolicy, duplicates, load_policy_text
from autoscaler.documents.yaml_source import POLICY_FILE
from autoscaler.errors import Diagnostic, PolicyError
from autoscaler.lint.policy_rules import lint

STDIN = "-"
_SUFFIXES = (".yaml", ".yml")


class ValidateOptions(Options):
    """The command line."""

    paths: tuple[str, ...] = argument(nargs=-1, required=True, type=click.Path(), metavar="FILE|DIR...")
    strict: bool = option(is_flag=True, help="Exit with 1 on warnings too.")
    workloads: tuple[Path, ...] = option(
        "--with",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Compare each policy with the manifests of its workload in FILE; may be repeated.",
    )
    cluster: bool = option(is_flag=True, help="Compare each policy with what the cluster has.")
    kubeconfig: str | None = option(
        type=click.Path(), metavar="FILE", help="With --cluster: how to reach it.  [default: kubectl's]"
    )
    context: str | None = option(metavar="NAME", help="With --cluster: which context of the kubeconfig.")
    namespace: str = option(
        "-n",
        "--namespace",
        default="default",
        metavar="NAME",
        show_default=True,
        help="With --cluster: the namespace of policies that name none.",
    )


@click.command()
@takes(ValidateOptions)
def validate(options: ValidateOptions) -> None:
    """Check files of policies or MetricExports: FILE, every *.yaml and *.yml in DIR, or - for standard input.

    Problems go to standard output as FILE:LINE: FIELD: MESSAGE, one a line. Warnings are legal but
    harmful to LLM serving; their ids, in brackets, are explained in docs/policy.md. Exits with 1 if
    there is a problem.

    \b
    autoscale validate policies/
    autoscale validate chat.yaml --with deployment.yaml --with podmonitoring.yaml
    autoscale validate chat.yaml --cluster --namespace chat
    """  # noqa: D301 (click wants the character, not a backslash)
    files = list(_each_once(file for path in options.paths for file in _files(path)))
    policies, exports, errors = _load_all(files)
    errors += duplicates(policies)
    warnings = [problem for loaded in policies for problem in lint(loaded)]
    try:
        warnings += _fit_files(policies, options.workloads)
    except PolicyError as error:
        errors += error.problems
    if options.cluster:
        warnings += _fit_cluster(policies, options)
    for problem in _in_order(errors + warnings):
        click.echo(printable(str(problem)))
    failed = bool(errors) or (options.strict and bool(warnings))
    what = _read_files(files) if errors else _loaded(policies, exports)
    counted = ", ".join([*what, *_counts(len(errors), "error"), *_counts(len(warnings), "warning")])
    click.echo(f"{counted}: {'not valid' if failed else 'valid'}", err=failed)
    sys.exit(1 if failed else 0)


def _fit_files(policies: list[LoadedPolicy], workloads: tuple[Path, ...]) -> list[Diagnostic]:
    if not workloads:
        return []
    from autoscaler.documents.manifests import load_manifests
    from autoscaler.lint.workload_rules import fit

    manifests = [manifest for path in workloads for manifest in load_manifests(path)]
    return list(dict.fromkeys(problem for loaded in policies for problem in fit(loaded, manifests)))


def _fit_cluster(policies: list[LoadedPolicy], options: ValidateOptions) -> list[Diagnostic]:
    from autoscaler.kube.client.api import connect
    from autoscaler.kube.related_objects import surroundings
    from autoscaler.lint.workload_rules import fit

    api = connect(options.kubeconfig, options.context)
    found: list[Diagnostic] = []
    for loaded in policies:
        metadata, spec = loaded.policy.metadata, loaded.policy.spec
        manifests = surroundings(api, metadata.namespace or options.namespace, spec.scale_target_ref)
        found += fit(loaded, manifests)
    return list(dict.fromkeys(found))


def _load_all(
    files: Iterable[str | Diagnostic],
) -> tuple[list[LoadedPolicy], list[LoadedExport], list[Diagnostic]]:
    policies: list[LoadedPolicy] = []
    exports: list[LoadedExport] = []
    problems: list[Diagnostic] = []
    for file in files:
        try:
            raw, name = _read(file)
            if is_export(raw):
                exports += load_export_text(raw, name)
            else:
                policies += load_policy_text(raw, name)
        except PolicyError as error:
            problems += error.problems
    return policies, exports, problems


def _each_once(files: Iterable[str | Diagnostic]) -> Iterator[str | Diagnostic]:
    """Without files that were named before: naming one twice defines nothing twice."""
    seen: set[Diagnostic | str] = set()
    for file in files:
        # realpath, not Path.resolve, which raises for a link to itself; reading it says what is wrong.
        key = os.path.realpath(file) if isinstance(file, str) and file != STDIN else file
        if key not in seen:
            seen.add(key)
            yield file


def _read(file: str | Diagnostic) -> tuple[bytes, str]:
    """A file's bytes, and what to call it."""
    if isinstance(file, Diagnostic):
        raise PolicyError([file])
    if file == STDIN:
        return sys.stdin.buffer.read(POLICY_FILE.size + 1), "<stdin>"
    return read_file(Path(file)), file


def _files(path: str) -> Iterator[str | Diagnostic]:
    """The files that a path stands for, or why there are none."""
    folder = Path(path)
    if path == STDIN or not folder.is_dir():
        yield path
        return
    try:
        names = sorted(entry for entry in folder.iterdir() if _is_policy(entry))
    except OSError as error:
        yield Diagnostic(path, None, "", f"cannot be read: {(error.strerror or str(error)).lower()}")
        return
    yield from map(str, names)
    if not names:
        yield Diagnostic(path, None, "", "is a directory without *.yaml or *.yml: name one that has policies")


def _is_policy(entry: Path) -> bool:
    return entry.suffix in _SUFFIXES and not entry.name.startswith(".") and not entry.is_dir()


def _in_order(problems: list[Diagnostic]) -> list[Diagnostic]:
    """By file in the order of their first problem or warning, then by line."""
    files = list(dict.fromkeys(problem.file for problem in problems))
    return sorted(problems, key=lambda problem: (files.index(problem.file), problem.line or 0))


def _read_files(files: list[str | Diagnostic]) -> list[str]:
    """The files that were read: after an error it is not known how many policies there are."""
    return _counts(sum(isinstance(file, str) for file in files), "file")


def _loaded(policies: list[LoadedPolicy], exports: list[LoadedExport]) -> list[str]:
    return [*_counts(len(policies), "policy", "policies"), *_counts(len(exports), "export")]


def _counts(number: int, one: str, many: str = "") -> list[str]:
    """A count in words; empty for none."""
    return [f"{number} {one if number == 1 else many or one + 's'}"] if number else []
