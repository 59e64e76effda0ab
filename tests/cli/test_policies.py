"""`autoscale policies` hands out the library exactly as it is kept."""

from pathlib import Path

import pytest

from autoscaler.cli.main import main

FILES = sorted((Path(__file__).resolve().parents[2] / "policies").glob("*.yaml"))


def test_lists_the_names_one_per_line(capsys):
    assert main(["policies"]) == 0
    assert capsys.readouterr().out.splitlines() == sorted(path.stem for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_prints_a_policy_byte_for_byte(capfdbinary, path):
    assert main(["policies", path.stem]) == 0
    assert capfdbinary.readouterr().out == path.read_bytes()


@pytest.mark.parametrize("name", ["nope", "../policies/chat", "chat.yaml", ""])
def test_an_unknown_name_is_wrong_usage_and_lists_the_known(capsys, name):
    assert main(["policies", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "chat, code-completion" in err
