"""Steps of every type of schedule: from nominal time to nominal time, nothing drifts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.schedules import BaseSchedule, crontab, schedule
from celery.utils.time import remaining
from hypothesis import given
from hypothesis import strategies as st
from redbeat.schedules import rrule as their_rrule

from redbeat_core.schedules import (
    NextRun,
    advance,
    never_runs,
    next_occurrence,
    occurrences,
    parse_schedule,
    rrule,
)
from redbeat_core.schedules.types.next_run import MISSED_LIMIT
from tests.support.effort import examples
from tests.unit.strategies import crontabs, intervals, moments, rules

NOW = datetime(2026, 5, 5, 5, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_an_interval_runs_one_interval_after_its_last_run() -> None:
    assert next_occurrence(schedule(30), NOW) == NOW + 30 * SECOND


def test_a_second_interval_runs_3600_times_an_hour_however_late_each_run_is() -> None:
    nominal, runs = NOW, 0
    while nominal < NOW + timedelta(hours=1):
        late = nominal + timedelta(milliseconds=137)
        step = advance(schedule(1), nominal, late)
        assert step.missed == 0
        assert step.next is not None
        nominal, runs = step.next, runs + 1
    assert runs == 3600


def test_missed_runs_of_an_interval_are_counted_at_once_however_many() -> None:
    start = time.thread_time()
    step = advance(schedule(0.001), NOW - timedelta(days=3650), NOW + timedelta(microseconds=5))
    assert step == NextRun(NOW + timedelta(milliseconds=1), 3650 * 86400 * 1000)
    assert time.thread_time() - start < 0.5


def test_a_nominal_time_to_come_is_the_next() -> None:
    soon = NOW + timedelta(hours=5)
    assert advance(schedule(30), soon, NOW) == NextRun(soon, 0)


@pytest.mark.parametrize(
    ("text", "missed"),
    [("0 * * * *", 24), ("FREQ=HOURLY;BYMINUTE=0", 24), ("every 1h relative", 24)],
)
def test_missed_runs_are_counted_up_to_and_including_now(text: str, missed: int) -> None:
    made = parse_schedule(text, now=NOW - timedelta(days=10))
    assert advance(made, NOW - timedelta(days=1), NOW) == NextRun(NOW + timedelta(hours=1), missed)


def test_counting_missed_runs_has_a_bound_and_says_so() -> None:
    step = advance(crontab(), NOW - timedelta(days=3650), NOW)
    assert step == NextRun(NOW + timedelta(minutes=1), MISSED_LIMIT, more=True)


def test_a_schedule_that_ends_has_no_next() -> None:
    rule = rrule("DAILY", dtstart=NOW, count=3)
    assert advance(rule, NOW, NOW + timedelta(days=30)) == NextRun(None, 2)
    assert occurrences(rule, anchor=None, now=NOW, count=9) == [
        NOW + timedelta(days=1),
        NOW + timedelta(days=2),
    ]


def test_occurrences_of_an_interval_keep_the_phase_of_its_last_run() -> None:
    last = NOW - timedelta(seconds=100)
    found = occurrences(schedule(30), anchor=last, now=NOW, count=3)
    assert found == [NOW + 20 * SECOND, NOW + 50 * SECOND, NOW + 80 * SECOND]


def test_occurrences_of_an_interval_without_a_last_run_begin_now() -> None:
    assert occurrences(schedule(30), anchor=None, now=NOW, count=1) == [NOW + 30 * SECOND]


def test_a_last_run_in_the_future_is_waited_for() -> None:
    ahead = NOW + timedelta(hours=1)
    assert occurrences(schedule(30), anchor=ahead, now=NOW, count=1) == [ahead + 30 * SECOND]


def test_no_occurrences_are_none() -> None:
    assert occurrences(schedule(30), anchor=None, now=NOW, count=0) == []


@examples(200)
@given(st.one_of(intervals, crontabs, rules()), moments(2020, 2030), st.integers(0, 10**6))
def test_advance_lands_on_the_run_after_now(
    made: BaseSchedule, nominal: datetime, seconds: int
) -> None:
    now = nominal + timedelta(seconds=seconds)
    step = advance(made, nominal, now)
    assert step.next is None or step.next > now
    if step.missed == 0 and not step.more:
        assert step.next == next_occurrence(made, nominal)


@examples(200)
@given(
    st.timedeltas(timedelta(milliseconds=10), timedelta(days=40)),
    moments(2020, 2030),
    st.integers(0, 10**6),
)
def test_a_relative_interval_ends_where_celery_ends_it(
    every: timedelta, last: datetime, micro: int
) -> None:
    last += timedelta(microseconds=micro)
    made = schedule(every, relative=True)
    theirs = last + remaining(last, every, last, relative=True)
    if theirs > last:
        assert next_occurrence(made, last) == theirs
    else:  # celery would run at once, for ever
        found = next_occurrence(made, last)
        assert found is not None
        assert last < found <= last + max(every, SECOND) + SECOND


@pytest.mark.parametrize("every", [timedelta(0), timedelta(seconds=-5)])
def test_an_interval_that_never_passes_is_refused(every: timedelta) -> None:
    with pytest.raises(ValueError, match="never passes"):
        next_occurrence(schedule(every), NOW)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        next_occurrence(crontab(), NOW.replace(tzinfo=None))


def test_an_interval_past_the_calendar_never_comes() -> None:
    assert never_runs(schedule(timedelta(days=999_999_999)), NOW)
    assert advance(schedule(timedelta(days=999_999_999)), NOW, NOW) == NextRun(None, 0)


@pytest.mark.parametrize("year", [1, 2, 9999])
def test_times_at_the_ends_of_the_calendar_raise_nothing(year: int) -> None:
    for zone_made in (schedule(60), crontab(hour=3), crontab(), rrule("DAILY", dtstart=NOW)):
        moment = datetime(year, 1, 1, tzinfo=UTC) if year < 9999 else datetime.max
        next_occurrence(zone_made, moment.replace(tzinfo=UTC))


def test_a_crontab_on_a_day_that_seldom_comes_is_found_at_once() -> None:
    start = time.thread_time()
    found = next_occurrence(crontab(0, 0, day_of_week=1, day_of_month=29, month_of_year=2), NOW)
    assert found == datetime(2044, 2, 29, tzinfo=UTC)
    assert time.thread_time() - start < 0.5


def test_celery_redbeats_own_rules_are_understood() -> None:
    theirs = their_rrule("DAILY", dtstart=NOW)
    assert next_occurrence(theirs, NOW) == NOW + timedelta(days=1)


class EveryPrimeMinute(BaseSchedule):
    """A schedule as a user may write one."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        minutes = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 62)
        minute = next(m for m in minutes if m > last_run_at.minute)
        due = last_run_at.replace(minute=0) + timedelta(minutes=minute)
        now: datetime = self.now()
        return due - now

    def is_due(self, last_run_at: datetime) -> Any:
        return False, 60


def test_a_schedule_of_the_users_own_is_asked() -> None:
    assert next_occurrence(EveryPrimeMinute(), NOW) == NOW + timedelta(minutes=2)
    found = occurrences(EveryPrimeMinute(), anchor=None, now=NOW, count=4)
    assert [moment.minute for moment in found] == [2, 3, 5, 7]
