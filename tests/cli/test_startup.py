"""``autoscale startup``: the table, the JSON, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from autoscaler.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["startup", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_table_compares_every_way_of_loading_weights(capsys):
    status, out, _ = run(capsys, "--model-size", "18GiB")
    assert status == 0
    assert out.startswith("18.0 GiB of weights in 43 layers, 1 x NVIDIA H100 80GB HBM3, 1 pod at once")
    for option in ("gcsfuse", "gcsfuse-parallel", "local-ssd", "pd-ssd", "hyperdisk-ml", "filestore"):
        assert f"\n{option} " in out
        assert f"\n{option}\n  warm-up" in out
    assert "1,024 GiB for up to 100 nodes: $174.08 a month" in out
    assert "no price here" in out
    assert "Assumed, without a published figure: the storage rate of gcsfuse, local-ssd,\npd-ssd" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_phases_add_up_and_money_follows_the_price(capsys):
    _, out, _ = run(capsys, "pd-ssd", "warm-node+local-ssd", "--price", "2", "--gpus", "2", "--json", "-")
    document = json.loads(out)
    assert [row["name"] for row in document["rows"]] == ["pd-ssd", "warm-node+local-ssd"]
    for row in document["rows"]:
        phases = row["node_s"] + row["image_s"] + row["weights_s"] + row["engine_s"]
        assert row["total_s"] == pytest.approx(phases, abs=0.01)
        assert row["p95_s"] > row["total_s"]
        assert row["gpu_hours"] == pytest.approx(2 * row["total_s"] / 3600, abs=1e-4)
        assert row["cost_usd"] == pytest.approx(2 * row["gpu_hours"], abs=1e-5)
        assert all(row["sources"].values())
    assert document["rows"][0]["components"][0] == "standard-node"
    assert document["rows"][1]["node_s"] == 0


def test_pods_that_start_at_once_share_the_disk(capsys):
    weights = []
    for pods in ("1", "10", "20"):
        _, out, _ = run(capsys, "pd-ssd", "--pods", pods, "--model-size", "12GB", "--json", "-")
        weights.append(json.loads(out)["rows"][0]["weights_s"])
    assert weights == pytest.approx([12 / 0.313, 100.0, 200.0], rel=1e-3)


def test_the_engine_follows_the_layers_and_the_weights_the_size(capsys):
    def asked(*arguments: str) -> tuple[int, float, float]:
        _, out, _ = run(capsys, "warm-node", *arguments, "--json", "-")
        document = json.loads(out)
        row = document["rows"][0]
        return document["layers"], row["weights_s"], row["engine_s"]

    assert asked() == (42, pytest.approx(32.4, abs=0.1), 92.0)
    assert asked("--layers", "84")[2] == 57 + 2 * 35
    assert asked("--model-size", "9.2GB")[0] == 34
    assert asked("--model-size", "9.2GB", "--layers", "42")[1:] == (pytest.approx(9.2 / 0.57, abs=0.1), 92.0)
    assert asked("--profile", "llama3-8b-h100", "--model-size", "8GB")[0] == 32


def test_a_bigger_image_takes_longer_to_pull(capsys):
    _, out, _ = run(capsys, "plain-pull", "--image-size", "7GB", "--json", "-")
    assert json.loads(out)["rows"][0]["image_s"] == pytest.approx(100.0)


def test_without_a_price_it_asks_for_one(capsys, tmp_path):
    profile = tmp_path / "p.yaml"
    from simulator.vllm.profile import load_profile, profile_yaml

    other = replace(load_profile("gemma2-9b-h100"), gpu="NVIDIA L40S")
    profile.write_text(profile_yaml(other))
    _, out, _ = run(capsys, "--profile", str(profile))
    assert "No price is known for NVIDIA L40S: give dollars a GPU-hour with --price." in out
    assert "$1.68" not in out


def test_the_components_are_listed_with_their_sources(capsys):
    _, out, _ = run(capsys, "--components")
    for words in ("standard-node", "seconds 240", "reported, GPU nodes", "assumed", "preset", "new-node"):
        assert words in out
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--model-size", "18"], 2, "write it like 18GiB"),
        (["--model-size", "0GB"], 2, "is not a size"),
        (
            ["--node", "gcsfuse"],
            1,
            "gcsfuse: --node: is not a node: must be one of warm-node, standby-buffer,",
        ),
        (["slow"], 1, "slow: NAME: 'slow' is not known"),
        (["pd-ssd+gcsfuse"], 1, "are both weights components"),
        (["--price", "free"], 1, "must be dollars a GPU-hour"),
        (["--profile", "nothing"], 1, "no profile of this name"),
    ],
)
def test_what_is_wrong_is_said(capsys, arguments, status, message):
    ended, out, err = run(capsys, *arguments)
    assert ended == status
    assert message in err
    assert out == ""


def test_equal_questions_give_equal_bytes(capsys):
    assert run(capsys, "--json", "-") == run(capsys, "--json", "-")
