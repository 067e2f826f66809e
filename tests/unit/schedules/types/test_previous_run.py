"""The run before a time, and the runs between two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab, schedule
from hypothesis import assume, given
from hypothesis import strategies as st
from redbeat.schedules import rrule as their_rrule

from redbeat_core.schedules import (
    BaseSchedule,
    DstPolicy,
    between,
    next_occurrence,
    parse_schedule,
    previous_occurrence,
    rrule,
)
from redbeat_core.schedules.recurrence.zones import TICK
from redbeat_core.schedules.types.next_run import runs_after
from tests.support.effort import examples
from tests.unit.strategies import (
    anchored_intervals,
    crontabs,
    moments,
    one_offs,
    rules,
    sets,
    suns,
    zoned_crontabs,
)

NOW = datetime(2026, 5, 5, 5, tzinfo=UTC)
BERLIN = "Europe/Berlin"
policies = st.builds(
    DstPolicy, st.sampled_from(("shift", "skip")), st.sampled_from(("first", "last", "both"))
)
by_the_calendar = st.one_of(
    crontabs, zoned_crontabs, rules(), sets(), one_offs, anchored_intervals, suns
)


@examples(100)
@given(by_the_calendar, moments(2015, 2030), policies, st.integers(0, 9))
def test_it_is_the_last_of_the_runs_that_were(
    timing: BaseSchedule, start: datetime, dst: DstPolicy, number: int
) -> None:
    runs = list(islice(runs_after(timing, start, dst), number + 2))
    assume(runs)
    for earlier, later in pairwise(runs):
        for moment in (later, earlier + TICK, earlier + (later - earlier) / 2):
            if moment > earlier:
                assert previous_occurrence(timing, moment, dst) == earlier
    assert previous_occurrence(timing, runs[-1] + TICK, dst) == runs[-1]


@examples(100)
@given(by_the_calendar, moments(2015, 2030), policies)
def test_no_run_lies_between_it_and_the_time(
    timing: BaseSchedule, moment: datetime, dst: DstPolicy
) -> None:
    found = previous_occurrence(timing, moment, dst)
    if found is not None:
        assert found < moment
        following = next_occurrence(timing, found, dst)
        assert following is None or following >= moment
        assert next_occurrence(timing, found - TICK, dst) == found


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        ("0 9 * * * Europe/Berlin", "2026-05-05 05:00", "2026-05-04 07:00"),
        ("0 9 * * * Europe/Berlin", "2026-05-05 07:00", "2026-05-04 07:00"),
        ("30 2 * * * Europe/Berlin", "2026-03-29 12:00", "2026-03-29 01:30"),
        ("30 2 * * * Europe/Berlin", "2026-10-25 12:00", "2026-10-25 00:30"),
        ("0 0 29 2 *", "2026-05-05 05:00", "2024-02-29 00:00"),
        ("at 2026-05-01 12:00", "2026-05-05 05:00", "2026-05-01 12:00"),
        ("every 1h from 2026-05-01 00:30", "2026-05-05 05:00", "2026-05-05 04:30"),
        ("every 1h from 2026-05-01 00:30", "2026-05-01 00:30", None),
    ],
)
def test_times_before(text: str, before: str, expected: str | None) -> None:
    timing = parse_schedule(text, "UTC", now=datetime(2020, 1, 1, tzinfo=UTC))
    found = previous_occurrence(timing, _utc(before))
    assert found == (None if expected is None else _utc(expected))


def test_before_its_start_a_rule_has_not_run() -> None:
    rule = rrule("DAILY", dtstart=NOW)
    assert previous_occurrence(rule, NOW) is None
    assert previous_occurrence(rule, NOW + TICK) == NOW


def test_after_its_end_a_rule_has_run_for_the_last_time() -> None:
    rule = rrule("DAILY", dtstart=NOW, count=3)
    assert previous_occurrence(rule, NOW + timedelta(days=9999)) == NOW + timedelta(days=2)


def test_what_never_runs_has_not_run() -> None:
    assert previous_occurrence(rrule("DAILY", dtstart=NOW, bymonth=2, bymonthday=30), NOW) is None


def test_a_rule_of_celery_redbeats_own_class_is_understood() -> None:
    rule = their_rrule("DAILY", dtstart=NOW)
    assert previous_occurrence(rule, NOW + timedelta(hours=30)) == NOW + timedelta(hours=24)


def test_excluded_times_are_no_runs() -> None:
    text = "DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY\nEXDATE:20260504T090000Z"
    timing = parse_schedule(text, "UTC", now=NOW)
    assert previous_occurrence(timing, NOW) == datetime(2026, 5, 3, 9, tzinfo=UTC)


def test_an_interval_is_counted_from_what_is_given() -> None:
    assert previous_occurrence(schedule(30), NOW) == NOW - timedelta(seconds=30)
    assert previous_occurrence(schedule(timedelta(days=800_000)), NOW) is None


class Own(BaseSchedule):
    """A schedule of a user's own type."""


@pytest.mark.parametrize("make", [lambda: schedule(60, relative=True), Own])
def test_what_depends_on_the_run_before_cannot_be_told(make: Callable[[], BaseSchedule]) -> None:
    with pytest.raises(ValueError, match="depends on the run before"):
        previous_occurrence(make(), NOW)


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        previous_occurrence(crontab(), NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="no time zone"):
        list(between(crontab(), NOW.replace(tzinfo=None), NOW))


@examples(100)
@given(by_the_calendar, moments(2015, 2030), st.timedeltas(timedelta(0), timedelta(days=900)))
def test_between_are_the_runs_that_next_finds_one_after_the_other(
    timing: BaseSchedule, start: datetime, length: timedelta
) -> None:
    found, at = list(islice(between(timing, start, start + length), 50)), start
    for run in found:
        assert next_occurrence(timing, at) == run
        at = run
    following = next_occurrence(timing, at)
    assert len(found) == 50 or following is None or following >= start + length


def test_between_is_without_both_ends() -> None:
    zone = ZoneInfo(BERLIN)
    rule = rrule("DAILY", dtstart=datetime(2026, 3, 27, 9, tzinfo=zone))
    first, last = (datetime(2026, 3, day, 9, tzinfo=zone) for day in (27, 30))
    assert list(between(rule, first, last)) == [
        datetime(2026, 3, 28, 8, tzinfo=UTC),
        datetime(2026, 3, 29, 7, tzinfo=UTC),
    ]


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
