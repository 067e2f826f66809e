"""The arithmetic of recurrence rules gives what dateutil gives, at any age of the rule."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from dateutil.rrule import rrule as dateutil_rrule
from dateutil.rrule import weekday
from hypothesis import assume, given
from hypothesis import strategies as st

from redbeat_core.schedules import never_runs, next_occurrence, occurrences, rrule
from tests.support.effort import examples
from tests.unit.strategies import moments, rule_arguments

NOW = datetime(2026, 5, 5, 5, 0, 0, tzinfo=UTC)


def brute_force(rule: dateutil_rrule, after: datetime, count: int, horizon: datetime) -> list[Any]:
    """What dateutil says, walking from DTSTART as it does."""
    found: list[datetime] = []
    for moment in rule:
        if moment > horizon or len(found) == count:
            break
        if moment > after:
            found.append(moment)
    return found


def until(horizon: datetime, moments: list[datetime]) -> list[datetime]:
    return [moment for moment in moments if moment <= horizon]


@examples(300)
@given(
    rule_arguments(freqs=(0, 1, 2, 3)),
    moments(2015, 2020),
    st.integers(-100, 2000),
    st.integers(0, 86400),
)
def test_rules_of_days_and_slower_occur_when_dateutil_says(
    arguments: dict[str, Any], start: datetime, days: int, seconds: int
) -> None:
    after = start + timedelta(days=days, seconds=seconds)
    horizon = after + timedelta(days=1000)
    rule = rrule(dtstart=start, **arguments)
    # dateutil looks at the horizon only when it has found something: not for too long.
    beyond = next_occurrence(rule, horizon)
    assume(beyond is not None and beyond < horizon + timedelta(days=3000))
    ours = occurrences(rule, anchor=None, now=after, count=5)
    theirs = dateutil_rrule(dtstart=start, **arguments)
    assert until(horizon, ours) == brute_force(theirs, after, 5, horizon)


@examples(300)
@given(
    rule_arguments(freqs=(4, 5, 6)),
    moments(2019, 2020),
    st.integers(-1000, 20_000),
)
def test_rules_below_a_day_occur_when_dateutil_says(
    arguments: dict[str, Any], start: datetime, ticks: int
) -> None:
    unit = {4: 3600, 5: 60, 6: 1}[arguments["freq"]]
    after = start + timedelta(seconds=ticks * unit)
    horizon = after + timedelta(seconds=20_000 * unit)
    ours = rrule(dtstart=start, **arguments)
    try:
        # dateutil finds out about some rules that never run, and walks on for others.
        theirs = dateutil_rrule(dtstart=start, **arguments)
    except ValueError:
        assert never_runs(ours, after)
        return
    found = occurrences(ours, anchor=None, now=after, count=5)
    assume(found)
    assume(next(iter(ours.recurrence.after(start - timedelta(seconds=1)))) < horizon)
    assume(found[-1] <= horizon)
    assert found == brute_force(theirs, after, len(found), horizon)


@examples(100)
@given(rule_arguments(freqs=(0, 1, 2, 3)), moments(2010, 2020), st.integers(1, 30))
def test_count_ends_a_rule_where_dateutil_ends_it(
    arguments: dict[str, Any], start: datetime, count: int
) -> None:
    rule = rrule(dtstart=start, count=count, **arguments)
    before = start - timedelta(seconds=1)
    ours = list(islice(rule.recurrence.after(before), count + 1))
    assume(len(ours) == count and ours[-1].year < 2100)
    assert ours == list(dateutil_rrule(dtstart=start, count=count, **arguments))


@pytest.mark.parametrize("freq", range(7))
def test_a_plain_rule_with_a_count_knows_its_last_run_without_counting(freq: int) -> None:
    start = datetime(2020, 1, 1, 9, 30, 15, tzinfo=UTC)
    last = list(dateutil_rrule(freq, dtstart=start, count=500, interval=3))[-2:]
    rule = rrule(freq, dtstart=start, count=500, interval=3)
    assert next_occurrence(rule, last[0]) == last[1]
    assert next_occurrence(rule, last[1]) is None


def test_a_rule_that_only_runs_at_its_start_runs_at_its_start() -> None:
    rule = rrule("DAILY", dtstart=NOW, count=1)
    assert next_occurrence(rule, NOW - timedelta(seconds=1)) == NOW
    assert next_occurrence(rule, NOW) is None


@pytest.mark.parametrize("freq", range(7))
def test_the_cost_of_the_next_run_does_not_grow_with_the_age_of_the_rule(freq: int) -> None:
    rule = rrule(freq, dtstart=datetime(1990, 1, 1, 9, tzinfo=UTC), interval=1)
    assert next_occurrence(rule, NOW) is not None
    start = time.thread_time()
    for day in range(100):
        next_occurrence(rule, NOW + timedelta(days=day))
    # dateutil takes 11 minutes for one of these; this machine 2 ms for all.
    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"freq": "DAILY", "bymonth": 2, "bymonthday": 30},
        {"freq": "SECONDLY", "bymonth": 2, "bymonthday": 30},
        {"freq": "WEEKLY", "bymonth": 2, "bymonthday": 31},
        {"freq": "YEARLY", "byweekno": 53, "bymonth": 6},
        {"freq": "MONTHLY", "bymonthday": 31, "bymonth": [4, 6]},
        {"freq": "DAILY", "interval": 7, "byweekday": 2},
        {"freq": "HOURLY", "interval": 168, "byweekday": 2},
        {"freq": "MINUTELY", "interval": 2, "byminute": 1},
        {"freq": "SECONDLY", "interval": 60, "bysecond": 30},
        {"freq": "MONTHLY", "byweekday": weekday(0, 1), "bysetpos": 5},
        {"freq": "SECONDLY", "interval": 86_399, "bymonthday": 31, "bymonth": 2},
    ],
)
def test_a_rule_that_never_runs_is_found_out_within_a_second(arguments: dict[str, Any]) -> None:
    rule = rrule(dtstart=datetime(2024, 1, 1, tzinfo=UTC), **arguments)
    start = time.thread_time()
    assert never_runs(rule, NOW)
    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"freq": "SECONDLY", "bymonth": 2, "bymonthday": 29}, "2028-02-29T00:00:00"),
        ({"freq": "DAILY", "bymonth": 2, "bymonthday": 29}, "2028-02-29T00:00:00"),
        ({"freq": "YEARLY", "interval": 8, "bymonth": 2, "bymonthday": 29}, "2032-02-29T00:00:00"),
        ({"freq": "MONTHLY", "byweekday": weekday(4, -1)}, "2026-05-29T00:00:00"),
        ({"freq": "MONTHLY", "byweekday": [0, weekday(4, 1)]}, "2026-05-11T00:00:00"),
        ({"freq": "HOURLY", "interval": 5, "byhour": 3}, "2026-05-08T03:00:00"),
    ],
)
def test_a_rule_that_runs_seldom_is_found_at_once(arguments: dict[str, Any], expected: str) -> None:
    rule = rrule(dtstart=datetime(2024, 1, 1, tzinfo=UTC), **arguments)
    start = time.thread_time()
    assert next_occurrence(rule, NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert time.thread_time() - start < 1


def test_the_end_of_the_calendar_ends_every_rule() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for freq in range(7):
        assert next_occurrence(rrule(freq, dtstart=NOW, interval=1), last) is None


def test_a_run_at_the_first_tick_of_a_day_is_found_after_thousands_of_other_days() -> None:
    start = datetime(2000, 1, 1, 9, tzinfo=UTC)
    days: dict[str, Any] = {"bymonth": 3, "bymonthday": 13, "byweekday": 4, "byhour": 9}
    rule = rrule("HOURLY", dtstart=start, interval=24 * 818, **days)
    assert next_occurrence(rule, start) == datetime(9339, 3, 13, 9, tzinfo=UTC)


def test_the_last_week_of_the_calendar_is_one() -> None:
    rule = rrule("WEEKLY", dtstart=datetime(9990, 1, 1, 9, tzinfo=UTC), byweekday=[3, 4])
    found = occurrences(rule, anchor=None, now=datetime(9999, 12, 23, tzinfo=UTC), count=9)
    assert [run.day for run in found] == [23, 24, 30, 31]
    late = rrule("WEEKLY", dtstart=datetime(9999, 12, 28, 9, tzinfo=UTC), count=5)
    found = occurrences(late, anchor=None, now=datetime(9999, 12, 1, tzinfo=UTC), count=9)
    assert [run.day for run in found] == [28]
