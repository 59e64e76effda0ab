"""The published totals: docs/startup.md shows what the benchmark computes, no more and no less."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks/startup_totals.py"))


def test_the_documentation_has_every_total_with_its_prediction():
    table = "\n".join(BENCHMARK["markdown"]())
    assert table in (ROOT / "docs/startup.md").read_text()


def test_fitted_totals_come_back_and_the_measured_prediction_holds():
    for total in BENCHMARK["TOTALS"]:
        if total.fitted:
            assert abs(total.error()) < 0.02, total.what
    measured = [total for total in BENCHMARK["TOTALS"] if "measured" in total.source and not total.fitted]
    assert [total.what for total in measured] == ["Llama 3 8B, empty compile cache, no weights"]
    assert all(abs(total.error()) <= 0.15 for total in measured)
