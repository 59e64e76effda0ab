"""Options of a simulated replica, its start and its price: the same for a replay and a bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from autoscaler.cli.options.declared import Options, option
from autoscaler.cli.options.profile import profile_option
from autoscaler.cli.options.shell_completion import complete_startup

if TYPE_CHECKING:
    from autoscaler.cli.options.trace import Window
    from simulator.traces.rows import HashedRequest, Request
    from simulator.traces.trace import Trace
    from simulator.vllm.profile import Profile
    from simulator.world.cluster import Routing


class ReplicaOptions(Options):
    """A simulated replica, and how requests find it."""

    profile: str = profile_option()
    prefix_caching: Literal["on", "off"] | None = option(
        type=click.Choice(["on", "off"]),
        help="Whether beginnings of prompts are found again, by the trace's hash_ids.  "
        "[default: the profile's]",
    )
    hash_block_tokens: int = option(
        type=click.IntRange(1, 1_000_000),
        default=512,
        metavar="N",
        help="With prefix caching: how many prompt tokens one of the hash_ids stands for.",
    )
    startup: str = option(
        default="warm-node",
        metavar="NAME[+NAME…]|SECONDS",
        shell_complete=complete_startup,
        help="How a replica starts: components or a preset, joined by + "
        "(see `autoscale startup --components`).",
    )
    price: str | None = option(
        metavar="USD|machine=NAME|spot",
        help="Dollars a GPU-hour, or whose list price.  [default: on demand, where it is known]",
    )
    routing: Routing = option(
        type=click.Choice(["least-loaded", "round-robin", "random"]),
        default="least-loaded",
        help="How requests find a replica.",
    )
    seed: int = option(type=int, default=0, help="For start-up times and --routing random.")

    def read_profile(self) -> Profile:
        """The profile, with or without prefix caching as the options say.

        Raises:
            ProfileError: there is no such profile.
            click.BadParameter: it cannot have prefix caching.
        """
        from simulator.vllm.profile import load_profile

        profile = load_profile(self.profile)
        if self.prefix_caching is None:
            return profile
        try:
            caching = self.prefix_caching == "on"
            return replace(profile, scheduler=replace(profile.scheduler, enable_prefix_caching=caching))
        except ValueError as error:
            message = f"{error}: {profile.name} is one"
            raise click.BadParameter(message, param_hint="--prefix-caching") from None


def read_requests(
    trace: Trace, profile: Profile, hash_block_tokens: int | None, window: Window
) -> Iterator[Request] | Iterator[HashedRequest]:
    """The part of a trace that is replayed; prompts' contents only where they make a difference.

    ``hash_block_tokens``: None where the user did not say.

    Raises:
        click.UsageError: ``hash_block_tokens`` is given, and the profile has no prefix caching.
    """
    if profile.scheduler.enable_prefix_caching:
        return trace.hashed_window(hash_block_tokens or 512, **window)
    if hash_block_tokens is not None:
        raise click.UsageError("--hash-block-tokens needs --prefix-caching on")
    return trace.window(**window)
