"""The command group and the process' edges: exit statuses, and errors without tracebacks.

Subcommands are looked up by name and imported when they run: ``--help``, ``--version`` and the
shell's completion stay fast, and a command pays only for what it uses.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from importlib import import_module
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from autoscaler import __version__
from autoscaler.errors import AutoscalerError, InputError

EXIT_INPUT = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_UNWRITABLE = frozenset({ENOSPC, EDQUOT, EFBIG, EIO})


class LazyCommand(NamedTuple):
    """Where a subcommand lives (``module:attribute``), and its line in ``--help``."""

    target: str
    summary: str


COMMANDS = {
    "simulate": LazyCommand(
        "autoscaler.cli.commands.simulate.command:simulate",
        "Replay a request trace under one or more policies.",
    ),
    "bound": LazyCommand(
        "autoscaler.cli.commands.bound:bound",
        "Find what a known future would need: the reference for policies.",
    ),
    "startup": LazyCommand(
        "autoscaler.cli.commands.startup:startup", "Compare ways of starting a replica: seconds and dollars."
    ),
    "emulate": LazyCommand("autoscaler.cli.commands.emulate:emulate", "Serve as vLLM does, without a GPU."),
    "load": LazyCommand("autoscaler.cli.commands.load:load", "Replay a trace against a real server."),
    "batch": LazyCommand("autoscaler.cli.commands.batch:batch", "Send a file's rows to a server, resumably."),
    "calibrate": LazyCommand(
        "autoscaler.cli.commands.calibrate:calibrate", "Fit a profile to what a real vLLM did."
    ),
    "validate": LazyCommand(
        "autoscaler.cli.commands.validate:validate", "Check policy files and list every problem."
    ),
    "policies": LazyCommand(
        "autoscaler.cli.commands.policies:policies", "List the bundled policies, or print one."
    ),
    "run": LazyCommand(
        "autoscaler.cli.commands.run:run", "Scale the workloads of a cluster by its policies."
    ),
    "status": LazyCommand(
        "autoscaler.cli.commands.status:status", "Show all policies of a cluster, live if you like."
    ),
    "query": LazyCommand(
        "autoscaler.cli.commands.query:query", "Show the queries of a policy, and what they answer now."
    ),
    "explain": LazyCommand("autoscaler.cli.commands.explain:explain", "Explain a policy's last decisions."),
    "replay": LazyCommand(
        "autoscaler.cli.commands.replay:replay_command", "Decide a decision log again, or by another policy."
    ),
    "adapter": LazyCommand(
        "autoscaler.cli.commands.adapter:adapter",
        "Serve the metrics APIs, so that a stock HPA can read them.",
    ),
    "certs": LazyCommand("autoscaler.cli.commands.certs:certs", "Issue and renew the adapter's certificate."),
    "hpa": LazyCommand("autoscaler.cli.commands.hpa:hpa", "Write the HPA manifests for a policy."),
    "import": LazyCommand(
        "autoscaler.cli.commands.import_:import_", "Turn HPAs and ScaledObjects into policies."
    ),
    "schema": LazyCommand(
        "autoscaler.cli.commands.schema:schema", "Print the JSON Schema of a policy for editors, or the CRD."
    ),
    "completion": LazyCommand(
        "autoscaler.cli.commands.completion:completion", "Print a shell's completion script."
    ),
}
"""In the order of ``--help``: what a newcomer needs first."""


class LazyGroup(click.Group):
    """A group that lists COMMANDS without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports one subcommand; None for a name that is not in the table."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that fit, from the table alone, then the group's own options."""
        names = [
            CompletionItem(name, help=command.summary)
            for name, command in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="autoscale", message="%(prog)s %(version)s")
def cli() -> None:
    """Autoscaling for vLLM: declarative policies, and a simulator that replays real traffic."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 1 bad input, 2 bad usage, 130 Ctrl-C.

    ``argv`` has no program name; default: the process' arguments. A subcommand may return its own
    status. An error that names no file of the user's passes through with its traceback, because
    that is a bug and the traceback is the report.
    """
    try:
        status = cli.main(args=argv, prog_name="autoscale", standalone_mode=False)
        sys.stdout.flush()  # a reader that left shows itself here, not in the interpreter's exit
    except InputError as error:
        return _fail(*error.problems)
    except AutoscalerError as error:
        return _fail(str(error))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("autoscale: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        if error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}")
        if error.errno not in _UNWRITABLE:
            raise
        _drop_output()
        return _fail(f"autoscale: cannot write to standard output: {error.strerror}")
    return status if isinstance(status, int) else 0


def _fail(*lines: object) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return EXIT_INPUT


def _reader_left() -> int:
    """``autoscale … | head``: quiet, with click's status for the same; the last flush goes nowhere."""
    _drop_output()
    return EXIT_INPUT


def _drop_output() -> None:
    """Discards the rest of the buffer, so that the interpreter's exit does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
