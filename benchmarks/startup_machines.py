"""Holds the shape of the start-up model against up to fourteen models on one machine, six times.

    python -m benchmarks.startup_machines [--markdown]

The totals are those of "Breaking the Ice: Analyzing Cold Start Latency in vLLM" (MLSys 2026), whose
authors published every run. How quick a machine is comes from its start of Llama 2 7B; every other total
is a prediction. docs/startup.md has the table; a test keeps the two equal.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.startup_totals import LIMIT, QUICK
from simulator.startup.choices import load_startup
from simulator.startup.plan import REFERENCE, ModelSize, StartupModel, sized

MODELS = {
    "Qwen1.5 0.5B": ModelSize(1.24e9, 24),
    "Qwen1.5 1.8B": ModelSize(3.67e9, 24),
    "Llama 3.2 3B": ModelSize(6.43e9, 28),
    "Qwen1.5 4B": ModelSize(7.90e9, 40),
    "Yi 6B": ModelSize(12.1e9, 32),
    "MPT 7B": ModelSize(13.3e9, 32),
    "Llama 2 7B": ModelSize(13.5e9, 32),
    "Falcon 7B": ModelSize(14.4e9, 32),
    "Mistral 7B": ModelSize(14.5e9, 32),
    "Qwen1.5 7B": ModelSize(15.4e9, 32),
    "Yi 1.5 9B": ModelSize(17.7e9, 48),
    "Falcon 2 11B": ModelSize(22.2e9, 60),
    "Llama 2 13B": ModelSize(26.0e9, 40),
    "Qwen1.5 14B": ModelSize(28.3e9, 40),
}
"""By the size of their weights: parameters times two bytes, and layers."""
FITTED = "Llama 2 7B"
_ELEVEN = tuple(name for name in MODELS if name not in ("MPT 7B", "Mistral 7B", "Falcon 2 11B"))


@dataclass(frozen=True)
class Machine:
    """One machine with one vLLM. ``engine``: the component that it started with.

    ``weights_s`` and ``engine_s``: what its start of Llama 2 7B logged.
    """

    name: str
    engine: str
    weights_s: float
    engine_s: float
    totals: dict[str, float]

    def startup(self) -> StartupModel:
        """The start-up model fitted to this machine's start of Llama 2 7B."""
        known = MODELS[FITTED]
        return StartupModel(
            name=self.name,
            weights_gb_per_s=known.weights_bytes / 1e9 / self.weights_s,
            engine_s=self.totals[FITTED] - self.weights_s - self.engine_s,
            engine_model_s=self.engine_s * REFERENCE.layers / known.layers,
        )

    def predicted(self, name: str) -> float:
        """Seconds for another model by the number of its layers."""
        return self.startup().median(MODELS[name]).total_s

    def by_size(self, name: str) -> float:
        """Seconds for another model by the size of its weights alone."""
        known, model = MODELS[FITTED], MODELS[name]
        ratio = sized(model.weights_bytes).layers / sized(known.weights_bytes).layers
        return self.startup().median(ModelSize(model.weights_bytes, known.layers * ratio)).total_s

    def unseen(self, name: str) -> float:
        """Seconds for another model without any measurement of the machine."""
        startup = load_startup(f"{self.engine}+page-cache+local-ssd{QUICK}")
        return startup.median(MODELS[name]).total_s


def _eleven(*seconds: float) -> dict[str, float]:
    return dict(zip(_ELEVEN, seconds, strict=True))


MACHINES = (
    Machine(
        "H100, cached",
        "compile-cache",
        2.474,
        11.708,
        _eleven(23.02, 22.79, 25.36, 28.81, 27.66, 27.13, 28.32, 28.36, 33.29, 32.01, 34.41),
    ),
    Machine(
        "H100, first", "no-compile-cache", 3.238, 26.17, _eleven(35, 37, 39, 48, 42, 43, 47, 44, 57, 53, 55)
    ),
    Machine(
        "L40S, cached",
        "compile-cache",
        1.748,
        13.426,
        _eleven(19.93, 20.36, 22.47, 26.57, 24.70, 24.55, 24.03, 25.36, 31.27, 29.53, 30.38),
    ),
    Machine(
        "A100, cached",
        "compile-cache",
        7.786,
        19.468,
        _eleven(33.77, 35.57, 40.37, 47.12, 43.75, 44.95, 45.15, 46.75, 54.31, 58.71, 60.92)
        | {"MPT 7B": 41.67, "Mistral 7B": 44.77, "Falcon 2 11B": 60.63},
    ),
    Machine(
        "A100, 0.9.2, cached",
        "compile-cache",
        7.635,
        40.86,
        _eleven(48.48, 49.41, 55.61, 64.18, 61.89, 63.02, 61.20, 64.21, 76.27, 79.60, 85.00),
    ),
    Machine(
        "A100, 0.9.2, first",
        "no-compile-cache",
        11.242,
        78.29,
        _eleven(77.06, 80.93, 93.36, 120.09, 101.41, 104.24, 100.92, 105.73, 132.47, 127.53, 130.60),
    ),
)


def markdown() -> Iterator[str]:
    """The table of docs/startup.md: measured and predicted seconds."""
    yield f"| model | layers | {' | '.join(machine.name for machine in MACHINES)} |"
    yield f"| --- | --- |{' --- |' * len(MACHINES)}"
    for name, model in MODELS.items():
        cells = (_cell(machine, name) for machine in MACHINES)
        yield f"| {name} | {model.layers:g} | {' | '.join(cells)} |"


def _cell(machine: Machine, name: str) -> str:
    if name not in machine.totals:
        return "-"
    seconds = f"{machine.totals[name]:.1f}"
    return f"{seconds}, fitted" if name == FITTED else f"{seconds} → {machine.predicted(name):.1f}"


def verdict() -> Iterator[str]:
    """How many predictions hold: by layers, by size alone, and without the machine's own start."""
    ways = {
        "by layers": Machine.predicted,
        "by size alone": Machine.by_size,
        "without its start of Llama 2 7B": Machine.unseen,
    }
    for how, predict in ways.items():
        errors = [
            abs(predict(machine, name) / seconds - 1.0)
            for machine in MACHINES
            for name, seconds in machine.totals.items()
            if name != FITTED
        ]
        held = sum(error <= LIMIT for error in errors)
        yield (
            f"{how}: {held} of {len(errors)} predictions within {LIMIT:.0%}, "
            f"median error {median(errors):.1%}, largest {max(errors):.0%}"
        )


def main() -> None:
    """Prints the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--markdown", action="store_true", help="the table alone, as docs/startup.md has it")
    given = parser.parse_args()
    print("\n".join(markdown()))
    if not given.markdown:
        print("\n".join(verdict()))


if __name__ == "__main__":
    main()
