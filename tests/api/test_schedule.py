from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import Schedule, Spec
from autoscaler.api.schedule import active_schedules, cron_fault, time_zone_fault
from tests.api.build import spec_of

HOUR = 3600
BERLIN = ZoneInfo("Europe/Berlin")


def spec(cron: str, duration_seconds: int, zone: str = "Etc/UTC", name: str = "a") -> Spec:
    window = Schedule(name=name, cron=cron, duration_seconds=duration_seconds, time_zone=zone, min_replicas=2)
    return spec_of().model_copy(update={"schedules": (window,)})


def is_open(policy: Spec, moment: datetime) -> bool:
    return bool(active_schedules(policy, moment.timestamp()))


def test_a_window_includes_its_first_second_and_not_its_last() -> None:
    policy = spec("0 8 * * *", HOUR)
    opening = datetime(2024, 5, 6, 8, tzinfo=UTC)
    story = [(-0.001, False), (0, True), (0.5, True), (3599.999, True), (3600, False), (3600.5, False)]
    assert [(after, is_open(policy, opening + timedelta(seconds=after))) for after, _ in story] == story


def test_several_windows_are_named_in_the_policys_order() -> None:
    first, second = spec("0 8 * * *", 2 * HOUR, name="z"), spec("0 9 * * *", HOUR, name="a")
    both = first.model_copy(update={"schedules": first.schedules + second.schedules})
    at = datetime(2024, 5, 6, tzinfo=UTC).timestamp()
    story = [active_schedules(both, at + hour * HOUR) for hour in (7, 8, 9, 10)]
    assert story == [(), ("z",), ("z", "a"), ()]


def test_a_window_that_outlasts_its_period_never_closes() -> None:
    policy = spec("0 */6 * * *", 7 * HOUR)
    start = datetime(2024, 2, 28, tzinfo=UTC)
    assert all(is_open(policy, start + timedelta(minutes=17 * step)) for step in range(500))


def test_weekdays_cover_monday_to_friday() -> None:
    policy = spec("0 8 * * MON-FRI", HOUR)
    week = [datetime(2024, 5, 6 + day, 8, 30, tzinfo=UTC) for day in range(7)]
    assert [is_open(policy, day) for day in week] == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    ("cron", "open_days"),
    [
        ("0 0 L * *", [(1, 31), (2, 29), (4, 30)]),
        ("0 0 31 * *", [(1, 31), (3, 31), (5, 31)]),
        ("0 0 30 * *", [(1, 30), (3, 30), (4, 30), (5, 30)]),
        ("0 0 29 2 *", [(2, 29)]),
    ],
)
def test_month_ends(cron: str, open_days: list[tuple[int, int]]) -> None:
    policy = spec(cron, 24 * HOUR)
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    days = [noon + timedelta(days=day) for day in range(152)]
    opened = [(day.month, day.day) for day in days if is_open(policy, day)]
    assert [day for day in opened if day in open_days] == open_days
    assert len(opened) == (5 if cron == "0 0 L * *" else len(open_days))


def test_a_window_over_midnight_and_new_year() -> None:
    policy = spec("0 23 31 12 *", 2 * HOUR)
    moment = datetime(2025, 1, 1, 0, 30, tzinfo=UTC)
    assert is_open(policy, moment)
    assert not is_open(policy, moment + timedelta(minutes=30))


def test_the_hour_that_the_clocks_skip_opens_the_window_right_after_it() -> None:
    policy = spec("30 2 * * *", HOUR, "Europe/Berlin")
    skip = datetime(2024, 3, 31, 1, tzinfo=UTC)  # 02:00 becomes 03:00
    story = [(-1, False), (0, True), (3599, True), (3600, False)]
    assert [(after, is_open(policy, skip + timedelta(seconds=after))) for after, _ in story] == story


def test_the_hour_that_the_clocks_repeat_opens_the_window_once() -> None:
    policy = spec("30 2 * * *", 600, "Europe/Berlin")
    first = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)  # 02:30 for the first time; again at 01:30 UTC
    minutes = [minute for minute in range(180) if is_open(policy, first + timedelta(minutes=minute))]
    assert minutes == list(range(10))


def test_a_window_keeps_its_length_when_the_clocks_change_inside_it() -> None:
    policy = spec("0 22 * * SAT", 8 * HOUR, "Europe/Berlin")
    for opening in (datetime(2024, 3, 30, 22, tzinfo=BERLIN), datetime(2024, 10, 26, 22, tzinfo=BERLIN)):
        at = opening.timestamp()
        story = [(-1, ()), (0, ("a",)), (8 * HOUR - 1, ("a",)), (8 * HOUR, ())]
        assert [(after, active_schedules(policy, at + after)) for after, _ in story] == story


def test_working_hours_follow_the_local_clock_through_the_year() -> None:
    policy = spec("0 8 * * *", HOUR, "Europe/Berlin")
    for month, day in ((1, 15), (3, 31), (7, 15), (10, 27)):
        eight = datetime(2024, month, day, 8, tzinfo=BERLIN)
        assert is_open(policy, eight)
        assert not is_open(policy, eight - timedelta(seconds=1))


def minutes_open(cron: str, duration: int, start: datetime, minutes: int) -> list[bool]:
    policy = spec(cron, duration, "Europe/Berlin")
    at = start.timestamp()
    return [bool(active_schedules(policy, at + 60 * minute)) for minute in range(minutes)]


@pytest.mark.parametrize("change", [datetime(2024, 3, 31, tzinfo=UTC), datetime(2024, 10, 27, tzinfo=UTC)])
@pytest.mark.parametrize("cron", ["15 1 * * *", "45 2 * * *", "0 3 * * *", "0 */2 * * *", "20 * * * *"])
def test_near_a_clock_change_open_means_an_opening_within_the_duration(cron: str, change: datetime) -> None:
    """Against a window of one minute, which shows where the openings are."""
    start = change - timedelta(hours=4)
    openings = minutes_open(cron, 60, start, 600)
    assert any(openings)
    for length in (20, 150):
        wide = minutes_open(cron, 60 * length, start, 600)
        expected = [any(openings[max(0, end - length + 1) : end + 1]) for end in range(600)]
        assert wide[length:] == expected[length:]


@given(now=st.floats(-1e9, 4e9), duration=st.integers(60, 31 * 86400), hour=st.integers(0, 23))
def test_a_daily_window_in_utc_has_a_closed_form(now: float, duration: int, hour: int) -> None:
    since_opening = (now - hour * HOUR) % 86400
    assert bool(active_schedules(spec(f"0 {hour} * * *", duration), now)) == (since_opening < duration)


@pytest.mark.parametrize("cron", ["0 8 * * MON-FRI", "*/15 0-6,22 * JAN,dec 0", "0 0 L * *", "0 0 * * 5#2"])
def test_good_cron_expressions(cron: str) -> None:
    assert cron_fault(cron) is None


@pytest.mark.parametrize(
    ("cron", "fault"),
    [
        ("@daily", 'is not a cron expression, as "@daily" has 1 field: write five fields'),
        ("0 0 8 * * *", 'is not a cron expression, as "0 0 8 * * *" has 6 fields: write five fields'),
        ("60 8 * * *", "has a wrong minute field"),
        ("0 8 0 * *", "has a wrong day of month field"),
        ("0 8 31 2 *", '"0 8 31 2 *" never happens, as none of its months has such a day: write five'),
        ("0 8 31 13 *", "has a wrong month field"),
        ("0 60 31 2 *", "has a wrong hour field"),
        ("0 8 * * FRI-MON", "has a wrong day of week field"),
        ("0 8 31 2 1#5,1", None),
    ],
)
def test_cron_faults_name_the_field(cron: str, fault: str | None) -> None:
    found = cron_fault(cron)
    assert found == fault if fault is None else (found or "").startswith(fault)


@given(st.text(alphabet="0123456789*/,-L#WJANMO ?²", max_size=20))
def test_any_cron_text_is_either_fine_or_explained(cron: str) -> None:
    fault = cron_fault(cron)
    assert fault is None or fault.startswith(("is not a cron", "has a wrong")) or "never happens" in fault


@pytest.mark.parametrize("name", ["Etc/UTC", "Europe/Berlin", "America/New_York", "UTC"])
def test_good_time_zones(name: str) -> None:
    assert time_zone_fault(name) is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Europe", "IANA time zone"),
        ("../etc/passwd", "e.g. Europe/Berlin or Etc/UTC"),
        ("/etc/localtime", "IANA time zone"),
        ("UTC+2", "IANA time zone"),
        ("x" * 64, "e.g. Europe/Berlin or Etc/UTC"),
    ],
)
def test_wrong_time_zones(name: str, hint: str) -> None:
    assert hint in (time_zone_fault(name) or "")


def test_what_the_loader_would_refuse_is_a_value_error_here() -> None:
    for broken in (spec("61 * * * *", 60), spec("0 8 * * *", 60, "Mars/Olympus")):
        with pytest.raises(ValueError, match=r"Bad minute|is not a time zone"):
            active_schedules(broken, 0.0)
