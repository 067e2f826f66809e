"""What runs when the clock changes: zone by zone, both changes, each policy, rules and crontabs.

The tables are in UTC and were worked out by hand from the zones' offsets.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab

from redbeat_core.schedules import DstPolicy, next_occurrence, occurrences, rrule
from redbeat_core.schedules.recurrence.zones import TICK, next_change, offset_at
from tests.support.effort import EFFORT, SOAK, cases

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

#: Zone; a local time that does not exist; the same time shifted; it on the day after (UTC).
GAPS = [
    ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:30", "2026-03-30 00:30"),
    ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:30", "2026-03-09 06:30"),
    # Half an hour: from 02:00 to 02:30.
    ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:45", "2026-10-04 15:15"),
    # At midnight.
    ("America/Sao_Paulo", "2018-11-04 00:30", "2018-11-04 03:30", "2018-11-05 02:30"),
    # The end of Ramadan, when the clock goes back to what it shows for most of the year.
    ("Africa/Casablanca", "2024-04-14 02:30", "2024-04-14 02:30", "2024-04-15 01:30"),
    # Two hours: from 01:00 to 03:00.
    ("Antarctica/Troll", "2026-03-29 02:00", "2026-03-29 02:00", "2026-03-30 00:00"),
]
#: Zone; a local time that comes twice; its first and its second time (UTC).
REPEATS = [
    ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30", "2026-10-25 01:30"),
    ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30", "2026-11-01 06:30"),
    ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45", "2026-04-04 15:15"),
    ("America/Sao_Paulo", "2018-02-17 23:30", "2018-02-18 01:30", "2018-02-18 02:30"),
    ("Africa/Casablanca", "2024-03-10 02:30", "2024-03-10 01:30", "2024-03-10 02:30"),
    ("Antarctica/Troll", "2026-10-25 02:00", "2026-10-25 00:00", "2026-10-25 02:00"),
]
KINDS = ["daily rule", "weekly rule", "crontab"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def in_zone(zone: str, **fields: Any) -> crontab:
    app = Celery(set_as_current=False)
    app.conf.timezone = zone
    return crontab(**fields, app=app)


def daily(kind: str, zone: str, at: datetime) -> BaseSchedule:
    """Every day at the local hour and minute of *at*."""
    if kind == "crontab":
        return in_zone(zone, minute=at.minute, hour=at.hour)
    start = at.replace(year=at.year - 1, day=1, tzinfo=ZoneInfo(zone))
    if kind == "weekly rule":
        return rrule("WEEKLY", dtstart=start, byweekday=range(7))
    return rrule("DAILY", dtstart=start)


def around(made: BaseSchedule, instant: datetime, dst: DstPolicy) -> list[datetime]:
    """The runs within a good day before and after *instant*; each asked from the one before."""
    found, moment = [], instant - timedelta(hours=27)
    while moment <= instant + timedelta(hours=25):
        after = next_occurrence(made, moment, dst)
        assert after is not None
        assert after > moment
        found.append(after)
        moment = after
    walked = occurrences(
        made, anchor=None, now=instant - timedelta(hours=27), count=len(found), dst=dst
    )
    assert walked == found
    return [run for run in found if instant - timedelta(hours=27) < run]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("zone", "local", "shifted", "day_after"), GAPS)
@pytest.mark.parametrize("nonexistent", ["shift", "skip"])
@pytest.mark.parametrize("ambiguous", ["first", "last", "both"])
def test_a_local_time_that_does_not_exist_is_shifted_or_skipped(
    kind: str,
    zone: str,
    local: str,
    shifted: str,
    day_after: str,
    nonexistent: Literal["shift", "skip"],
    ambiguous: Literal["first", "last", "both"],
) -> None:
    made = daily(kind, zone, datetime.fromisoformat(local))
    found = around(made, utc(shifted), DstPolicy(nonexistent, ambiguous))
    there = [utc(shifted)] if nonexistent == "shift" else []
    day_before = utc(shifted) - DAY
    assert [run for run in found if run < utc(day_after) + DAY] == [
        day_before,
        *there,
        utc(day_after),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("zone", "local", "first", "second"), REPEATS)
@pytest.mark.parametrize("nonexistent", ["shift", "skip"])
@pytest.mark.parametrize("ambiguous", ["first", "last", "both"])
def test_a_local_time_that_comes_twice_runs_as_the_policy_says(
    kind: str,
    zone: str,
    local: str,
    first: str,
    second: str,
    nonexistent: Literal["shift", "skip"],
    ambiguous: Literal["first", "last", "both"],
) -> None:
    made = daily(kind, zone, datetime.fromisoformat(local))
    found = around(made, utc(second), DstPolicy(nonexistent, ambiguous))
    there = {"first": [first], "last": [second], "both": [first, second]}[ambiguous]
    assert [run for run in found if run < utc(second) + DAY + timedelta(minutes=1)] == [
        utc(first) - DAY,
        *map(utc, there),
        utc(second) + DAY,
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ambiguous", ["last", "both"])
def test_a_second_pass_is_found_from_after_its_first(
    kind: str, ambiguous: Literal["last", "both"]
) -> None:
    made = daily(kind, "Europe/Berlin", datetime(2026, 10, 25, 2, 30))
    for asked in ("00:45", "01:00", "01:29"):
        found = next_occurrence(made, utc(f"2026-10-25 {asked}"), DstPolicy(ambiguous=ambiguous))
        assert found == utc("2026-10-25 01:30")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zone", ["America/Nuuk", "America/Scoresbysund"])
def test_a_shift_does_not_leave_the_day(kind: str, zone: str) -> None:
    # The clock goes from 23:00 to midnight, so that an hour later is the next day.
    there = ZoneInfo(zone)
    made = daily(kind, zone, datetime(2026, 3, 28, 23, 30))
    now = datetime(2026, 3, 27, 12, tzinfo=there)
    found = occurrences(made, anchor=None, now=now, count=4)
    assert [f"{run.astimezone(there):%d %H:%M:%S}" for run in found] == [
        "27 23:30:00",
        "28 22:59:59",
        "29 23:30:00",
        "30 23:30:00",
    ]
    # From any second it is the same.
    for run, before in zip(found[1:], found, strict=False):
        for asked in (before, before + timedelta(minutes=10), run - timedelta(seconds=1)):
            assert next_occurrence(made, asked) == run
    skipping = occurrences(made, anchor=None, now=now, count=3, dst=DstPolicy("skip"))
    assert skipping == [found[0], found[2], found[3]]


def test_a_rule_that_starts_at_a_time_that_is_shifted_within_its_day_runs_then() -> None:
    there = ZoneInfo("America/Nuuk")
    rule = rrule("DAILY", dtstart=datetime(2026, 3, 28, 23, 30, tzinfo=there), count=2)
    found = occurrences(rule, anchor=None, now=datetime(2026, 1, 1, tzinfo=UTC), count=9)
    assert [f"{run.astimezone(there):%d %H:%M:%S}" for run in found] == [
        "28 22:59:59",
        "29 23:30:00",
    ]
    assert rule.earliest == found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_that_is_left_out_as_a_whole_has_no_run_of_its_own(kind: str) -> None:
    there = ZoneInfo("Pacific/Apia")
    made = daily(kind, "Pacific/Apia", datetime(2011, 12, 30, 9, 30))
    now = datetime(2011, 12, 29, 0, tzinfo=there)
    found = occurrences(made, anchor=None, now=now, count=3)
    assert [f"{run.astimezone(there):%d %H:%M}" for run in found] == [
        "29 09:30",
        "31 09:30",
        "01 09:30",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_zone_without_changes_runs_at_the_same_time_all_the_year(kind: str) -> None:
    made = daily(kind, "Asia/Kolkata", datetime(2026, 5, 5, 2, 30))
    found = occurrences(made, anchor=None, now=utc("2026-01-01 00:00"), count=366)
    assert {run.time().isoformat() for run in found} == {"21:00:00"}
    assert {after - before for before, after in pairwise(found)} == {DAY}


@pytest.mark.parametrize("ambiguous", ["first", "last", "both"])
@pytest.mark.parametrize("zone", [zone for zone, *_ in GAPS])
def test_what_runs_every_hour_runs_on_elapsed_time_whatever_the_policy(
    zone: str, ambiguous: Literal["first", "last", "both"]
) -> None:
    dst = DstPolicy("skip", ambiguous)
    for year in (2018, 2024, 2026):
        start = datetime(year, 1, 1, 0, 15, tzinfo=ZoneInfo(zone))
        for made in (rrule("HOURLY", dtstart=start), rrule("MINUTELY", interval=60, dtstart=start)):
            found = occurrences(made, anchor=None, now=start, count=366 * 24, dst=dst)
            assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


@pytest.mark.parametrize("zone", [zone for zone, *_ in GAPS if "Lord_Howe" not in zone])
def test_a_crontab_of_every_hour_runs_every_elapsed_hour(zone: str) -> None:
    # Where the change is of half an hour, no clock that shows :15 can be an hour apart.
    for year in (2018, 2024, 2026):
        now = datetime(year, 1, 1, tzinfo=ZoneInfo(zone))
        found = occurrences(in_zone(zone, minute=15), anchor=None, now=now, count=366 * 24)
        assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


SHARDS = 4
#: Ten years, or of a soak a hundred. Before them Samoa left out a day.
FIRST, LAST = date(2016, 1, 1), date(2015 + cases(10), 12, 31)


@cache
def zones() -> list[list[str]]:
    """The names of all zones, in groups of those whose clocks are the same in those years: most
    names are other names of few zones. Of a soak each name is a group of its own."""
    first, last = datetime(2014, 1, 1, tzinfo=UTC), datetime(LAST.year + 2, 1, 1, tzinfo=UTC)
    groups: dict[Any, list[str]] = {}
    for name in sorted(available_timezones()):
        there, at, changes = ZoneInfo(name), first, []
        while change := next_change(there, at, last):
            at = change
            changes.append((change, offset_at(change, there)))
        looks = (last - first).days // 10
        seen = [(first + look * 10 * DAY).astimezone(there).utcoffset() for look in range(looks)]
        same = name if EFFORT == SOAK else (tuple(changes), tuple(seen))
        groups.setdefault(same, []).append(name)
    return list(groups.values())


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_daily_entry_runs_once_on_every_local_day_of_ten_years_in_every_zone(
    shard: int,
) -> None:
    expected = [FIRST + n * DAY for n in range((LAST - FIRST).days + 1)]
    for zone, *_others in zones()[shard::SHARDS]:
        there = ZoneInfo(zone)
        now = datetime(2015, 12, 31, 23, 59, 59, tzinfo=there)
        # The times at which clocks change: at midnight, and between one and three.
        for made in (
            rrule("DAILY", dtstart=datetime(2015, 1, 1, tzinfo=there)),
            rrule("DAILY", dtstart=datetime(2015, 1, 1, 2, 30, tzinfo=there)),
            in_zone(zone, minute=0, hour=0),
            in_zone(zone, minute=30, hour=2),
        ):
            found = occurrences(made, anchor=None, now=now, count=len(expected))
            assert [run.astimezone(there).date() for run in found] == expected, (zone, made)


@pytest.mark.thorough
def test_a_daily_entry_at_a_time_that_is_left_out_runs_once_on_that_day_in_every_zone() -> None:
    gaps = 0
    for zone, *others in zones():
        there, at = ZoneInfo(zone), datetime(FIRST.year, 1, 1, tzinfo=UTC)
        while change := next_change(there, at, datetime(LAST.year + 1, 1, 1, tzinfo=UTC)):
            at = change
            before, after = offset_at(change - TICK, there), offset_at(change, there)
            if after <= before:
                continue
            gaps += 1 + len(others)
            low = (change + before).replace(tzinfo=None)
            for local in (low, low + (after - before) / 2, low + (after - before) - MINUTE):
                for kind in KINDS:
                    made = daily(kind, zone, local)
                    now = (local - 2 * DAY).replace(hour=0, minute=0, tzinfo=there) - TICK
                    found = occurrences(made, anchor=None, now=now, count=5)
                    days = [run.astimezone(there).date() for run in found]
                    assert days == [local.date() + n * DAY for n in range(-2, 3)], (zone, local)
    assert gaps > 1000
