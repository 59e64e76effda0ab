"""Emulated pods on free ports of the loopback, much faster than real time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from simulator.emulator.emulator import Emulator
from simulator.emulator.pod import EmulatorClock, PodSettings
from simulator.startup.plan import StartupModel
from tests.simulator.profiles import make_profile

MODEL = "test-model"


@asynccontextmanager
async def running(speed: float, **profile: int) -> AsyncIterator[Emulator]:
    """No pods yet; 10 ms a step; ready at once."""
    settings = PodSettings(make_profile(max_model_len_tokens=4000, **profile), (MODEL, "alias"))
    found = Emulator(settings, StartupModel(name="0"), EmulatorClock(speed), shutdown_timeout_s=30.0)
    yield found
    await found.close()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """50 times as fast as real time."""
    async with running(50.0) as found:
        yield found


@pytest.fixture
async def slow_emulator() -> AsyncIterator[Emulator]:
    """As slow as real time: a long answer does not end while a test looks at it."""
    async with running(1.0) as found:
        yield found


@pytest.fixture
async def capped_emulator() -> AsyncIterator[Emulator]:
    """The slow one, whose servers take 6 requests at a time."""
    async with running(1.0, max_num_queued_reqs=6) as found:
        yield found


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as session:
        yield session
