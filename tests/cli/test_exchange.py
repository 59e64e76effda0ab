"""`autoscale hpa`, `autoscale import`, and `autoscale simulate` with a foreign manifest."""

import io

import pytest
import yaml

from autoscaler.cli.main import main
from autoscaler.documents.library import find_policy
from autoscaler.documents.policies import load_policies
from tests.documents.test_exports import GOOD
from tests.exchange.test_import import HEAD, KEDA, pods

CPU = "  - type: Resource\n    resource: {name: cpu}\n"


def test_import_writes_policies_that_validate_and_remarks_beside_them(tmp_path, capsys):
    file = tmp_path / "all.yaml"
    other = KEDA.replace("name: vllm", "name: other")
    file.write_text(f"{HEAD}{pods('vllm:num_requests_waiting')}{CPU}---\n{other}")
    assert main(["import", str(file)]) == 0
    out, err = capsys.readouterr()
    assert [one["kind"] for one in yaml.safe_load_all(out)] == ["ScalingPolicy", "ScalingPolicy"]
    assert f"{file}:13: spec.metrics[1]: a metric of type Resource is not carried over" in err
    written = tmp_path / "policies.yaml"
    written.write_text(out)
    assert len(load_policies(written)) == 2


def test_import_writes_no_name_twice_over_several_files(tmp_path, capsys):
    hpa, keda = tmp_path / "hpa.yaml", tmp_path / "keda.yaml"
    hpa.write_text(HEAD + pods("vllm:num_requests_waiting"))
    keda.write_text(KEDA)
    first = f"makes no policy, as the HorizontalPodAutoscaler of {hpa}:1"
    told = f"{keda}:3: metadata.name: this ScaledObject {first}"
    for files, message in (([hpa, keda], told), ([hpa, hpa], first)):
        assert main(["import", *map(str, files)]) == 0
        out, err = capsys.readouterr()
        assert len(list(yaml.safe_load_all(out))) == 1
        assert message in err
        assert main(["import", "--strict", *map(str, files)]) == 1
        capsys.readouterr()


def test_import_takes_standard_input_and_can_be_strict(monkeypatch, capsys):
    text = HEAD + pods("vllm:num_requests_waiting") + CPU
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(["import", "--strict", "-"]) == 1
    assert "<stdin>:13" in capsys.readouterr().err


def test_import_of_what_is_none_says_so(tmp_path, capsys):
    file = tmp_path / "x.yaml"
    file.write_text("kind: Service\n")
    assert main(["import", str(file)]) == 1
    assert "holds no HorizontalPodAutoscaler" in capsys.readouterr().err


def test_hpa_writes_manifests_and_says_what_they_lack(tmp_path, capsys):
    (tmp_path / "p.yaml").write_text(
        "apiVersion: vllm-autoscaler.io/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: chat, namespace: a}\n"
        "spec:\n  scaleTargetRef: {kind: Deployment, name: vllm}\n  maxReplicas: 4\n  metrics:\n"
        "    - {signal: ttft, target: {type: Value, value: 2}}\n"
        "    - {name: jobs, query: sum(jobs), target: {type: Value, value: 2}}\n"
    )
    assert main(["hpa", str(tmp_path / "p.yaml")]) == 0
    out, err = capsys.readouterr()
    (hpa,) = yaml.safe_load_all(out)
    assert hpa["metadata"]["namespace"] == "a"
    metric, _ = hpa["spec"]["metrics"]
    assert metric["external"]["metric"] == {"name": "ttft", "selector": {"matchLabels": {"policy": "chat"}}}
    assert "semantics: LLM: an HPA has no guards" in err
    assert "metrics: jobs: is not a signal: the adapter needs --allow-queries-in a" in err
    assert main(["hpa", "--object", str(tmp_path / "p.yaml")]) == 0
    metric, _ = yaml.safe_load(capsys.readouterr().out)["spec"]["metrics"]
    described = metric["object"]["describedObject"]
    assert described == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}


def test_hpa_takes_names_of_the_library(capsys):
    assert main(["hpa", "queue-size", "chat"]) == 0
    written = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [one["kind"] for one in written] == ["HorizontalPodAutoscaler"] * 2
    assert main(["hpa", "caht"]) == 1
    assert "caht: no such file, and no policy of this name in the library" in capsys.readouterr().err


def test_hpa_writes_no_name_twice(tmp_path, capsys):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(find_policy("chat").read_text())
    two.write_text(one.read_text())
    three = tmp_path / "three.yaml"
    name = "name: chat\n"
    assert name in one.read_text()
    three.write_text(one.read_text().replace(name, f"{name}  namespace: default\n", 1))
    for files in ([one, two], [one, three], [one, one], ["chat", "chat"], ["chat", one]):
        assert main(["hpa", *map(str, files)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "was already defined at" in err
        assert "give it another name" in err


def test_simulate_takes_an_hpa_as_it_is(tmp_path, capsys):
    file, trace = tmp_path / "hpa.yaml", tmp_path / "trace.csv"
    file.write_text(HEAD + pods("prometheus.googleapis.com|vllm:num_requests_waiting|gauge") + CPU)
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n0,100,20\n1,100,20\n")
    assert main(["simulate", str(trace), "--policy", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "vllm" in out
    assert "is not carried over" in err


def test_validate_checks_exports_too(tmp_path, capsys):
    file = tmp_path / "exports.yaml"
    file.write_text(GOOD)
    with pytest.raises(SystemExit, match="0"):
        main(["validate", str(file)])
    assert capsys.readouterr().out == "1 export: valid\n"
    file.write_text(GOOD.replace("signal: waiting", "signal: wating"))
    with pytest.raises(SystemExit, match="1"):
        main(["validate", str(file)])
    assert "exports.yaml:12: spec.metrics[0].signal: must be one of" in capsys.readouterr().out
