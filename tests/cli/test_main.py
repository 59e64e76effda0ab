"""The edges of the command: what a shell, a script and a pipe see of it."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from autoscaler import __version__
from autoscaler.cli.main import COMMANDS, LazyCommand, cli, main
from autoscaler.errors import Diagnostic, PolicyError

FOR_POLICIES = (
    "pydantic",
    "cronsim",
    "autoscaler.api",
    "autoscaler.documents.policies",
    "autoscaler.decision",
)
HEAVY = (*FOR_POLICIES, "yaml", "simulator", "asyncio")


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autoscaler", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@click.command()
@click.argument("outcome")
def outcome(outcome: str) -> int:
    match outcome:
        case "bad-input":
            raise PolicyError(
                [Diagnostic("a.yaml", 3, "spec.x", "is wrong"), Diagnostic("b.yaml", None, "", "is empty")]
            )
        case "interrupted":
            signal.raise_signal(signal.SIGINT)
        case "no-file":
            Path("nowhere/at-all").read_bytes()
        case "bug":
            raise LookupError("a bug")
        case "anonymous-os-error":
            raise OSError("no file named")
    return int(outcome)


@pytest.fixture
def play(monkeypatch):
    """Runs a subcommand of our own that ends as it is told."""
    monkeypatch.setitem(COMMANDS, "play", LazyCommand(f"{__name__}:outcome", "Ends as told."))
    return lambda how: main(["play", how])


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("0", 0, ""),
        ("7", 7, ""),
        ("bad-input", 1, "a.yaml:3: spec.x: is wrong\nb.yaml: is empty\n"),
        ("no-file", 1, "nowhere/at-all: No such file or directory\n"),
        ("interrupted", 130, "\nautoscale: interrupted\n"),
    ],
)
def test_the_exit_status_and_stderr_tell_what_happened(play, capsys, how, status, said):
    assert play(how) == status
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(("how", "error"), [("bug", LookupError), ("anonymous-os-error", OSError)])
def test_a_bug_keeps_its_traceback(play, how, error):
    with pytest.raises(error):
        play(how)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--nonsense"], ["completion"], ["completion", "tcsh"], []]
)
def test_wrong_usage_exits_2_and_says_so_on_stderr(capsys, arguments):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage: autoscale" in err


def test_version_is_one_line(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"autoscale {__version__}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_command_with_its_summary(capsys, option):
    assert main([option]) == 0
    out = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in out
        assert command.summary in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_under_its_name_and_explains_itself(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"{name} [OPTIONS]" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "\\b" not in result.output, "click has read its own marks"


def imported_by(*arguments: str) -> list[str]:
    program = f"""
import json, sys
from autoscaler.cli.main import main
main({arguments!r})
print(json.dumps(sorted(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    loaded: list[str] = json.loads(out.splitlines()[-1])
    return loaded


@pytest.mark.parametrize("name", [*HEAVY, "simulator.report.html"])
def test_what_is_not_to_be_imported_is_there(name):
    """A module that was renamed would never be found among those that were imported."""
    assert find_spec(name)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_version_and_help_import_nothing_heavy(arguments):
    assert not [name for name in imported_by(*arguments) if name.startswith(HEAVY)]


def test_fixed_replicas_import_neither_validators_nor_the_decision_engine():
    loaded = imported_by("simulate", "azure-conv", "--replicas", "1", "--span", "10")
    assert "simulator.run.event_loop" in loaded
    dear = (*FOR_POLICIES, "simulator.report.html")
    assert not [name for name in loaded if name.startswith(dear)]


def test_a_policy_imports_no_calendars_and_no_page_that_it_does_not_need():
    loaded = imported_by("simulate", "azure-conv", "--policy", "chat", "--span", "10")
    assert "autoscaler.decision" in loaded
    assert not [name for name in loaded if name.startswith(("cronsim", "simulator.report.html"))]


def test_a_policy_is_read_and_followed_with_one_validator():
    """Each further one takes longer to build than the policy to read."""
    program = """
from autoscaler.cli.main import main
main(["simulate", "azure-conv", "--policy", "chat", "--span", "60"])
from autoscaler.api.fields import ApiModel
print(*(part.__name__ for part in ApiModel.__subclasses__() if part.__pydantic_complete__))
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "ScalingPolicy"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output_is_one_line():
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(
            [sys.executable, "-m", "autoscaler", "policies"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    message = "autoscale: cannot write to standard output: No space left on device\n"
    assert (failed.returncode, failed.stderr) == (1, message)


def complete(*words: str) -> list[str]:
    environment = {
        **os.environ,
        "_AUTOSCALE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["autoscale", *words]),
        "COMP_CWORD": str(len(words)),
    }
    lines = run(env=environment).stdout.splitlines()
    return [line.partition(",")[2] for line in lines]


def test_completion_offers_the_commands():
    assert complete("") == list(COMMANDS)
    assert complete("comp") == ["completion"]


def test_completion_offers_options_and_choices():
    assert complete("--ver") == ["--version"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("simulate", "azure"), ["azure", "azure-conv"]),
        (("load", "azure"), ["azure", "azure-conv"]),
        (("simulate", "x", "--policy", "chat"), ["chat", "chat"]),
        (("emulate", "--profile", "llama3-"), ["llama3-", "llama3-8b-h100"]),
        (("simulate", "x", "--startup", "eager+hyper"), ["eager+hyperdisk-ml"]),
        (("policies", "ch"), ["chat"]),
        (("validate", "my-pol"), ["my-pol"]),
    ],
)
def test_completion_offers_names_that_come_along_and_files(words, offered):
    """What was typed, given back first, asks the shell for files."""
    assert complete(*words) == offered


@pytest.mark.parametrize(
    ("shell", "sign"),
    [("bash", "complete -o nosort"), ("zsh", "#compdef autoscale"), ("fish", "complete --no-files")],
)
def test_completion_prints_a_script_for_each_shell(shell, sign):
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert sign in result.output
    assert "_AUTOSCALE_COMPLETE" in result.output


def test_a_reader_that_leaves_early_sees_no_traceback():
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "autoscaler", "--help"]
    ended = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, "")
