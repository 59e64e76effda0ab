"""Fits recorded runs of vLLM 0.19 on other GPUs and prints the errors, in sample.

    python -m benchmarks.recorded_runs

300 ShareGPT requests at 10 requests/s against each of four servers, all overloaded (recordings/README.md).
Takes some minutes.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.fidelity import line
from benchmarks.recordings import VLLM_0_19
from simulator.calibration.fidelity import errors, replay_recording
from simulator.calibration.fit import fit
from simulator.calibration.recording import MeasuredRequest, Recording
from simulator.vllm.profile import Profile, ReplicaMemory, Scheduler, StepTime

BUDGET_TOKENS = 2048


class Server(NamedTuple):
    """One server's limits, and the arithmetic about its model and GPU where the fit begins."""

    run: str
    max_num_seqs: int
    kv_cache_tokens: int
    base_ms: float
    per_kv_token_ns: float
    per_prefill_token_us: float
    experts_ms: float = 0.0
    experts_share: float = 0.0


# The KV capacity of the first was recorded; the others never came near theirs. The third names 128
# sequences in its record and ran 256, so 256 it is; these held 339,232 tokens at one moment, which is
# more than fits beside weights of 2 bytes, so its 128 experts (8 for each token) are read at 1 byte:
# 28.9e9 bytes at 1.79e12 bytes/s.
SERVERS = (
    Server("RTX4090_Llama-3.1-8B", 256, 41_408, 16.0, 130.0, 97.0),
    Server("RTXPRO6000_Llama-3.1-8B", 128, 540_000, 9.0, 73.0, 40.0),
    Server("RTXPRO6000_Qwen3-30B-A3B-Instruct-2507", 256, 350_000, 10.0, 55.0, 20.0, 16.0, 8 / 128),
    Server("RTXPRO6000_Qwen3-32B", 128, 440_000, 18.0, 73.0, 80.0),
)


def profile(server: Server) -> Profile:
    """Where the fit of a server begins."""
    return Profile(
        name=server.run,
        model=server.run,
        gpu=server.run,
        gpus_per_replica=1,
        provenance="the start of a fit",
        max_model_len_tokens=131_072,
        step_time=StepTime(
            base_ms=server.base_ms,
            per_sequence_us=40.0,
            per_kv_token_ns=server.per_kv_token_ns,
            per_prefill_token_us=server.per_prefill_token_us,
            per_prefill_token_squared_ns=1.0,
            experts_ms=server.experts_ms,
            experts_share=server.experts_share,
        ),
        scheduler=Scheduler(max_num_seqs=server.max_num_seqs, max_num_batched_tokens=BUDGET_TOKENS),
        memory=ReplicaMemory(weights_gib=16.0, kv_cache_tokens=server.kv_cache_tokens, kv_cache_gib=20.0),
    )


def recording(file: Path, run: str) -> Recording:
    """The requests of one run; latencies from the arrival."""
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["run"] == run]
    measured = (
        MeasuredRequest(
            float(row["arrival_s"]),
            int(row["prompt_tokens"]),
            int(row["output_tokens"]),
            float(row["first_token_s"]) - float(row["arrival_s"]),
            float(row["last_token_s"]) - float(row["arrival_s"]),
        )
        for row in rows
    )
    return Recording(run, tuple(sorted(measured)))


def main() -> None:
    """One fit a server."""
    print("| calibrated on | predicted | quantity | mean | p50 | p90 | p95 | p99 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for server in SERVERS:
        real = recording(VLLM_0_19, server.run)
        start = profile(server)
        found = replace(start, step_time=fit(start, [real]))
        line("itself", server.run, errors(replay_recording(found, real), real.requests))


if __name__ == "__main__":
    main()
