"""What servers say beside their answers: does it mean that something is missing?"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoscaler.metrics.sources.notes import NOTES, cloud_said, said

INFO = "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (1:20)"
WARNING = "PromQL warning: encountered a mix of histograms and floats for aggregation (1:1)"
AWAY = "No StoreAPIs matched for this query"
PARTIAL = "Query result may contain partial data"


@pytest.mark.parametrize(
    ("answer", "missing", "remarks"),
    [
        ({}, (), ()),
        ({"warnings": [INFO]}, (), (INFO,)),
        ({"warnings": [WARNING, INFO]}, (), (WARNING, INFO)),
        ({"infos": [INFO, "anything"]}, (), (INFO, "anything")),
        ({"warnings": [AWAY]}, (AWAY,), ()),
        ({"warnings": [INFO, AWAY]}, (AWAY,), (INFO,)),
        ({"warnings": [PARTIAL]}, (PARTIAL,), ()),
        ({"warnings": ["what nobody knows"]}, ("what nobody knows",), ()),
        ({"isPartial": True}, ("isPartial: a part of the storage did not answer",), ()),
        ({"isPartial": False}, (), ()),
        ({"warnings": None, "infos": "text", "isPartial": None}, (), ()),
    ],
    ids=str,
)
def test_notes_of_missing_data_and_of_other_things_are_told_apart(answer, missing, remarks):
    told = said(answer)
    assert (told.missing, told.remarks) == (missing, remarks)


def test_all_that_cloud_monitoring_says_is_of_missing_data():
    failed = [SimpleNamespace(message="us-east1 did not answer"), SimpleNamespace(message="")]
    assert cloud_said(failed, ["europe-west4"]) == (
        "us-east1 did not answer",
        "a part of the data is missing",
        "europe-west4 was unreachable",
    )


def test_the_table_in_the_guide_is_the_one_in_the_code():
    guide = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = guide.partition("### What servers say beside their answers")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| `(.+)` \| (?:`(.+)` )?\| (.+) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(one.servers, one.field, one.begins, one.meaning, one.source) for one in NOTES]


@pytest.mark.parametrize("note", NOTES, ids=lambda note: f"{note.servers}, {note.begins}")
def test_every_row_is_what_the_code_does(note):
    if note.field in ("executionErrors", "unreachable"):
        return  # above
    value = True if note.field == "isPartial" else [f"{note.begins} and more"]
    told = said({note.field: value})
    assert bool(told.missing) is (note.meaning == "may be partial")
    assert bool(told.remarks) is (note.meaning == "is whole")
