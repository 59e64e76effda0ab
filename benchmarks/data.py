"""Where benchmarks look for data that is not in the repository."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared"
"""Beside the checkout."""

TRACES = SHARED / "traces"
DAY = TRACES / "servegen_mlarge_d00_24h_s25_derived.csv.gz"
"""521,110 requests."""
CALIBRATION = SHARED / "calibration/vllm-0.26.0-h100"
RECORDED_RUNS = TRACES / "metrics"


def missing(what: str, path: Path) -> bool:
    """Whether the data is not there; then one line says what is skipped and what would run it."""
    if path.exists():
        return False
    print(f"skipped: {what} needs {path}, which is not in the repository; name another place to run it")
    return True
