"""Sets whose exclusions take away long stretches go on after them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.entries.record import EntryRecord
from redbeat_core.planning.plan import Plan, plan
from redbeat_core.schedules import (
    DstPolicy,
    ScheduleError,
    next_occurrence,
    occurrences,
    parse_schedule,
    rrule,
    rrule_set,
)
from redbeat_core.schedules.types import rrule_set as rule_sets
from redbeat_core.schedules.types.next_run import next_look
from redbeat_core.schedules.types.rrule import RRULE_FIELDS
from redbeat_core.schedules.types.rrule_set import GivenUp
from tests.support.effort import examples

MONDAY = datetime(2026, 8, 3, 12, tzinfo=UTC)
THURSDAY = datetime(2026, 8, 6, 23, 59, 59, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
NOT_AT_THE_WEEKEND = (
    "DTSTART:20260101T000000Z RRULE:FREQ=SECONDLY EXRULE:FREQ=SECONDLY;BYDAY=FR,SA,SU"
)
#: Where an exclusion with a COUNT ends is not worked out.
WALKED = f"{NOT_AT_THE_WEEKEND};COUNT=1000000000"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        # Its exclusions come more often than its times, and none of them is one.
        ("RRULE:FREQ=YEARLY EXRULE:FREQ=SECONDLY;BYHOUR=1", "2027-01-01 00:00"),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=1 EXRULE:FREQ=MINUTELY;BYMONTH=9", "2026-10-01 00:00"),
        ("RRULE:FREQ=MONTHLY EXRULE:FREQ=MINUTELY;BYHOUR=1", "2026-09-01 00:00"),
    ],
)
def test_only_excluded_runs_count_against_a_set(text: str, first: str) -> None:
    made = parse_schedule(f"DTSTART:20200101T000000Z {text}", now=MONDAY)
    found = next_occurrence(made, MONDAY)
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M}" == first


rules = st.builds(
    rrule,
    st.sampled_from(["DAILY", "HOURLY", "MINUTELY"]),
    dtstart=st.just(START),
    interval=st.integers(1, 9),
    byhour=st.sets(st.integers(0, 23), min_size=1, max_size=6),
    byweekday=st.sets(st.integers(0, 6), min_size=1, max_size=5),
)


@examples(50)
@given(
    st.lists(rules, min_size=1, max_size=2), st.lists(rules, max_size=2), st.integers(0, 60 * 1440)
)
def test_a_set_is_what_its_rules_have_and_its_exclusions_have_not(
    wanted: list[rrule], unwanted: list[rrule], minutes: int
) -> None:
    begin = START + timedelta(minutes=minutes)
    end = begin + timedelta(days=1)

    def within(one: rrule | rrule_set) -> Iterable[datetime]:
        return takewhile(lambda run: run <= end, one.runs_after(begin))

    left = {run for rule in wanted for run in within(rule)}
    left -= {run for rule in unwanted for run in within(rule)}
    assert list(within(rrule_set(wanted, exrules=unwanted))) == sorted(left)


def test_a_refused_set_is_told_how_far_its_exclusions_go() -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(WALKED, now=THURSDAY)
    assert "the next 1000 times of the rules, up to 2026-08-07 00:16:40 UTC" in str(caught.value)
    assert "never" not in str(caught.value)


def decided(made: rrule_set, nominal: datetime, now: datetime) -> Plan:
    at = nominal.timestamp()
    record = EntryRecord("a", score=at, due=repr(at))
    return plan(record, {"schedule": made, "enabled": True}, None, now)


def test_an_entry_goes_on_after_more_excluded_times_than_are_looked_at() -> None:
    made = parse_schedule(WALKED, now=MONDAY)
    assert isinstance(made, rrule_set)
    nominal, looks = THURSDAY - timedelta(seconds=1), 0
    made_runs: list[datetime] = []
    while len(made_runs) < 4:
        step = decided(made, nominal, nominal)
        assert not step.finished
        assert step.next is not None
        assert not step.gaps
        if step.nominal is None:
            looks += 1
        else:
            made_runs.append(step.nominal)
        nominal = step.next
    monday = datetime(2026, 8, 10, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert made_runs == [THURSDAY - second, THURSDAY, monday, monday + second]
    assert looks == pytest.approx(3 * 86400 / rule_sets.MAX_EXCLUDED, abs=2)


def test_excluded_stretches_of_days_are_not_looked_through() -> None:
    made = parse_schedule(NOT_AT_THE_WEEKEND, now=THURSDAY)
    assert isinstance(made, rrule_set)
    monday = datetime(2026, 8, 10, tzinfo=UTC)
    assert next(made.search(THURSDAY)) == monday
    step = decided(made, THURSDAY, THURSDAY)
    assert (step.nominal, step.next) == (THURSDAY, monday)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        # A window of each day, months, the days of a month, and what all of them leave.
        (
            (
                "RRULE:FREQ=SECONDLY EXRULE:FREQ=SECONDLY;BYHOUR=0,1,2,3,4,5,6,7,8,12,13,14,15,16,"
                "17,18,19,20,21,22,23"
            ),
            "2026-08-04 09:00:00",
        ),
        ("RRULE:FREQ=MINUTELY EXRULE:FREQ=MINUTELY;BYMONTH=8,9,10,11,12", "2027-01-01 00:00:00"),
        ("RRULE:FREQ=SECONDLY EXRULE:FREQ=MINUTELY;BYSECOND=0", "2026-08-03 12:00:01"),
        (
            (
                "RRULE:FREQ=SECONDLY EXRULE:FREQ=SECONDLY;BYMONTH=8 EXRULE:FREQ=SECONDLY;BYDAY=TU "
                "EXRULE:FREQ=SECONDLY;BYMONTHDAY=3,4,5,6 EXRULE:FREQ=SECONDLY;BYHOUR=0,1,2"
            ),
            "2026-09-02 03:00:00",
        ),
        (
            "RRULE:FREQ=SECONDLY;INTERVAL=2 EXRULE:FREQ=SECONDLY;INTERVAL=2;BYMONTH=8",
            "2026-09-01 00:00:00",
        ),
        ("RRULE:FREQ=SECONDLY EXRULE:FREQ=SECONDLY;UNTIL=20260901T000000Z", "2026-09-01 00:00:01"),
        (
            (
                "RRULE:FREQ=DAILY EXRULE:FREQ=DAILY;BYDAY=MO,TU,WE,TH,"
                "FR,SA EXRULE:FREQ=DAILY;BYMONTH=8,9,10"
            ),
            "2026-11-01 00:00:00",
        ),
        (
            "RRULE:FREQ=SECONDLY RDATE:20260805T000000Z EXRULE:FREQ=SECONDLY;BYMONTH=8,9",
            "2026-10-01 00:00:00",
        ),
        (
            (
                "RRULE:FREQ=SECONDLY RRULE:FREQ=WEEKLY;BYHOUR=12;BYMINUTE=1 "
                "EXRULE:FREQ=SECONDLY;BYHOUR=12;BYMINUTE=0"
            ),
            "2026-08-03 12:01:00",
        ),
    ],
)
@pytest.mark.parametrize("zone", ["", ";TZID=Etc/GMT"])
def test_what_exclusions_leave_is_found(text: str, first: str, zone: str) -> None:
    start = f"DTSTART{zone}:20200101T000000{'' if zone else 'Z'}"
    made = parse_schedule(f"{start} {text}", now=MONDAY)
    found = next_occurrence(made, MONDAY)
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M:%S}" == first


@pytest.mark.parametrize(
    "text",
    [
        "RRULE:FREQ=SECONDLY;BYHOUR=1 EXRULE:FREQ=SECONDLY",
        "RRULE:FREQ=HOURLY EXRULE:FREQ=HOURLY;BYDAY=MO,TU EXRULE:FREQ=HOURLY;BYDAY=WE,TH,FR,SA,SU",
        "RRULE:FREQ=DAILY;BYDAY=MO EXRULE:FREQ=WEEKLY;BYDAY=MO,TU",
        (
            "RRULE:FREQ=MINUTELY;INTERVAL=7 EXRULE:FREQ=MINUTELY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11 "
            "EXRULE:FREQ=MINUTELY;BYHOUR=12,13,14,15,16,17,18,19,20,21,22,23"
        ),
        "RRULE:FREQ=HOURLY;BYDAY=MO RRULE:FREQ=DAILY EXRULE:FREQ=HOURLY EXRULE:FREQ=DAILY;BYHOUR=0",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_set_of_which_nothing_is_left_is_refused_as_one_that_never_runs(
    text: str, zone: str
) -> None:
    with pytest.raises(ScheduleError, match="no run to come"):
        parse_schedule(f"DTSTART;TZID={zone}:20260101T000000 {text}", now=MONDAY)


@examples(60)
@given(
    st.lists(rules, min_size=1, max_size=2),
    st.lists(rules, max_size=3),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    st.sampled_from([datetime(2026, 3, 20), datetime(2026, 10, 1), datetime(2026, 10, 20)]),
    st.integers(0, 10 * 1440),
)
def test_it_is_so_through_long_stretches_and_changes_of_the_clock(
    wanted: list[rrule], unwanted: list[rrule], zone: str, start: datetime, minutes: int
) -> None:
    start = start.replace(tzinfo=ZoneInfo(zone))

    def there(one: rrule, **more: object) -> rrule:
        known = {name: getattr(one, name) for name in RRULE_FIELDS} | more
        return rrule(**known | {"dtstart": start})

    wanted = [there(one) for one in wanted]
    unwanted = [there(one, interval=1 + one.interval % 2) for one in unwanted]
    begin = start.astimezone(UTC) + timedelta(minutes=minutes)
    end = begin + timedelta(days=6)

    def within(one: rrule | rrule_set) -> Iterable[datetime]:
        return takewhile(lambda run: run <= end, one.runs_after(begin))

    left = {run for rule in wanted for run in within(rule)}
    left -= {run for rule in unwanted for run in within(rule)}
    assert list(within(rrule_set(wanted, exrules=unwanted))) == sorted(left)


def test_after_an_absence_too_it_goes_on_after_the_excluded_times() -> None:
    made = parse_schedule(WALKED, now=MONDAY)
    assert isinstance(made, rrule_set)
    now = datetime(2026, 8, 10, 0, 0, 30, tzinfo=UTC)
    nominal, made_runs = THURSDAY - timedelta(seconds=9), []
    for _ in range(400):
        step = decided(made, nominal, now)
        assert step.next is not None
        if step.nominal is not None:
            made_runs.append((step.nominal, step.missed))
        nominal = step.next
        if nominal > now:
            break
    # One run stands for the nine before, and one for what came due after the stretch.
    assert made_runs[0] == (THURSDAY - timedelta(seconds=9), 9)
    assert made_runs[1:] == [(datetime(2026, 8, 10, tzinfo=UTC), 30)]
    assert nominal == now + timedelta(seconds=1)


def test_a_set_that_is_over_is_finished() -> None:
    made = rrule_set([rrule("DAILY", dtstart=START, count=3)], exdates=[START + timedelta(days=2)])
    last = START + timedelta(days=1)
    assert decided(made, last, last).finished
    assert next_look(made, last) is None


def test_a_search_that_is_given_up_says_where() -> None:
    made = parse_schedule(WALKED, now=MONDAY)
    assert isinstance(made, rrule_set)
    assert list(made.search(THURSDAY, limit=9)) == [GivenUp(THURSDAY + timedelta(seconds=10), 9)]
    assert made.takes_away(THURSDAY + timedelta(seconds=10))
    assert not made.takes_away(THURSDAY)


@pytest.mark.parametrize("rule", ["DAILY", "WEEKLY", "MONTHLY"])
def test_a_start_in_the_second_pass_of_a_repeated_hour_is_a_run(rule: str) -> None:
    made = parse_schedule("at 2026-10-25 02:30+01:00 Europe/Berlin", now=MONDAY)
    start = made.at
    assert start.fold == 1
    single = rrule(rule, dtstart=start, count=1)
    second_pass = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert occurrences(single, anchor=None, now=MONDAY, count=3) == [second_pass]
    more = occurrences(rrule(rule, dtstart=start, count=3), anchor=None, now=MONDAY, count=9)
    assert len(more) == 3
    assert more[0] == second_pass
    elsewhere = rrule(rule, dtstart=start, byhour=5)
    assert second_pass not in occurrences(elsewhere, anchor=None, now=MONDAY, count=3)


def test_a_rule_that_leaves_the_calendar_is_refused_for_that() -> None:
    with pytest.raises(ScheduleError, match="its next run is past the year 9999"):
        parse_schedule("FREQ=DAILY;INTERVAL=99999999", now=MONDAY)


def hourly(start: datetime, **arguments: Any) -> rrule:
    return rrule("HOURLY", dtstart=start, **arguments)


def test_an_exclusion_that_has_ended_takes_nothing_any_more() -> None:
    ended = hourly(START, until=START + timedelta(days=10))
    made = rrule_set([hourly(START)], exrules=[ended, hourly(START, byhour=list(range(22)))])
    found = next_occurrence(made, datetime(2026, 3, 1, tzinfo=UTC))
    assert found == datetime(2026, 3, 1, 22, tzinfo=UTC)
    text = "RRULE:FREQ=HOURLY EXRULE:FREQ=HOURLY;UNTIL=20260110T000000Z EXRULE:FREQ=HOURLY;BYDAY=TU"
    monday = datetime(2026, 2, 2, 23, tzinfo=UTC)
    made = parse_schedule(f"DTSTART:20260101T000000Z {text}", now=monday)
    assert next_occurrence(made, monday) == datetime(2026, 2, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "ambiguous", "hour", "expected"),
    [
        # Left are 02:45, which is shifted to 03:45, and what is shifted before it is excluded.
        (29, "first", "2026-03-29 01:00", "2026-03-29 01:45"),
        # Left is 02:10, whose second time comes after the first times of later minutes.
        (25, "both", "2026-10-25 00:10", "2026-10-25 01:10"),
    ],
)
def test_excluded_times_do_not_hide_those_of_a_night_on_which_the_clock_changes(
    day: int, ambiguous: Any, hour: str, expected: str
) -> None:
    start, minutes = datetime(2026, 1, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")), list(range(60))
    kept = int(expected[-2:])

    def at_two(**arguments: Any) -> rrule:
        return rrule("DAILY", dtstart=start, byhour=2, **arguments)

    other_days = [number for number in range(1, 32) if number != day]
    exrules = [
        at_two(byminute=minutes, bymonthday=other_days),
        at_two(byminute=[minute for minute in minutes if minute != kept]),
    ]
    made = rrule_set([at_two(byminute=minutes)], exrules=exrules)
    asked, due = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (hour, expected))
    for minute in range(0, 35, 5):
        moment = asked + timedelta(minutes=minute)
        assert next_occurrence(made, moment, DstPolicy(ambiguous=ambiguous)) == due


def test_what_is_left_under_an_offset_that_comes_much_later_is_found() -> None:
    start = datetime(1984, 5, 1, 0, 15, tzinfo=ZoneInfo("Australia/Lord_Howe"))
    made = rrule_set([hourly(start)], exrules=[hourly(start, byminute=15)])
    found = next_occurrence(made, datetime(1984, 6, 1, tzinfo=UTC))
    assert found == datetime(1985, 10, 26, 15, 45, tzinfo=UTC)
