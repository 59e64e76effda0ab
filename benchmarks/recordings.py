"""The recordings of the benchmarks; recordings/README.md has the source of each."""

from __future__ import annotations

from pathlib import Path

RECORDINGS = Path(__file__).parent / "recordings"

DAY = RECORDINGS / "servegen_mlarge_d00_24h_s25_derived.csv.gz"
"""521,110 requests."""
VLLM_0_26 = RECORDINGS / "vllm-0.26.0-h100"
VLLM_0_19 = RECORDINGS / "vllm_0.19.0_requests.csv.gz"
