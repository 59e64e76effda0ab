"""Holds the simulator against a real vLLM: predicts recorded runs and prints the errors.

    python -m benchmarks.fidelity

The recordings are a sweep and an open-loop replay of Gemma 2 9B and a sweep of Llama 3 8B
(docs/fidelity.md describes them). Each line says what the profile was calibrated on. Takes some minutes:
every line but those of shipped profiles is a fit.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.recordings import VLLM_0_26
from simulator.calibration.fidelity import Errors, errors, replay_recording, signal_errors
from simulator.calibration.fit import fit
from simulator.calibration.recording import Recording, read_recording
from simulator.vllm.profile import Profile, StepTime, load_profile

SPLIT_S = 50.0


def line(calibrated: str, predicted: str, found: Errors) -> None:
    """One row per quantity of a Markdown table."""
    for quantity, statistics in found.items():
        cells = " | ".join(f"{100 * value:+.1f}" for value in statistics.values())
        print(f"| {calibrated} | {predicted} | {quantity} | {cells} |", flush=True)


# Where every fit begins: arithmetic about the model and the GPU, nothing from the recordings.
# 9.24e9 weights of 2 bytes and 344,064 bytes of KV cache a token at 3.35e12 bytes/s; 2 flops a weight
# and prompt token at half of 9.9e14 flop/s; 0 lets the fit take its own start for the host's share.
NEUTRAL = StepTime(
    base_ms=5.5,
    per_sequence_us=20.0,
    per_kv_token_ns=103.0,
    per_prefill_token_us=37.0,
    per_prefill_token_squared_ns=0.5,
)


def fitted(base: Profile, start: StepTime, *recordings: Recording) -> Profile:
    """The base's limits and memory, with step times fitted to nothing but the recordings."""
    begin = replace(base, step_time=start)
    return replace(base, step_time=fit(begin, recordings))


def without_overload(sweep: Recording) -> tuple[Recording, Recording]:
    """The sweep without the batch that asks for more KV cache than there is, and that batch."""
    batches = list(sweep.episodes())
    asked = [sum(request.prompt_tokens + request.output_tokens for request in batch) for batch in batches]
    overload = batches.pop(asked.index(max(asked)))
    rest = tuple(request for batch in batches for request in batch)
    return replace(sweep, requests=rest), replace(sweep, requests=overload)


def recording(name: str) -> Recording:
    """One recorded run."""
    return read_recording(VLLM_0_26 / f"{name}.requests.csv.gz", VLLM_0_26 / f"{name}.metrics.csv.gz")


def main() -> None:
    """Fits and predicts, line by line."""
    sweep, replay = recording("gemma2-9b-sweep"), recording("gemma-conv-x2")
    gemma, llama = load_profile("gemma2-9b-h100"), load_profile("llama3-8b-h100")
    print("| calibrated on | predicted | quantity | mean | p50 | p90 | p95 | p99 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    line("shipped profile", "Gemma replay", errors(replay_recording(gemma, replay), replay.requests))
    line("shipped profile", "Gemma sweep", errors(replay_recording(gemma, sweep), sweep.requests))
    other = recording("llama3-8b-sweep")
    line("shipped profile", "Llama sweep", errors(replay_recording(llama, other), other.requests))
    alone = fitted(gemma, NEUTRAL, sweep)
    line("sweep", "replay", errors(replay_recording(alone, replay), replay.requests))
    calm, overload = without_overload(sweep)
    calibrated = fitted(gemma, NEUTRAL, calm)
    line(
        "sweep less one batch",
        "that batch, overloaded",
        errors(replay_recording(calibrated, overload), overload.requests),
    )
    half = fitted(gemma, alone.step_time, sweep, replay.until(SPLIT_S))
    pairs = zip(replay_recording(half, replay), replay.requests, strict=True)
    rest = [(ours, real) for ours, real in pairs if real.sent_s >= SPLIT_S]
    found = errors([ours for ours, _ in rest], [real for _, real in rest])
    line(f"sweep, replay to {SPLIT_S:g} s", "rest of the replay", found)
    print()
    for signal, error in signal_errors(gemma, replay).items():
        print(f"{signal}: {error}")


if __name__ == "__main__":
    main()
