"""`autoscale emulate`: a vLLM without a GPU, with the simulator's engine in real time."""

from __future__ import annotations

import asyncio
import signal
from typing import Literal

import click

from autoscaler.cli.options.declared import Options, option, takes
from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.profile import profile_option
from autoscaler.cli.options.shell_completion import complete_startup

MAX_PORT = 65535
_PORT = click.IntRange(0, MAX_PORT)


class EmulateOptions(Options):
    """The command line."""

    profile: str = profile_option()
    host: str = option(default="127.0.0.1", metavar="ADDRESS", help="The address to listen on.")
    port: int = option(
        type=_PORT, default=8000, help="The first pod's port; the others take the next ones. 0: any."
    )
    pods: int = option(type=click.IntRange(1, 1000), default=1, metavar="N", help="How many pods.")
    name: str = option(default="vllm", help="What pods are called: NAME-0, NAME-1…")
    model: tuple[str, ...] = option(
        multiple=True,
        metavar="NAME",
        help="What clients call the model; may be repeated.  [default: the profile's]",
    )
    startup: str = option(
        default="0",
        metavar="NAME[+NAME…]|SECONDS",
        shell_complete=complete_startup,
        help="How long a pod says 503 first: seconds, or components as in `autoscale startup`.",
    )
    speed: float = option(
        type=FiniteRange(0, 1e4, min_open=True),
        default=1.0,
        metavar="X",
        help="Let time pass X times as fast in the pods.",
    )
    mean_output_tokens: float = option(
        type=FiniteRange(1, 1e6),
        default=200.0,
        metavar="N",
        help="Mean length of answers without ignore_eos, which end by themselves.",
    )
    shutdown_timeout: float = option(
        type=FiniteRange(0, 86400),
        default=0.0,
        metavar="S",
        help="On SIGTERM, let requests end for this many seconds; new ones are aborted, as by vLLM.",
    )
    dcgm_port: int | None = option(
        type=_PORT, metavar="PORT", help="Also serve the GPUs' metrics, as DCGM's exporter."
    )
    dcgm_labels: Literal["pod", "exported"] = option(
        type=click.Choice(["pod", "exported"]),
        default="pod",
        help="Whether they name the workload in pod or in exported_pod.",
    )
    namespace: str = option(default="default", metavar="NAME", help="The namespace in the GPUs' metrics.")


@click.command(context_settings={"show_default": True})
@takes(EmulateOptions)
def emulate(options: EmulateOptions) -> None:
    """Serve like vLLM without a GPU: OpenAI's API, /health and /metrics, at a profile's speed.

    \b
    autoscale emulate --port 8000 --dcgm-port 9400
    autoscale emulate --pods 4 --startup hyperdisk-ml --speed 10

    The text of answers is meaningless, their timing is not: requests wait, run and are preempted in the
    simulator's engine. SIGTERM ends it as vLLM ends. docs/emulator.md has the details.
    """  # noqa: D301 (click wants the character, not a backslash)
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        raise click.UsageError(f"cannot listen: {error.strerror}; choose another port or host") from None


async def _serve(options: EmulateOptions) -> None:
    from simulator.emulator.emulator import Emulator
    from simulator.emulator.pod import EmulatorClock, PodSettings
    from simulator.startup.choices import load_startup
    from simulator.vllm.profile import load_profile

    if options.port + options.pods - 1 > MAX_PORT:
        message = f"from --port {options.port} on there are no {options.pods} ports: take a lower one"
        raise click.UsageError(message)
    profile = load_profile(options.profile)
    settings = PodSettings(profile, options.model or (profile.model,), options.mean_output_tokens)
    emulator = Emulator(
        settings,
        load_startup(options.startup),
        EmulatorClock(options.speed),
        options.host,
        options.shutdown_timeout,
    )
    told = _told_to_stop()
    try:
        for number in range(options.pods):
            name = f"{options.name}-{number}"
            listener = await emulator.add(name, options.port and options.port + number)
            click.echo(f"{name} on {listener.url}{_loading(emulator.pods[-1].loads_for(), options.speed)}")
        if options.dcgm_port is not None:
            exporter = await emulator.export_gpus(options.namespace, options.dcgm_labels, options.dcgm_port)
            click.echo(f"GPU metrics on {exporter.url}/metrics")
        click.echo(f"Serving {', '.join(settings.model_names)}; Ctrl-C or SIGTERM stops")
        await told.wait()
        click.echo(f"Ending within {options.shutdown_timeout:g} s; a second signal ends it at once", err=True)
    finally:
        await emulator.close()


def _loading(seconds: float, speed: float) -> str:
    return f", ready in {seconds / speed:.0f} s" if seconds > 0 else ""


def _told_to_stop() -> asyncio.Event:
    """Set by the first SIGTERM or Ctrl-C; a second one has its usual effect."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        told.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, stop)
    return told
