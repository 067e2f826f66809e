"""What happens to schedules when clocks change."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.schedules import (
    DstPolicy,
    advance,
    anchored_interval,
    between,
    next_occurrence,
    occurrences,
    parse_schedule,
    previous_occurrence,
    rrule,
    rrule_set,
)
from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, TICK, next_change, offset_at
from redbeat_core.schedules.types.next_run import runs_after
from tests.support.effort import examples
from tests.unit.strategies import ZONES, crontabs, moments, rules, schedules, written_moments
from tests.unit.strategies import zones as all_zones

BERLIN = ZoneInfo("Europe/Berlin")
#: In Berlin 02:00 to 03:00 does not exist on the 29th of March 2026, and 02:00 to 03:00 comes
#: twice on the 25th of October.
SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)


def in_zone(name: str, made: crontab) -> crontab:
    app = Celery(set_as_current=False)
    app.conf.timezone = name
    made.app = app
    return made


def local(
    made: BaseSchedule,
    after: datetime,
    count: int,
    zone: tzinfo = BERLIN,
    dst: DstPolicy = DEFAULT_DST,
) -> list[str]:
    found = occurrences(made, anchor=None, now=after, count=count, dst=dst)
    return [moment.astimezone(zone).strftime("%d %H:%M%z")[:-2] for moment in found]


def berlin(text: str) -> BaseSchedule:
    return parse_schedule(f"DTSTART;TZID=Europe/Berlin:20260101T000000 {text}", now=SPRING)


@pytest.mark.parametrize(
    "made",
    [
        in_zone("Europe/Berlin", crontab(minute=30, hour=2)),
        berlin("FREQ=DAILY;BYHOUR=2;BYMINUTE=30"),
        berlin("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=2;BYMINUTE=30"),
    ],
)
def test_a_time_that_does_not_exist_is_moved_forward_and_one_that_comes_twice_runs_once(
    made: BaseSchedule,
) -> None:
    assert local(made, SPRING, 2) == ["29 03:30+02", "30 02:30+02"]
    assert local(made, AUTUMN, 2) == ["25 02:30+02", "26 02:30+01"]


@pytest.mark.parametrize(
    "made",
    [
        in_zone("Europe/Berlin", crontab(minute=30)),
        berlin("FREQ=HOURLY;BYMINUTE=30"),
        berlin("FREQ=MINUTELY;BYMINUTE=30"),
    ],
)
def test_what_runs_every_hour_runs_every_elapsed_hour(made: BaseSchedule) -> None:
    spring = datetime(2026, 3, 29, 0, tzinfo=UTC)
    autumn = datetime(2026, 10, 24, 23, 45, tzinfo=UTC)
    assert local(made, spring, 3) == ["29 01:30+01", "29 03:30+02", "29 04:30+02"]
    assert local(made, autumn, 3) == ["25 02:30+02", "25 02:30+01", "25 03:30+01"]


def test_a_shifted_time_that_falls_on_another_runs_once_and_in_order() -> None:
    made = in_zone("Europe/Berlin", crontab(minute="0,30", hour="2,3"))
    expected = ["29 03:00+02", "29 03:30+02", "30 02:00+02"]
    assert local(made, SPRING, 3) == expected
    assert local(berlin("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30"), SPRING, 3) == expected
    # From between the two, where the moved times lie on both sides.
    assert local(made, datetime(2026, 3, 29, 1, 10, tzinfo=UTC), 1) == ["29 03:30+02"]


def test_nine_in_the_morning_is_nine_in_the_morning_all_the_year() -> None:
    made = rrule("DAILY", dtstart=datetime(2026, 1, 1, 9, tzinfo=BERLIN))
    assert local(made, datetime(2026, 1, 10, 12, tzinfo=UTC), 1) == ["11 09:00+01"]
    assert local(made, datetime(2026, 7, 10, 12, tzinfo=UTC), 1) == ["11 09:00+02"]


def test_a_fixed_offset_stays_where_it_is() -> None:
    start = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=1)))
    made = rrule("DAILY", dtstart=start)
    assert local(made, datetime(2026, 7, 10, 12, tzinfo=UTC), 1) == ["11 10:00+02"]


def test_a_day_that_a_country_skipped_runs_on_the_next() -> None:
    apia = ZoneInfo("Pacific/Apia")  # went from the 29th to the 31st of December 2011
    made = rrule("DAILY", dtstart=datetime(2011, 12, 1, 9, tzinfo=apia))
    found = local(made, datetime(2011, 12, 29, 12, tzinfo=UTC), 3, apia)
    assert found == ["29 09:00-10", "31 09:00+14", "01 09:00+14"]


def test_seven_hours_are_seven_hours_across_a_change() -> None:
    made = rrule("HOURLY", interval=7, dtstart=datetime(2026, 3, 28, 20, tzinfo=BERLIN))
    found = occurrences(made, anchor=None, now=SPRING, count=200)
    assert {after - before for before, after in pairwise(found)} == {timedelta(hours=7)}


def test_a_rule_below_a_day_keeps_to_its_local_hours_across_a_change() -> None:
    made = berlin("FREQ=MINUTELY;INTERVAL=30;BYHOUR=9")
    assert local(made, SPRING, 3) == ["29 09:00+02", "29 09:30+02", "30 09:00+02"]
    winter = datetime(2026, 10, 24, 8, tzinfo=UTC)
    assert local(made, winter, 2) == ["25 09:00+01", "25 09:30+01"]


def test_count_counts_across_a_change() -> None:
    made = berlin("FREQ=HOURLY;BYHOUR=9,10;COUNT=400")
    found = occurrences(made, anchor=None, now=datetime(2025, 1, 1, tzinfo=UTC), count=1000)
    assert len(found) == 400
    plain = rrule("DAILY", count=200, dtstart=datetime(2026, 1, 1, 9, tzinfo=BERLIN))
    found = occurrences(plain, anchor=None, now=datetime(2025, 1, 1, tzinfo=UTC), count=1000)
    assert len(found) == 200
    assert {moment.astimezone(BERLIN).hour for moment in found} == {9}


@examples(200)
@given(rules(), moments(2020, 2030))
def test_a_rule_never_gives_an_instant_twice_nor_goes_back(made: rrule, now: datetime) -> None:
    found = occurrences(made, anchor=None, now=now, count=10)
    assert all(before < after for before, after in pairwise([now, *found]))


@examples(200)
@given(rules(), moments(2020, 2030))
def test_a_walk_gives_the_same_runs_as_single_steps(made: rrule, now: datetime) -> None:
    walked = occurrences(made, anchor=None, now=now, count=5)
    step: datetime | None = now
    steps: list[datetime | None] = []
    while len(steps) < 5 and step is not None:
        step = next_occurrence(made, step)
        steps.append(step)
    assert [moment for moment in steps if moment is not None] == walked


@examples(300)
@given(crontabs, st.sampled_from(ZONES), moments(2010, 2030), st.integers(-200, 200))
def test_a_crontab_runs_when_its_clock_shows_the_time(
    made: crontab, zone: str, somewhere: datetime, minutes: int
) -> None:
    # Often near a change of the clock, where it matters.
    change = next_change(ZoneInfo(zone), somewhere, somewhere + timedelta(days=400))
    now = (change or somewhere) + timedelta(minutes=minutes)
    made = in_zone(zone, made)
    found = occurrences(made, anchor=None, now=now, count=5)
    assert all(before < after for before, after in pairwise([now, *found]))
    for moment in found:
        shown = moment.astimezone(ZoneInfo(zone))
        if shown.utcoffset() == (moment - timedelta(days=1.5)).astimezone(shown.tzinfo).utcoffset():
            assert shown.minute in made.minute
            assert shown.hour in made.hour
            assert shown.day in made.day_of_month
            assert shown.month in made.month_of_year
            assert shown.isoweekday() % 7 in made.day_of_week


@examples(200)
@given(crontabs, moments(2010, 2030), st.integers(1, 3 * 24 * 60))
def test_a_crontab_in_utc_misses_no_minute(made: crontab, now: datetime, minutes: int) -> None:
    made = in_zone("UTC", made)
    end = now + timedelta(minutes=minutes)
    minute = now.replace(second=0) + timedelta(minutes=1)
    expected = []
    while minute <= end:
        if (
            minute.minute in made.minute
            and minute.hour in made.hour
            and minute.day in made.day_of_month
            and minute.month in made.month_of_year
            and minute.isoweekday() % 7 in made.day_of_week
        ):
            expected.append(minute)
        minute += timedelta(minutes=1)
    found = occurrences(made, anchor=None, now=now, count=len(expected) + 1)
    assert [moment for moment in found if moment <= end] == expected


@pytest.mark.parametrize(
    ("every", "after", "expected"),
    [
        (timedelta(hours=1), "2026-03-29T00:20:00", "2026-03-29T01:00:00"),
        (timedelta(hours=1), "2026-10-24T23:59:00", "2026-10-25T00:00:00"),
        (timedelta(hours=1), "2026-10-25T00:10:00", "2026-10-25T01:00:00"),
        (timedelta(days=1), "2026-03-28T12:00:00", "2026-03-28T23:00:00"),
        (timedelta(days=1), "2026-03-29T12:00:00", "2026-03-29T22:00:00"),
        (timedelta(days=2), "2026-10-24T12:00:00", "2026-10-25T23:00:00"),
    ],
)
def test_a_relative_interval_is_rounded_to_the_clock_across_a_change(
    every: timedelta, after: str, expected: str
) -> None:
    app = Celery(set_as_current=False)
    app.conf.timezone = "Europe/Berlin"
    made = schedule(every, relative=True, app=app)
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert next_occurrence(made, moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "made",
    [
        in_zone("Europe/Berlin", crontab(minute=30, hour=2)),
        berlin("FREQ=DAILY;BYHOUR=2;BYMINUTE=30"),
    ],
)
def test_an_entry_may_have_a_daylight_saving_policy_of_its_own(made: BaseSchedule) -> None:
    skip, last = DstPolicy("skip"), DstPolicy(ambiguous="last")
    both = DstPolicy(ambiguous="both")
    assert local(made, SPRING, 2, dst=skip) == ["30 02:30+02", "31 02:30+02"]
    assert local(made, SPRING, 1, dst=last) == ["29 03:30+02"]
    assert local(made, AUTUMN, 2, dst=last) == ["25 02:30+01", "26 02:30+01"]
    assert local(made, AUTUMN, 3, dst=both) == ["25 02:30+02", "25 02:30+01", "26 02:30+01"]


def test_both_passes_of_a_repeated_hour_come_one_after_the_other() -> None:
    made = in_zone("Europe/Berlin", crontab(minute="15,45", hour="2,3"))
    assert local(made, AUTUMN, 6, dst=DstPolicy(ambiguous="both")) == [
        "25 02:15+02",
        "25 02:45+02",
        "25 02:15+01",
        "25 02:45+01",
        "25 03:15+01",
        "25 03:45+01",
    ]


@examples(100)
@given(
    crontabs | rules(),
    st.sampled_from(ZONES),
    moments(2010, 2012),
    st.sampled_from(("shift", "skip")),
    st.sampled_from(("first", "last", "both")),
)
def test_a_walk_under_any_policy_gives_the_same_runs_as_single_steps(
    made: BaseSchedule, zone: str, now: datetime, nonexistent: Any, ambiguous: Any
) -> None:
    if isinstance(made, crontab):
        made = in_zone(zone, made)
    dst = DstPolicy(nonexistent, ambiguous)
    walk = occurrences(made, anchor=None, now=now, count=30, dst=dst)
    at, steps = now, list[datetime]()
    while len(steps) < 30 and (found := next_occurrence(made, at, dst)) is not None:
        steps.append(found)
        at = found
    assert walk == steps
    assert all(early < late for early, late in pairwise(walk))


def test_an_interval_that_walks_round_the_day_finds_its_time_of_day() -> None:
    """By a second a week, it comes to a certain second within 1,656 years."""
    start = datetime(2026, 1, 1, 9, 0, 1, tzinfo=UTC)
    made = rrule(
        "SECONDLY", dtstart=start, interval=604_801, byhour=4, byminute=0, bysecond=0, byweekday=4
    )
    found = next_occurrence(made, start)
    assert found is not None
    assert (found.hour, found.minute, found.second, found.weekday()) == (4, 0, 0, 4)
    assert (found - start) % timedelta(seconds=604_801) == timedelta(0)


def test_the_clocks_of_a_late_year_change_as_those_of_a_year_alike() -> None:
    for name in ("Europe/Berlin", "Africa/Casablanca", "America/Santiago", "Asia/Kolkata"):
        zone = ZoneInfo(name)
        for year in (2140, 2400, 2999):
            at, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, tzinfo=UTC)
            while (change := next_change(zone, at, end)) is not None:
                assert offset_at(change - timedelta(seconds=1), zone) == offset_at(at, zone)
                assert offset_at(change, zone) != offset_at(at, zone)
                at = change
            assert offset_at(end, zone) == offset_at(at, zone)


@examples(150)
@given(
    schedules(),
    written_moments(),
    all_zones,
    st.sampled_from([DEFAULT_DST, DstPolicy("skip", "both"), DstPolicy(ambiguous="last")]),
)
def test_the_answer_does_not_depend_on_the_zone_in_which_the_moment_is_written(
    made: BaseSchedule, moment: datetime, there: tzinfo, dst: DstPolicy
) -> None:
    answers = []
    for written in (moment.astimezone(UTC), moment, moment.astimezone(there)):
        found: list[Any] = [list(islice(runs_after(made, written, dst), 3))]
        found.append(occurrences(made, anchor=written, now=written, count=2, dst=dst))
        with suppress(ValueError):  # it depends on the run before
            before = previous_occurrence(made, written, dst)
            found.append(before)
            if before is not None:
                found.append(list(islice(between(made, before - TICK, written, dst), 3)))
        if isinstance(made, rrule_set):
            found.append(made.takes_away(written, dst))
        if isinstance(made, anchored_interval):
            found.append(made.number(written))
        later = moment.astimezone(UTC) + timedelta(days=2)
        found.append(advance(made, written, later.astimezone(written.tzinfo), dst))
        assert all(run.tzinfo is UTC for run in found[0])
        answers.append(found)
    assert answers == answers[:1] * 3


@examples(200)
@given(st.sampled_from(ZONES), written_moments(), all_zones)
def test_an_offset_and_its_change_do_not_depend_on_the_zone_of_the_moment(
    name: str, moment: datetime, there: tzinfo
) -> None:
    zone, at = ZoneInfo(name), moment.astimezone(UTC)
    until = at + timedelta(days=200)
    for written in (moment, at.astimezone(there)):
        end = until.astimezone(written.tzinfo)
        assert offset_at(written, zone) == offset_at(at, zone)
        assert next_change(zone, written, end) == next_change(zone, at, until)


def test_a_change_at_the_turn_of_the_year_is_seen_from_every_zone() -> None:
    change = datetime(1912, 1, 1, 0, 16, 8, tzinfo=UTC)
    abidjan, west = ZoneInfo("Africa/Abidjan"), timezone(timedelta(hours=-12))
    assert next_change(abidjan, change - TICK, change.astimezone(west)) == change


def test_a_local_time_that_is_jumped_over_has_the_offset_of_its_instant() -> None:
    jumped = datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN)
    assert offset_at(jumped, BERLIN) == timedelta(hours=2)
