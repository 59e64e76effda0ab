"""Which price a replica has, and that nobody guesses one."""

from __future__ import annotations

import pytest

from autoscaler.errors import ProfileError
from simulator.report.summary import summarize
from simulator.run.event_loop import simulate
from simulator.run.scenario import FixedScaling
from simulator.startup.prices import find_price, machine_names, machine_row, storage_price
from tests.simulator.run.test_event_loop import make_scenario, steady


@pytest.mark.parametrize(
    ("gpu", "gpus", "machine"),
    [
        ("NVIDIA H100 80GB HBM3", 1, "a3-highgpu-1g"),
        ("NVIDIA H100 80GB HBM3", 8, "a3-highgpu-1g"),
        ("NVIDIA L4", 1, "g2-standard-4"),
        ("NVIDIA L4", 2, "g2-standard-24"),
        ("NVIDIA L4", 3, "g2-standard-48"),
        ("NVIDIA A100-SXM4-40GB", 1, "a2-highgpu-1g"),
        ("NVIDIA A100-SXM4-80GB", 2, "a2-ultragpu-4g"),
        ("NVIDIA H200", 1, "a3-ultragpu-8g"),
    ],
)
def test_the_smallest_machine_that_holds_the_replica(gpu, gpus, machine):
    price = find_price(gpu, gpus)
    assert price is not None
    assert (price.machine, price.kind) == (machine, "on-demand")
    row = machine_row(machine)
    assert row is not None
    assert price.usd_per_gpu_hour == row.on_demand_usd_per_hour / row.gpus


@pytest.mark.parametrize("gpu", ["NVIDIA L40S", "NVIDIA A100", "NVIDIA H100 NVL", "test", ""])
def test_a_gpu_without_a_row_of_its_own_has_no_price(gpu):
    assert find_price(gpu, 1) is None


@pytest.mark.parametrize("text", ["2.5", "$2.50", "2.5$/GPU-hour", "2.5/GPU-hour"])
def test_a_number_is_dollars_a_gpu_hour(text):
    price = find_price("anything", 4, text)
    assert price is not None
    assert (price.usd_per_gpu_hour, price.machine) == (2.5, None)


def test_a_machine_and_spot_can_be_asked_for():
    dear, cheap = find_price("NVIDIA L4", 1, "machine=g2-standard-48"), find_price("NVIDIA L4", 1, "spot")
    assert dear is not None
    assert cheap is not None
    assert (dear.machine, dear.kind) == ("g2-standard-48", "on-demand")
    assert (cheap.machine, cheap.kind) == ("g2-standard-4", "spot")
    both = find_price("NVIDIA L4", 1, "machine=g2-standard-48, spot")
    assert both is not None
    assert both.usd_per_gpu_hour == pytest.approx(1.574384 / 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cheap", "must be dollars a GPU-hour"),
        ("-1", "must be dollars a GPU-hour"),
        ("machine=x1", "'x1' has no price here (there are: g2-standard-4"),
        ("machine=g2-standard-4,machine=g2-standard-24", "must be dollars a GPU-hour"),
    ],
)
def test_a_wrong_price_is_refused(text, message):
    with pytest.raises(ProfileError, match="--price") as caught:
        find_price("NVIDIA L4", 1, text)
    assert message in str(caught.value)


def test_spot_without_a_row_is_refused():
    with pytest.raises(ProfileError, match="no machine with 'NVIDIA L40S'"):
        find_price("NVIDIA L40S", 1, "spot")


def test_every_row_has_a_source_a_day_and_a_spot_price_below_the_other():
    assert len(set(machine_names())) == len(machine_names())
    for name in machine_names():
        row = machine_row(name)
        assert row is not None
        assert row.source
        assert row.date.year >= 2025
        assert row.spot_usd_per_hour is None or row.spot_usd_per_hour < row.on_demand_usd_per_hour


def test_storage_without_a_row_has_no_price():
    assert storage_price("hyperdisk-ml") is None
    row = storage_price("pd-ssd")
    assert row is not None
    assert 200 * row.usd_per_gib_month == pytest.approx(34.0)


def test_the_bill_is_gpu_hours_times_the_price_and_null_without_one():
    price = find_price("", 1, "3")
    known = summarize(simulate(steady(1, 0, 3600), FixedScaling(2), make_scenario(price=price)))
    assert known["cost_usd"] == pytest.approx(known["gpu_hours"] * 3, abs=1e-5)
    assert known["price"]["usd_per_gpu_hour"] == 3.0
    unknown = summarize(simulate(steady(1, 0, 60), FixedScaling(2), make_scenario()))
    assert (unknown["cost_usd"], unknown["price"]) == (None, None)
