"""The published totals: docs/startup.md shows what the benchmark computes, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import startup_machines, startup_totals

GUIDE = (Path(__file__).parents[3] / "docs/startup.md").read_text()
WORDS = " ".join(GUIDE.split())


@pytest.mark.parametrize("benchmark", [startup_totals, startup_machines])
def test_the_documentation_has_every_total_with_its_prediction(benchmark):
    assert "\n".join(benchmark.markdown()) in GUIDE


def test_the_documentation_counts_what_the_benchmarks_count():
    *_, totals = startup_totals.plain()
    assert totals.startswith("10 of 32 predictions within 15%, median error 25%")
    assert "10 of 32 predictions hold, and their median error is 25 %" in WORDS
    layers, size, unseen = startup_machines.verdict()
    assert "63 of 63 predictions within 15%, median error 2.6%, largest 13%" in layers
    assert "63 of 63 predictions hold, the median error is 2.6 % and the largest 13 %" in WORDS
    assert "49 of 63 predictions within 15%, median error 6.4%" in size
    assert "without the number of layers, 49 hold (6.4 %)" in WORDS
    assert "10 of 63 predictions within 15%, median error 33.9%" in unseen
    assert "by the rule of the first table, 10 of 63 hold (34 %)" in WORDS


def test_fitted_totals_come_back_and_the_measured_prediction_holds():
    for total in startup_totals.TOTALS:
        if total.fitted:
            assert abs(total.error()) < 0.02, total.what
    measured = [total for total in startup_totals.TOTALS if "measured" in total.source and not total.fitted]
    assert [total.what for total in measured] == ["Llama 3 8B, empty compile cache, no weights"]
    assert all(abs(total.error()) <= 0.15 for total in measured)
