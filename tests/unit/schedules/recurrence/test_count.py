"""COUNT is counted by whole days: right, and at no cost that grows with each question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.schedules import DstPolicy, next_occurrence, occurrences, rrule
from redbeat_core.schedules.recurrence.floating_rule import Rule
from tests.support.effort import examples
from tests.unit.strategies import rule_arguments

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 5, 5, 5, 17, 42, tzinfo=UTC)
LISTED = 2000

starts = st.datetimes(datetime(2015, 1, 1), datetime(2016, 1, 1))
spans = st.timedeltas(timedelta(0), timedelta(days=900))


@examples(300)
@given(rule_arguments(), starts, st.lists(spans, min_size=1, max_size=3))
def test_counting_by_days_is_counting_one_by_one(
    arguments: dict[str, Any], start: datetime, passed: list[timedelta]
) -> None:
    start = start.replace(microsecond=0)
    parts = rrule(dtstart=start.replace(tzinfo=UTC), **arguments).recurrence.parts
    rule = Rule(parts, start)
    times = list(islice(rule.times_from(start), LISTED))
    for span in passed:
        at = start + span
        if len(times) == LISTED:
            at = min(at, times[-1])
        assert rule.count_before(at) == sum(time < at for time in times)


@examples(150)
@given(rule_arguments(), starts, st.integers(1, 60), spans)
def test_a_rule_with_a_count_is_the_beginning_of_the_rule_without(
    arguments: dict[str, Any], start: datetime, count: int, passed: timedelta
) -> None:
    start = start.replace(microsecond=0, tzinfo=BERLIN)
    before = start - timedelta(days=1)
    ever = islice(rrule(dtstart=start, **arguments).runs_after(before), count)
    counted = rrule(dtstart=start, count=count, **arguments)
    expected = list(ever)
    assert list(counted.runs_after(before)) == expected
    at = start + passed
    assert list(counted.runs_after(at)) == [run for run in expected if run > at]


@pytest.mark.parametrize(
    "arguments",
    [
        {"freq": "SECONDLY", "byhour": [9, 10]},
        {"freq": "MINUTELY", "interval": 7, "byweekday": [0, 1]},
        {"freq": "DAILY", "byweekday": [0, 1, 2, 3, 4]},
        {"freq": "MONTHLY", "byweekday": [0, 1, 2, 3, 4], "bysetpos": -1},
    ],
)
def test_the_largest_count_of_an_old_rule_hangs_nothing(arguments: dict[str, Any]) -> None:
    start = datetime(1996, 1, 1, tzinfo=BERLIN)
    endless = rrule(dtstart=start, **arguments)
    counted = rrule(dtstart=start, count=2**31 - 1, **arguments)
    expected = occurrences(endless, anchor=None, now=NOW, count=20)
    assert occurrences(counted, anchor=None, now=NOW, count=20) == expected


@pytest.mark.parametrize("nonexistent", ["shift", "skip"])
def test_a_time_that_the_policy_skips_has_been_counted(nonexistent: Any) -> None:
    rule = rrule("DAILY", dtstart=datetime(2026, 3, 28, 2, 30, tzinfo=BERLIN), count=3)
    runs = list(rule.runs_after(datetime(2026, 1, 1, tzinfo=UTC), DstPolicy(nonexistent)))
    assert len(runs) == (3 if nonexistent == "shift" else 2)
    assert runs[-1] == datetime(2026, 3, 30, 2, 30, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"freq": "MINUTELY", "bymonth": 2, "bymonthday": 29, "byweekday": 0},
            datetime(2044, 2, 29, tzinfo=BERLIN),
        ),
        (
            {"freq": "SECONDLY", "interval": 86399, "byhour": 9, "byminute": 0, "bysecond": 0},
            datetime(2167, 11, 5, 9, tzinfo=BERLIN),
        ),
        (
            {"freq": "HOURLY", "interval": 97, "bymonth": 1, "bymonthday": 1, "byhour": 3}
            | {"byweekday": 2},
            datetime(2369, 1, 1, 3, tzinfo=BERLIN),
        ),
    ],
)
def test_what_comes_after_many_changes_of_the_clock_is_found(
    arguments: dict[str, Any], expected: datetime
) -> None:
    rule = rrule(dtstart=datetime(2020, 1, 1, tzinfo=BERLIN), **arguments)
    assert next_occurrence(rule, NOW) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"freq": "DAILY", "bymonth": 2, "bymonthday": 30},
        {"freq": "WEEKLY", "bymonth": 2, "bymonthday": 30},
        {"freq": "DAILY", "interval": 14, "byweekday": 0},
        {"freq": "DAILY", "bysetpos": 5, "byhour": [1, 2]},
        {"freq": "MONTHLY", "byweekday": 0, "bysetpos": 6},
        {"freq": "YEARLY", "byeaster": 0, "bymonth": 12},
        {"freq": "SECONDLY", "bymonth": 2, "bymonthday": 30},
        {"freq": "SECONDLY", "interval": 7 * 86_400, "bymonthday": 13, "byweekday": 4},
    ],
)
@pytest.mark.parametrize("zone", [UTC, BERLIN])
def test_a_rule_that_matches_nothing_is_known_not_to(arguments: dict[str, Any], zone: Any) -> None:
    rule = rrule(dtstart=datetime(2020, 1, 1, tzinfo=zone), **arguments)
    assert next_occurrence(rule, NOW) is None
    assert next_occurrence(rule, NOW) is None
