from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autoscaler.cli.commands.validate import validate
from autoscaler.documents.library import library_folder

GOOD = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: ScalingPolicy
metadata: {name: NAME}
spec:
  scaleTargetRef: {kind: Deployment, name: vllm}
  maxReplicas: 10
  metrics:
  - signal: running+waiting
    target: {type: PodsAverage, averageValue: 32}
"""
HARMFUL = GOOD.replace("running+waiting", "waiting")
WRONG = GOOD.replace("maxReplicas: 10", "maxReplicas: ten\n  minReplicas: -1")


def named(text: str, name: str = "a") -> str:
    return text.replace("NAME", name)


def run(*args: str | Path, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(validate, [str(arg) for arg in args], input=stdin)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(named(text, name))


def test_a_valid_file_gives_one_line_and_0(folder: Path) -> None:
    write(folder, a=GOOD)
    result = run("a.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 policy: valid\n", "")


def test_all_problems_of_all_files_come_at_once(folder: Path) -> None:
    write(folder, a=WRONG, b=GOOD, c=WRONG)
    result = run("c.yaml", "a.yaml", "none.yaml", "b.yaml")
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [
        "c.yaml:6",
        "c.yaml:7",
        "a.yaml:6",
        "a.yaml:7",
        "none.yaml",
    ]
    assert result.stderr == "4 files, 5 errors: not valid\n"


def test_warnings_are_0_and_with_strict_1(folder: Path) -> None:
    write(folder, a=HARMFUL)
    relaxed, strict = run("a.yaml"), run("--strict", "a.yaml")
    assert relaxed.stdout.startswith("a.yaml:7: spec.metrics: warning: only waiting requests drive")
    assert relaxed.stdout.endswith("[waiting-only]\n1 policy, 1 warning: valid\n")
    assert (relaxed.exit_code, strict.exit_code) == (0, 1)
    assert strict.stderr == "1 policy, 1 warning: not valid\n"


def test_a_directory_is_its_visible_yaml_files_in_order(folder: Path) -> None:
    write(folder, b=WRONG, a=WRONG)
    (folder / "c.yml").write_text(named(WRONG, "c"))
    (folder / ".hidden.yaml").write_text("x")
    (folder / "notes.txt").write_text("x")
    (folder / "inner.yaml").mkdir()
    files = [line.split(":")[0] for line in run(folder).stdout.splitlines()]
    assert files == [
        str(folder / name) for name in ("a.yaml", "a.yaml", "b.yaml", "b.yaml", "c.yml", "c.yml")
    ]


@pytest.mark.usefixtures("folder")
def test_a_directory_without_yaml_is_an_error() -> None:
    result = run(".")
    assert result.exit_code == 1
    assert result.stdout == ".: is a directory without *.yaml or *.yml: name one that has policies\n"


def test_a_dash_reads_standard_input() -> None:
    assert run("-", stdin=named(GOOD)).exit_code == 0
    result = run("-", stdin=b"a: \xff")
    assert (result.exit_code, result.stdout[:8]) == (1, "<stdin>:")


def test_two_files_may_not_define_the_same_policy(folder: Path) -> None:
    (folder / "a.yaml").write_text(named(GOOD))
    (folder / "b.yaml").write_text(named(GOOD))
    result = run(".")
    assert result.exit_code == 1
    assert result.stdout == (
        'b.yaml:3: metadata.name: the policy "a" was already defined at a.yaml:3: give it another name\n'
    )
    assert result.stderr == "2 files, 1 error: not valid\n"


def test_naming_a_file_twice_defines_nothing_twice(folder: Path) -> None:
    write(folder, a=GOOD)
    assert run("a.yaml", folder, "./a.yaml").exit_code == 0


def test_no_file_is_a_usage_error() -> None:
    assert run().exit_code == 2
    assert run("--no-such-option", "a.yaml").exit_code == 2


def test_problems_stay_on_their_lines_without_colour_or_wrapping(folder: Path) -> None:
    long = "x" * 500
    (folder / "a.yaml").write_text(named(GOOD) + f'  "{long}\\n\\e[31m": 1\n')
    (problem,) = run("a.yaml").stdout.splitlines()
    assert "\x1b" not in problem
    assert len(problem) > 500


def test_the_shipped_policies_are_valid() -> None:
    result = run(library_folder())
    assert result.exit_code == 0
    assert result.stdout.endswith("8 policies, 2 warnings: valid\n")


@pytest.mark.parametrize("argument", ["self.yaml", "."])
def test_a_link_to_itself_is_one_problem_and_hides_no_other_file(folder: Path, argument: str) -> None:
    (folder / "self.yaml").symlink_to("self.yaml")
    write(folder, good=GOOD)
    result = run(argument, "good.yaml")
    assert result.exit_code == 1
    assert result.stdout == "self.yaml: cannot be read: too many levels of symbolic links\n"
    assert "2 files, 1 error: not valid" in result.stderr


WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  template: {spec: {terminationGracePeriodSeconds: 30}}
"""


def test_a_policy_is_compared_with_its_workload(folder: Path) -> None:
    write(folder, a=GOOD)
    (folder / "w.yaml").write_text(WORKLOAD)
    result = run("a.yaml", "--with", "w.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "w.yaml:5: spec.template.spec.terminationGracePeriodSeconds: warning: a replica that is removed "
        "is killed after 30 s"
    )
    assert result.stdout.splitlines()[0].endswith("[short-grace-period]")
    assert run("a.yaml", "--with", "w.yaml", "--strict").exit_code == 1


def test_a_workload_that_cannot_be_read_is_a_problem(folder: Path) -> None:
    write(folder, a=GOOD)
    result = run("a.yaml", "--with", "none.yaml")
    assert (result.exit_code, result.stdout) == (1, "none.yaml: does not exist\n")


def test_two_policies_with_one_workload_name_its_fault_once(folder: Path) -> None:
    write(folder, a=GOOD, b=GOOD)
    (folder / "w.yaml").write_text(WORKLOAD)
    assert run(".", "--with", "w.yaml").stdout.count("short-grace-period") == 1
