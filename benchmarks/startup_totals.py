"""Holds the start-up model against every published or measured total that was found.

    python -m benchmarks.startup_totals [--markdown]

Prints each total with its prediction, and whether a parameter was fitted to it. docs/startup.md has
the table; a test keeps the two equal.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

from simulator.startup.choices import assemble, choose
from simulator.startup.plan import sized

LIMIT = 0.15
Z95, Z99 = 1.6449, 2.3263


@dataclass(frozen=True)
class Total:
    """One total: the start, its measured or published seconds, and the parts that explain them.

    ``parts``: the phases that the seconds contain. ``gb_per_s``: storage that no component describes.
    ``layers``: the model's, where the engine is part of the total.
    ``fitted``: the parameter that was set from this total.
    """

    what: str
    source: str
    seconds: float
    startup: str
    gb: float
    parts: tuple[str, ...]
    fitted: str = ""
    gb_per_s: float | None = None
    note: str = ""
    layers: int | None = None

    def predicted(self) -> float:
        """Seconds by the model, at its medians."""
        startup = assemble(self.startup, choose(self.startup))
        if self.gb_per_s is not None:
            loader = choose(self.startup).loader.gb_per_s
            startup = replace(startup, weights_gb_per_s=min(self.gb_per_s, loader))
        draw = startup.median(sized(self.gb * 1e9, self.layers))
        seconds: dict[str, float] = {
            "node": draw.node_s,
            "node at P99": draw.node_s * startup.spread.node ** (Z99 / Z95),
            "image": draw.image_s,
            "weights": draw.weights_s,
            "engine": draw.engine_s,
            "engine, model's part": draw.engine_s - startup.engine_s,
            "engine but the model's part": startup.engine_s,
        }
        return sum(seconds[part] for part in self.parts)

    def error(self) -> float:
        """Prediction over measurement, less one."""
        return self.predicted() / self.seconds - 1.0


GEMMA_GB = 17.2 * 2**30 / 1e9
LLAMA_GB = 15.0 * 2**30 / 1e9
HERE = "measured here, vLLM 0.26.0, H100"
RUNAI = "Run:ai model streamer benchmarks"
WEIGHTS, ENGINE, IMAGE, NODE = ("weights",), ("engine",), ("image",), ("node",)
IMPORTS, LOADED = ("engine but the model's part",), ("weights", "engine")
QUICK = "+quick-imports"
"""For every machine but that of the calibration, whose imports are slow."""
BENCH = "vllm bench startup, without imports"
SHOWCASE = "vllm #40323, April 2026"

TOTALS = (
    Total(
        "Gemma 2 9B, first start, no weights",
        HERE,
        161,
        "first-start",
        GEMMA_GB,
        ENGINE,
        "first-start",
        layers=42,
    ),
    Total(
        "Gemma 2 9B, compile cache, no weights",
        HERE,
        92,
        "compile-cache",
        GEMMA_GB,
        ENGINE,
        "compile-cache",
        layers=42,
    ),
    Total("Gemma 2 9B, --enforce-eager, no weights", HERE, 58, "eager", GEMMA_GB, ENGINE, "eager", layers=42),
    Total(
        "Llama 3 8B, empty compile cache, no weights",
        HERE,
        110,
        "no-compile-cache",
        LLAMA_GB,
        ENGINE,
        layers=32,
    ),
    Total("15 GB, 1 GiB/s disk, safetensors", RUNAI, 47.99, "safetensors", 15, WEIGHTS, "safetensors", 1.074),
    Total("15 GB, 1 GiB/s disk, streamer", RUNAI, 14.34, "streamer", 15, WEIGHTS, gb_per_s=1.074),
    Total("15 GB, 4 GiB/s disk, safetensors", RUNAI, 47.0, "safetensors", 15, WEIGHTS, gb_per_s=4.295),
    Total(
        "15 GB, 4 GiB/s disk, streamer",
        RUNAI,
        7.53,
        "streamer",
        15,
        WEIGHTS,
        gb_per_s=4.295,
        note="the disk gave half of its rate",
    ),
    Total("15 GB, S3 at concurrency 32, streamer", RUNAI, 4.88, "gcs-streamer", 15, WEIGHTS, "streamer"),
    Total(
        "15 GB, S3 at concurrency 4, streamer",
        RUNAI,
        28.2,
        "gcs-streamer",
        15,
        WEIGHTS,
        note="concurrency is not modelled",
    ),
    Total("15 GB, S3, Tensorizer", RUNAI, 37.36, "gcs-streamer", 15, WEIGHTS, note="another loader"),
    Total(
        "480 GB, GCS FUSE serving profile",
        "gcsfuse documentation",
        840,
        "gcsfuse-parallel",
        480,
        WEIGHTS,
        "gcsfuse-parallel",
    ),
    Total(
        "65 GB from the Hugging Face hub",
        "vendor blog, 20 to 40 min",
        1800,
        "hf-hub",
        65,
        WEIGHTS,
        note="a slower line",
    ),
    Total(
        "3.7 GB out of the page cache, safetensors",
        "vllm #20264",
        0.69,
        "page-cache",
        3.67,
        WEIGHTS,
        "page-cache",
        9,
    ),
    Total(
        "70 GB out of the page cache, 8 ranks",
        "vllm #19824",
        10,
        "page-cache",
        70,
        WEIGHTS,
        gb_per_s=9,
        note="the ranks read at once",
    ),
    Total(
        "3B q8, imports and API server",
        "vllm #20264",
        24,
        "quick-imports+compile-cache",
        3.67,
        IMPORTS,
        "quick-imports",
    ),
    Total(
        "3B q8, compile cache, all",
        "vllm #20264",
        59,
        "compile-cache+page-cache" + QUICK,
        3.67,
        LOADED,
        gb_per_s=9,
        note="its imports (24 s) were fitted; 17 s of graphs for many sizes",
        layers=28,
    ),
    *(
        Total(
            f"Qwen2.5 {size}, {state}",
            SHOWCASE,
            seconds,
            startup + QUICK,
            gb,
            LOADED,
            gb_per_s=rate,
            note=note,
            layers=layers,
        )
        for size, gb, layers, warm_s, cold_s in (
            ("0.5B", 1.0, 24, 44.5, 73.0),
            ("7B", 15.2, 28, 48.4, 78.7),
            ("32B", 65.5, 64, 71.2, 123.4),
        )
        for state, seconds, startup, rate, note in (
            ("warm disk", warm_s, "compile-cache+page-cache", 9.0, ""),
            (
                "cold disk",
                cold_s,
                "shared-compile-cache+page-cache",
                2.6,
                "disk unknown, taken as a local SSD",
            ),
        )
    ),
    Total(
        "Llama 3.1 8B, L40S, nothing cached",
        "tensorfuse",
        294,
        "hf-hub+first-start" + QUICK,
        16.06,
        LOADED,
        note="the download's 61 s of it were fitted (hf-hub); 54 s of graphs",
        layers=32,
    ),
    Total(
        "Llama 3.1 8B, L40S, all cached",
        "tensorfuse",
        82,
        "compile-cache+page-cache" + QUICK,
        16.06,
        LOADED,
        gb_per_s=0.89,
        note="its volume's rate is given: 18 s; fewer graphs",
        layers=32,
    ),
    Total(
        "dense 8B, H100 NVL, cold",
        "vllm #47456",
        101,
        "no-compile-cache+local-ssd" + QUICK,
        16.06,
        LOADED,
        note="storage unknown, taken as a local SSD",
        layers=32,
    ),
    Total(
        "dense 8B, H100 NVL, prebuilt",
        "vllm #47456",
        44,
        "compile-cache+local-ssd" + QUICK,
        16.06,
        LOADED,
        note="as above; prebuilt kernels are not modelled",
        layers=32,
    ),
    Total(
        "Qwen3-30B-A3B fp8, cold",
        "vllm #47456",
        292.5,
        "no-compile-cache" + QUICK,
        30.5,
        ENGINE,
        note="120 s of JIT and 82 s of DeepGEMM are not modelled; weights (9.5 s) left out of both",
        layers=48,
    ),
    Total(
        "Qwen3-30B-A3B fp8, JIT cached",
        "vllm #47456",
        172.3,
        "no-compile-cache" + QUICK,
        30.5,
        ENGINE,
        note="82 s of DeepGEMM are not modelled",
        layers=48,
    ),
    Total(
        "start to token",
        "vllm #48193",
        108.3,
        "compile-cache+local-ssd" + QUICK,
        16.06,
        LOADED,
        note="nothing known of it, taken as a cached 8B",
        layers=32,
    ),
    Total(
        "pull to token",
        "vllm #48193",
        188.7,
        "compile-cache+local-ssd+plain-pull" + QUICK,
        16.06,
        ("image", "weights", "engine"),
        note="as above; another set-up, says the report",
        layers=32,
    ),
    Total(
        "70B FP8, TP8: compile and graphs only",
        "vllm #19824",
        145,
        "no-compile-cache",
        70,
        ("engine, model's part",),
        note="15 + 70 + 60 s; peer-to-peer checks (60 s) are not modelled",
        layers=80,
    ),
    Total(
        "8B: engine initialisation",
        "vllm #11005",
        39,
        "no-compile-cache",
        16.06,
        ("engine, model's part",),
        note="vLLM 0.6, compiled less",
        layers=32,
    ),
    Total(
        "35B NVFP4, RTX 5090",
        "vllm #44881",
        277,
        "no-compile-cache+page-cache" + QUICK,
        23.4,
        LOADED,
        gb_per_s=1.3,
        note="its disk's rate is given: 18 s; 210 s of warm-up without FP4 units are not modelled",
        layers=40,
    ),
    Total(
        "35B NVFP4, DGX Spark, weights",
        "route179",
        142,
        "safetensors",
        20,
        WEIGHTS,
        gb_per_s=1.0,
        note="storage unknown",
    ),
    Total(
        "Qwen3-32B, whole pod",
        "llm-d, 98 to 125 s",
        111,
        "compile-cache+gcs-streamer" + QUICK,
        65.5,
        LOADED,
        note="storage unknown, taken as streamed",
        layers=64,
    ),
    *(
        Total(
            f"{model}, {state}",
            f"vllm {issue}, January 2026",
            seconds,
            f"{engine}+page-cache",
            gb,
            ("weights", "engine, model's part"),
            gb_per_s=9,
            note=note,
            layers=layers,
        )
        for model, issue, gb, layers, state, engine, seconds, note in (
            ("Qwen3 8B", "#32337", 16.4, 36, "cold", "no-compile-cache", 50.9, BENCH),
            ("Qwen3 32B", "#32191", 65.5, 64, "cold", "no-compile-cache", 68.5, f"{BENCH}; compiled ahead"),
            ("Qwen3 32B", "#32191", 65.5, 64, "warm", "compile-cache", 43.9, f"{BENCH}; compiled ahead"),
        )
    ),
    Total("image, plain pull", "GKE documentation", 230, "plain-pull", 0.001, IMAGE, "plain-pull"),
    Total("image, streaming", "GKE documentation", 20, "image-streaming", 0.001, IMAGE, "image-streaming"),
    Total(
        "16 GB image, secondary boot disk",
        "Google Cloud blog, 29 times as fast",
        7.93,
        "secondary-boot-disk",
        0.001,
        IMAGE,
        "secondary-boot-disk",
    ),
    Total(
        "GPU node, P50", "GKE standby buffers, June 2026", 240, "standard-node", 0.001, NODE, "standard-node"
    ),
    Total(
        "GPU node, P99",
        "GKE standby buffers, June 2026",
        360,
        "standard-node",
        0.001,
        ("node at P99",),
        "standard-node",
    ),
    Total(
        "node pool auto-creation",
        "GKE documentation, 30 to 45 s",
        37.5,
        "auto-created-node",
        0.001,
        NODE,
        "auto-created-node",
    ),
    Total(
        "Karpenter, order to ready",
        "resume-site experiment, 425 to 439 s",
        432,
        "fast-start-node+plain-pull+hf-hub+first-start" + QUICK,
        16.06,
        ("node", "image", "weights", "engine"),
        note="AWS, model and image unknown",
        layers=32,
    ),
)


HEADINGS = ("total", "source", "s", "model", "error", "", "note")


def cells(total: Total) -> tuple[str, ...]:
    """One total as text, in the order of HEADINGS."""
    held = "predicted" if abs(total.error()) <= LIMIT else "**missed**"
    verdict = "fitted" if total.fitted else held
    seconds, predicted = f"{total.seconds:.4g}", f"{total.predicted():.4g}"
    return total.what, total.source, seconds, predicted, f"{total.error():+.0%}", verdict, total.note


def markdown() -> Iterator[str]:
    """The table of docs/startup.md."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for total in TOTALS:
        yield f"| {' | '.join(cells(total))} |".replace("|  |", "| |")


def plain() -> Iterator[str]:
    """The same for a terminal, and how many of the predictions hold."""
    for total in TOTALS:
        what, source, seconds, predicted, error, verdict, note = cells(total)
        figures = f"{seconds:>6} {predicted:>6} {error:>5}  {verdict.strip('*'):9}"
        yield f"{what:46} {figures}  {source}; {note}".rstrip("; ")
    free = [total for total in TOTALS if not total.fitted]
    errors = [abs(total.error()) for total in free]
    held = sum(error <= LIMIT for error in errors)
    yield (
        f"{held} of {len(free)} predictions within {LIMIT:.0%}, median error {median(errors):.0%}; "
        f"fitted: {len(TOTALS) - len(free)}"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--markdown", action="store_true", help="as docs/startup.md has it")
    print("\n".join(markdown() if parser.parse_args().markdown else plain()))


if __name__ == "__main__":
    main()
