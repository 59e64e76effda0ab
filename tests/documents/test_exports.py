"""MetricExport: what is served to others, and messages as good as those about policies."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from autoscaler.documents.exports import export_schema, load_export_text, load_exports
from autoscaler.errors import PolicyError
from autoscaler.selectors import selector_text

GOOD = """\
apiVersion: vllm-autoscaler.io/v1alpha1
kind: MetricExport
metadata:
  name: gke-names
  namespace: chat
spec:
  selector:
    matchLabels: {app: vllm}
  metrics:
    - name: num_requests_waiting
      aliases: ["prometheus.googleapis.com|vllm:num_requests_waiting|gauge"]
      signal: waiting
    - name: ttft_p90
      signal: ttft
      quantile: 0.9
      resource: External
      labels: {model: llama}
    - name: tokens
      query: sum by (namespace, pod) (rate(vllm:generation_tokens_total[1m]))
      series: Sum
"""


def test_an_export_says_what_is_served_and_under_which_names():
    (loaded,) = load_export_text(GOOD, "export.yaml")
    waiting, ttft, tokens = loaded.export.spec.metrics
    assert waiting.aliases == ("prometheus.googleapis.com|vllm:num_requests_waiting|gauge",)
    assert (waiting.resource, waiting.series, waiting.max_age_seconds) == ("Pods", "Single", 90)
    assert (ttft.quantile, ttft.labels) == (0.9, {"model": "llama"})
    assert tokens.series == "Sum"
    assert selector_text(loaded.export.spec.selector.requirements) == "app=vllm"


FAULTS = [
    ("kind: MetricExport", "kind: ScalingPolicy", "2: kind: must be MetricExport"),
    ("signal: waiting", "signal: wating", "12: spec.metrics[0].signal: must be one of"),
    ("name: ttft_p90", "name: ttft/p90", "13: spec.metrics[1].name: must be letters, digits"),
    ("resource: External", "resource: Pods", "16: spec.metrics[1].resource: ttft belongs to no pod"),
    ("signal: waiting", "query: up\n      signal: waiting", "12: spec.metrics[0].query: signal and query"),
    ("      series: Sum\n", "      serie: Sum\n", "20: spec.metrics[2].serie: is not a field here: did you"),
    ("name: tokens", "name: num_requests_waiting", '"num_requests_waiting" is served by metrics[0] already'),
    ("matchLabels: {app: vllm}", "matchLabels: {}", "spec.selector: names no label"),
    ("{app: vllm}", "{app: '-'}", "spec.selector: is not a label selector"),
    ("quantile: 0.9", "quantile: 2", "15: spec.metrics[1].quantile: must be below 1.0"),
    ("signal: waiting", "signal: waiting\n      series: Sum", "goes with a query only"),
    ("signal: waiting", "signal: kvCacheUsage\n      resource: External", "is each pod's own share"),
]


@pytest.mark.parametrize(("good", "bad", "message"), FAULTS)
def test_a_fault_is_named_with_its_line_and_field(good, bad, message):
    with pytest.raises(PolicyError) as caught:
        load_export_text(GOOD.replace(good, bad, 1), "export.yaml")
    assert "export.yaml:" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just text\n", "a: [\n"])
def test_what_is_no_export_is_refused(text):
    with pytest.raises(PolicyError):
        load_export_text(text, "export.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(PolicyError, match=r"none\.yaml: does not exist"):
        load_exports(tmp_path / "none.yaml")


def test_the_schema_accepts_what_the_loader_accepts():
    schema = export_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(GOOD), schema)
    assert "null" not in json.dumps(schema)
