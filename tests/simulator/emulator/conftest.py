"""Emulated pods on free ports of the loopback, much faster than real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from simulator.emulator.emulator import Emulator
from simulator.emulator.pod import Clock, PodSettings
from simulator.startup import StartUp
from tests.simulator.profiles import make_profile

MODEL = "test-model"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """No pods yet; 10 ms a step, 50 times as fast; ready at once."""
    settings = PodSettings(make_profile(max_model_len_tokens=4000), (MODEL, "alias"))
    async with asyncio.timeout(60):
        found = Emulator(settings, StartUp(name="0"), Clock(speed=50.0), shutdown_timeout_s=30.0)
        yield found
        await found.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as session:
        yield session
